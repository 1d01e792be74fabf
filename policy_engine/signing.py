"""HMAC-signed requests: who calls, proved by a shared secret over path, time and body.

`x-pointsman-signature` = hex HMAC-SHA256(secret, "POST\\n<path>\\n<timestamp>\\n<sha256 hex of body>"); the timestamp
(milliseconds) may be five minutes off the service's clock. Within that window a request can be replayed, which decides
again or counts the same telemetry once; nothing else follows from it.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256

__all__ = ["WINDOW_MS", "SignatureError", "SignedBy", "read_signature", "sign_headers", "verify_signature"]

WINDOW_MS = 5 * 60 * 1000
_KEY, _TIMESTAMP, _SIGNATURE = "x-pointsman-key", "x-pointsman-timestamp", "x-pointsman-signature"


class SignatureError(ValueError):
    """The request is not signed as it must be. `code`: unsigned, malformed_signature, stale_signature, bad_signature."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


@dataclass(frozen=True, slots=True)
class SignedBy:
    """What a request's headers claim; nothing is true of it before `verify_signature`."""

    key_id: str
    timestamp: str
    signature: str


def sign_headers(key_id: str, secret: bytes, path: str, now_ms: int, body: bytes) -> dict[str, str]:
    """The headers that sign one POST."""
    timestamp = str(now_ms)
    return {_KEY: key_id, _TIMESTAMP: timestamp, _SIGNATURE: _mac(secret, path, timestamp, body)}


def read_signature(headers: Mapping[str, str]) -> SignedBy | None:
    """The claim in `headers` (names in lower case); None where there is no key header at all."""
    if _KEY not in headers:
        return None
    return SignedBy(headers[_KEY], headers.get(_TIMESTAMP, ""), headers.get(_SIGNATURE, ""))


def verify_signature(claim: SignedBy, secret: bytes, path: str, body: bytes, now_ms: int) -> None:
    """SignatureError unless `claim` was made with `secret`, over this request, within the window around `now_ms`."""
    if not (claim.timestamp.isascii() and claim.timestamp.isdigit() and len(claim.timestamp) <= 15):
        raise SignatureError("malformed_signature")
    if not hmac.compare_digest(_mac(secret, path, claim.timestamp, body).encode(), claim.signature.encode()):
        raise SignatureError("bad_signature")
    if abs(now_ms - int(claim.timestamp)) > WINDOW_MS:
        raise SignatureError("stale_signature")


def _mac(secret: bytes, path: str, timestamp: str, body: bytes) -> str:
    message = f"POST\n{path}\n{timestamp}\n{sha256(body).hexdigest()}"
    return hmac.digest(secret, message.encode(), "sha256").hex()
