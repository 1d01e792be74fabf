"""The second source: signed copies in the state bucket of what `route` needs from the tables.

Route states are copied whenever they move, credentials a few to an object, so that a caller's can be found by name.
Secrets of HMAC keys are in the copies as they are in the table, under the same KMS key (decision 0007).
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping
from hashlib import sha256
from typing import TYPE_CHECKING

from functions.stores.errors import StoreError, reaching
from functions.stores.keys import BACKUP_SHARDS, backup_shard, bundle_object, credentials_object
from functions.stores.registry import Credential, CredentialKind
from functions.stores.secrets import KeyRing
from policy_engine.bundle import BundleError, open_bundle, opened, pack_bundle, sealed
from policy_engine.state import RouteState
from policy_lang.canonical import canonical

if TYPE_CHECKING:
    from types_boto3_s3.client import S3Client

__all__ = ["CREDENTIALS_LIMIT_MS", "Backups"]

_CODE = "backup_unavailable"
#: A copy is written anew after this time even if nothing in it has changed: its age is part of what it says.
_RENEWED_MS = 10 * 60 * 1000
#: Age at which a copied credential no longer opens the door: it may have been revoked since.
CREDENTIALS_LIMIT_MS = 24 * 3600 * 1000


class Backups:
    """Copies, written by `watch` and `publish` and read by `route` where a table does not answer."""

    def __init__(self, s3: S3Client, bucket: str, keys: KeyRing) -> None:
        self._s3 = s3
        self._bucket = bucket
        self._keys = keys
        self._written: dict[str, tuple[str, int]] = {}

    def keep_state(self, state: RouteState, now_ms: int) -> bool:
        """Copy a state that is current now, unless this environment just did; whether it was written."""
        key = bundle_object(state.tenant)
        if not self._due(key, str(state.version), now_ms):
            return False
        self._put(key, pack_bundle(state, now_ms, self._keys.at(now_ms)))
        self._written[key] = str(state.version), now_ms
        return True

    def state(self, tenant: str, now_ms: int) -> tuple[RouteState, int]:
        """A tenant's copied state and when it was current; StoreError where there is none that can be trusted."""
        blob = self._get(bundle_object(tenant))
        try:
            return open_bundle(blob, tenant, self._keys.at(now_ms))
        except BundleError as problem:
            raise StoreError(_CODE, str(problem), "BundleError") from problem

    def keep_credentials(self, found: Mapping[tuple[CredentialKind, str], Credential], now_ms: int) -> int:
        """Copy every credential; how many objects were written. One that is left out is gone from the copies too."""
        shards: dict[int, dict[str, list[str]]] = defaultdict(dict)
        for (kind, name), held in found.items():
            row = [held.tenant, "active" if held.active else "inactive", held.secret.hex()]
            shards[backup_shard(f"{kind}#{name}")][f"{kind}#{name}"] = row
        written = 0
        for shard in range(BACKUP_SHARDS):
            key, body = credentials_object(shard), canonical(shards[shard])
            digest = sha256(body).hexdigest()
            if self._due(key, digest, now_ms):
                self._put(key, sealed("credentials", str(shard), now_ms, body, self._keys.at(now_ms)))
                self._written[key] = digest, now_ms
                written += 1
        return written

    def credential(self, kind: CredentialKind, name: str, now_ms: int) -> Credential | None:
        """A copied credential; None when the copies know of none, StoreError where they are old or not ours."""
        shard = backup_shard(f"{kind}#{name}")
        blob = self._get(credentials_object(shard))
        try:
            body, at_ms = opened("credentials", str(shard), blob, self._keys.at(now_ms))
        except BundleError as problem:
            raise StoreError(_CODE, str(problem), "BundleError") from problem
        if now_ms - at_ms > CREDENTIALS_LIMIT_MS:
            raise StoreError(_CODE, "the copy of the registry is more than a day old", "Stale")
        row = json.loads(body).get(f"{kind}#{name}")
        return Credential(row[0], row[1] == "active", bytes.fromhex(row[2])) if row else None

    def _due(self, key: str, digest: str, now_ms: int) -> bool:
        """Whether a copy is to be written; anew after a while, for another environment may have put an older one."""
        before, at_ms = self._written.get(key, ("", 0))
        return before != digest or abs(now_ms - at_ms) >= _RENEWED_MS

    def _put(self, key: str, body: bytes) -> None:
        with reaching(_CODE, "the copies of the tables"):
            self._s3.put_object(Bucket=self._bucket, Key=key, Body=body)

    def _get(self, key: str) -> bytes:
        with reaching(_CODE, "the copies of the tables"):
            return self._s3.get_object(Bucket=self._bucket, Key=key)["Body"].read()
