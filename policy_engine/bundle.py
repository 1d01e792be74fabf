"""Sealed copies: what `route` falls back on while its tables are down, signed so that a bucket cannot invent it.

A seal is a signed line, `<kind>.<key id>.<payload>.<mac>`, over what is sealed, when, and the SHA-256 of the body that
follows it.

    BundleError    the copy is damaged, of another subject, or signed with no key at hand
"""

from __future__ import annotations

import json
from hashlib import sha256
from typing import Literal

from policy_engine.state import RouteState, StateError, pack_state, unpack_state
from policy_engine.token import SigningKeys, TokenError, sign, signed_payload
from policy_lang.canonical import canonical

__all__ = ["BundleError", "open_bundle", "opened", "pack_bundle", "sealed"]

Kind = Literal["bundle", "credentials"]


class BundleError(ValueError):
    """The copy cannot be trusted; nothing of it is used."""


def pack_bundle(state: RouteState, at_ms: int, keys: SigningKeys) -> bytes:
    """A tenant's route state as it was current at `at_ms`."""
    return sealed("bundle", state.tenant, at_ms, pack_state(state)[1], keys)


def open_bundle(blob: bytes, tenant: str, keys: SigningKeys) -> tuple[RouteState, int]:
    """The state and when it was current; BundleError when it is not this tenant's, or not ours."""
    body, at_ms = opened("bundle", tenant, blob, keys)
    try:
        state = unpack_state(body)
    except StateError as problem:
        raise BundleError(str(problem)) from None
    if state.tenant != tenant:
        raise BundleError("the bundle holds another tenant's state")
    return state, at_ms


def sealed(kind: Kind, subject: str, at_ms: int, body: bytes, keys: SigningKeys) -> bytes:
    """`body` behind a signature that binds it to its kind, subject and time."""
    return sign(kind, canonical([subject, at_ms, sha256(body).hexdigest()]), keys).encode() + b"\n" + body


def opened(kind: Kind, subject: str, blob: bytes, keys: SigningKeys) -> tuple[bytes, int]:
    """The inverse of `sealed`: body and time; BundleError unless kind, subject and every byte are as signed."""
    head, _, body = blob.partition(b"\n")
    try:
        found, at_ms, digest = json.loads(signed_payload(kind, head.decode("ascii", "replace"), keys))
    except (TokenError, ValueError, TypeError) as problem:
        raise BundleError(f"the copy is not signed with a key at hand: {problem}") from None
    if found != subject or digest != sha256(body).hexdigest():
        raise BundleError("the copy is not what was signed")
    return body, at_ms
