"""Signed requests, the second way to authenticate: HMAC-SHA256 (RFC 2104) over method, path, time and body.

Signed text: `POST\\n/v1/route\\n<timestamp ms>\\n<SHA-256 of the body, hex>`.
Three headers carry the key's id, the time and the signature.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from hashlib import sha256

from policy_lang.frozen import frozen

__all__ = [
    "BAD_SIGNATURE",
    "KEY_HEADER",
    "SIGNATURE_HEADER",
    "TIMESTAMP_HEADER",
    "WINDOW_MS",
    "Signature",
    "SignatureError",
    "signature_from_headers",
    "signed_headers",
    "verify_signature",
]

KEY_HEADER = "x-pointsman-key"
TIMESTAMP_HEADER = "x-pointsman-timestamp"
SIGNATURE_HEADER = "x-pointsman-signature"
#: How far the signer's clock may be from ours, either way.
WINDOW_MS = 5 * 60 * 1000
#: Said of an unknown key and of a wrong secret alike, so that key ids cannot be tried out.
BAD_SIGNATURE = "no known key signed this request: its id is unknown, its secret is another, or the request was altered"


class SignatureError(ValueError):
    """Not authentic. `code`: missing_credentials, malformed_credentials, stale_timestamp or bad_signature."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@frozen
class Signature:
    """What the three headers say, unverified."""

    key_id: str
    timestamp_ms: int
    mac: str


def signed_headers(key_id: str, secret: bytes, *, method: str, path: str, body: bytes, now_ms: int) -> dict[str, str]:
    """The headers that authenticate one request."""
    return {
        KEY_HEADER: key_id,
        TIMESTAMP_HEADER: str(now_ms),
        SIGNATURE_HEADER: _mac(secret, method, path, now_ms, body),
    }


def signature_from_headers(headers: Mapping[str, str]) -> Signature:
    """Read the headers (names in lower case); SignatureError when one is absent or ill-formed."""
    values = [headers.get(name, "") for name in (KEY_HEADER, TIMESTAMP_HEADER, SIGNATURE_HEADER)]
    if not all(values):
        message = f"sign the request with AWS credentials, or send {KEY_HEADER}, {TIMESTAMP_HEADER}, {SIGNATURE_HEADER}"
        raise SignatureError("missing_credentials", message)
    key_id, timestamp, mac = values
    if not all(value.isascii() for value in values) or len(key_id) > 64:
        raise SignatureError(
            "malformed_credentials", f"{KEY_HEADER} must be a key id and {SIGNATURE_HEADER} hex digits"
        )
    if not timestamp.isdecimal() or len(timestamp) > 15:
        raise SignatureError("malformed_credentials", f"{TIMESTAMP_HEADER} must be milliseconds since 1970")
    return Signature(key_id, int(timestamp), mac)


def verify_signature(signature: Signature, secret: bytes, *, method: str, path: str, body: bytes, now_ms: int) -> None:
    """SignatureError unless `signature` was made with `secret` over this very request and about `now_ms`."""
    expected = _mac(secret, method, path, signature.timestamp_ms, body)
    if not hmac.compare_digest(expected.encode(), signature.mac.encode()):
        raise SignatureError("bad_signature", BAD_SIGNATURE)
    if abs(now_ms - signature.timestamp_ms) > WINDOW_MS:
        raise SignatureError("stale_timestamp", f"the timestamp must lie within {WINDOW_MS // 1000} s of now")


def _mac(secret: bytes, method: str, path: str, timestamp_ms: int, body: bytes) -> str:
    text = f"{method}\n{path}\n{timestamp_ms}\n{sha256(body).hexdigest()}"
    return hmac.digest(secret, text.encode(), "sha256").hex()
