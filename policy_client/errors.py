"""What `Client.route` raises; telemetry raises nothing.

ClientError
├── RouteError        the service answered, and refused: `code`, HTTP `status`
│   └── NoCandidates  every model failed a gate and the policy's fallback did too; `reply` says which rules
└── RouteUnavailable  no answer in time; `fallback` is the emergency model the caller named
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["ClientError", "NoCandidates", "RouteError", "RouteUnavailable"]


class ClientError(Exception):
    """Root of everything this package raises on purpose."""


class RouteError(ClientError):
    """The service refused the request. `code` is stable and machine readable; `detail` is the whole error object."""

    def __init__(self, code: str, status: int, message: str, detail: Mapping[str, Any] | None = None) -> None:
        super().__init__(f"{code} ({status}): {message}")
        self.code = code
        self.status = status
        self.message = message
        self.detail = detail or {}


class NoCandidates(RouteError):  # noqa: N818 - named as the language names it
    """No model may serve this call. `reply` is the decision as it came: every candidate with the rules it failed."""

    def __init__(self, status: int, reply: Mapping[str, Any]) -> None:
        super().__init__("no_candidates", status, "every candidate and fallback fails a gate of the policy", reply)
        self.reply = reply


class RouteUnavailable(ClientError):  # noqa: N818 - a state of the service, as in the reply codes
    """No decision could be had. `fallback` is the model the caller named for this moment, None where none was."""

    def __init__(self, reason: str, fallback: str | None) -> None:
        advice = f"; the caller's emergency model is `{fallback}`" if fallback else ""
        super().__init__(f"no decision: {reason}{advice}")
        self.reason = reason
        self.fallback = fallback
