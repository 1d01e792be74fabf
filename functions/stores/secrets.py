"""The keys that decision tokens are signed with."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from functions.stores.errors import StoreError, reaching
from policy_engine.token import SigningKeys

if TYPE_CHECKING:
    from types_boto3_secretsmanager.client import SecretsManagerClient

__all__ = ["MAX_AGE_MS", "KeyRing"]

#: A rotation adds the new key to the secret at least this long before it makes it the current one.
MAX_AGE_MS = 5 * 60 * 1000
_FIRST_KEY = "k1"


class KeyRing:
    """The signing keys, read again after `MAX_AGE_MS` of event time; while that fails, the ones at hand serve on."""

    def __init__(self, secretsmanager: SecretsManagerClient, secret: str) -> None:
        self._secretsmanager = secretsmanager
        self._secret = secret
        self._held: tuple[SigningKeys, int] | None = None

    def at(self, now_ms: int) -> SigningKeys:
        """The keys; StoreError only where none were ever read."""
        if self._held is not None and abs(now_ms - self._held[1]) <= MAX_AGE_MS:
            return self._held[0]
        try:
            keys = self._read()
        except StoreError:
            if self._held is None:
                raise
            keys = self._held[0]
        self._held = (keys, now_ms)
        return keys

    def _read(self) -> SigningKeys:
        with reaching("signing_unavailable", "the signing secret"):
            text = self._secretsmanager.get_secret_value(SecretId=self._secret)["SecretString"]
        try:
            return keys_from_secret(text)
        except ValueError as problem:
            # Written by hand, when keys are rotated: a slip there must not stop what signs with the keys before it.
            raise StoreError("signing_unavailable", "the signing secret cannot be read", "Malformed") from problem


def keys_from_secret(text: str) -> SigningKeys:
    """Keys of `{"current": id, "keys": {id: hex}}`; any text that is no JSON object is itself the key `k1`, as the
    template makes it. ValueError for another object.
    """
    try:
        document = json.loads(text)
    except ValueError:
        document = None
    if not isinstance(document, dict):
        return SigningKeys(_FIRST_KEY, {_FIRST_KEY: text.encode()})
    match document:
        case {"current": str(current), "keys": dict(keys)} if keys.get(current) and set(map(type, keys.values())) == {
            str
        }:
            return SigningKeys(current, {name: bytes.fromhex(key) for name, key in keys.items()})
    raise ValueError('the secret must be `{"current": <id>, "keys": {<id>: <hex>}}`, the current id among the keys')
