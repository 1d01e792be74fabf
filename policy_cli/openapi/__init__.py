"""The API's description, OpenAPI 3.1, put together from what the service itself admits and refuses."""

from policy_cli.openapi.document import build

__all__ = ["build"]
