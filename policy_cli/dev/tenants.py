"""Tenants of the local stack, with the credentials that a caller needs in either mode of authentication."""

from __future__ import annotations

from base64 import b32encode
from hashlib import sha256

from policy_cli.dev.events import ACCOUNT
from policy_cli.dev.sigv4 import Identity
from policy_lang.frozen import frozen

__all__ = ["LocalTenant", "local_tenant"]


@frozen
class LocalTenant:
    """An HMAC key and an IAM user of the same tenant."""

    name: str
    key_id: str
    secret: bytes
    identity: Identity


def local_tenant(name: str) -> LocalTenant:
    """The same name has the same credentials at every start, so that settings and examples keep working.

    They are no secret: whoever may connect to the loopback interface may be any tenant.
    """
    return LocalTenant(
        name=name,
        key_id=f"local-{name}",
        secret=_derived(name, "hmac"),
        identity=Identity(
            arn=f"arn:aws:iam::{ACCOUNT}:user/{name}",
            access_key_id=f"AKIALOCAL{b32encode(_derived(name, 'access key')).decode()[:11]}",
            secret_access_key=_derived(name, "secret access key").hex()[:40],
        ),
    )


def _derived(name: str, purpose: str) -> bytes:
    return sha256(f"pointsman local {purpose}\n{name}".encode()).digest()
