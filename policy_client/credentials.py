"""Who the caller is, as headers on a request. The tenant follows from these alone; no field of a request names it."""

from __future__ import annotations

import threading
from typing import Any, Protocol

from policy_client.errors import ClientError
from policy_engine.signing import signed_headers

__all__ = ["Credentials", "HmacCredentials", "SigV4Credentials"]


class Credentials(Protocol):
    """Signs one POST. `path` is the absolute path on `origin`, `now_ms` the caller's clock."""

    def headers(self, origin: str, path: str, body: bytes, now_ms: int) -> dict[str, str]: ...


class HmacCredentials:
    """A key id and its secret, as the tenant registry holds them; TypeError for a secret still in hex."""

    def __init__(self, key_id: str, secret: bytes) -> None:
        if not isinstance(secret, bytes):
            raise TypeError("the secret of an HMAC key must be bytes: bytes.fromhex() of what was issued")
        self._key_id, self._secret = key_id, secret

    def headers(self, origin: str, path: str, body: bytes, now_ms: int) -> dict[str, str]:  # noqa: ARG002
        return signed_headers(self._key_id, self._secret, method="POST", path=path, body=body, now_ms=now_ms)

    def __repr__(self) -> str:
        return f"HmacCredentials({self._key_id!r})"


class SigV4Credentials:
    """The caller's AWS identity, for Function URLs with `AWS_IAM`. Needs botocore, which is imported here only."""

    def __init__(self, region: str, profile: str | None = None) -> None:
        import botocore.session

        self._region = region
        self._session: Any = botocore.session.Session(profile=profile)
        self._lock = threading.Lock()

    def headers(self, origin: str, path: str, body: bytes, now_ms: int) -> dict[str, str]:  # noqa: ARG002
        """Signed at botocore's clock; refreshes temporary credentials when they are about to expire."""
        from botocore.auth import SigV4Auth
        from botocore.awsrequest import AWSRequest

        with self._lock:
            credentials = self._session.get_credentials()
            frozen = credentials.get_frozen_credentials() if credentials else None
        if frozen is None:
            raise ClientError("no AWS credentials found: set AWS_PROFILE or the AWS_* variables")
        request = AWSRequest("POST", origin + path, {"Content-Type": "application/json"}, body)
        SigV4Auth(frozen, "lambda", self._region).add_auth(request)
        return dict(request.headers.items())
