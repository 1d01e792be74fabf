"""Every key of every table and bucket, in one place. All of a tenant's keys start with the tenant as authenticated.

What is replaced or removed again comes under `_passing/<kind>/` first, because lifecycle rules and roles go by prefix.
INVARIANT: a tenant's name holds no `#` and no `/` and does not start with `_` (`TENANT`, which enrolment and whatever
comes out of a queue are held to), so no key can reach into another tenant's.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from hashlib import sha256

from functions.stores.items import Value
from policy_engine.packing import Bucket
from policy_engine.settlement import CellKey
from policy_engine.trials import TrialLane

__all__ = [
    "ACCOUNT_PARTS",
    "BACKUP_SHARDS",
    "SHARDS",
    "TENANT",
    "Key",
    "accounts_key",
    "accounts_part",
    "accounts_partition",
    "alias_key",
    "backup_shard",
    "bundle_object",
    "cell_key",
    "cell_partition",
    "credential_key",
    "credentials_object",
    "marker_key",
    "marker_place",
    "object_key",
    "pointer_key",
    "policies_prefix",
    "policy_key",
    "policy_object",
    "records_prefix",
    "reply_key",
    "session_key",
    "settled_key",
    "settled_partition",
    "shard_of",
    "shared_priors_object",
    "signature_key",
    "spool_object",
    "spool_prefix",
    "state_object",
    "state_prefix",
    "tally_key",
    "tenant_key",
    "tenants_partition",
]

#: What a tenant may be called.
TENANT = re.compile(r"[a-z0-9][a-z0-9_-]{0,47}")
#: Partitions that a tenant's cells are spread over, so that no single one takes all its writes.
SHARDS = 8
#: Items that a tenant's accounts are spread over, beside that of the whole tenant: an update bills its whole item.
ACCOUNT_PARTS = 32
_WHOLE_TENANT = "-"
#: Objects that the copied credentials are spread over, so that one look-up reads a small part of them.
BACKUP_SHARDS = 16

Key = Mapping[str, Value]


def credential_key(kind: str, name: str) -> Key:
    return {"pk": f"credential#{kind}#{name}", "sk": "-"}


def tenants_partition() -> str:
    return "tenants"


def tenant_key(tenant: str) -> Key:
    return {"pk": tenants_partition(), "sk": tenant}


def pointer_key(tenant: str) -> Key:
    return {"pk": f"tenant#{tenant}", "sk": "route-state"}


def policy_key(tenant: str, fingerprint: str) -> Key:
    return {"pk": f"tenant#{tenant}", "sk": f"policy#{fingerprint}"}


def alias_key(tenant: str, name: str) -> Key:
    return {"pk": f"tenant#{tenant}", "sk": f"alias#{name}"}


def shard_of(cluster: str) -> int:
    return int(cluster[:2], 16) % SHARDS


def signature_key(tenant: str, mac: str) -> Key:
    return {"pk": f"tenant#{tenant}", "sk": f"signature#{mac}"}


def cell_partition(tenant: str, shard: int) -> str:
    return f"{tenant}#{shard}"


def cell_key(cell: CellKey) -> Key:
    partition = cell_partition(cell.tenant, shard_of(cell.cluster))
    return {"pk": partition, "sk": f"cell#{cell.cluster}#{cell.arm}#{cell.generation}#{cell.epoch}"}


def marker_key(tenant: str, field: str, bucket: Bucket) -> Key:
    """Of the markers that one field of a bucket's decisions has: outcomes and qualities expire at different times."""
    return {"pk": f"{tenant}#{bucket.first:0{-(-bucket.bits // 4)}x}", "sk": f"{field}#{bucket.bits}"}


def marker_place(key: Key) -> tuple[str, str, Bucket]:
    """The inverse of `marker_key`."""
    tenant, _, first = str(key["pk"]).partition("#")
    field, _, bits = str(key["sk"]).partition("#")
    return tenant, field, Bucket(int(first, 16), int(bits))


def settled_partition(tenant: str) -> str:
    return f"{tenant}#settled"


def settled_key(tenant: str, day: int, shard: int) -> Key:
    # Days since 1970 have five digits until 2243, so that they sort as they come.
    return {"pk": settled_partition(tenant), "sk": f"{day}#{shard}"}


def accounts_partition(tenant: str) -> str:
    return f"{tenant}#accounts"


def accounts_part(account: str) -> str:
    """Which of a tenant's account items holds this one, by its key or text: those of one org, team, product or
    exploring route lie together, those of the whole tenant apart.
    """
    whose = account.rpartition(":")[0]
    return _WHOLE_TENANT if whose.endswith(":") else f"{sha256(whose.encode()).digest()[0] % ACCOUNT_PARTS:02}"


def accounts_key(tenant: str, part: str) -> Key:
    return {"pk": accounts_partition(tenant), "sk": part}


def reply_key(tenant: str, door: str, name: str) -> Key:
    return {"pk": f"{tenant}#{door}#{name}", "sk": "-"}


def session_key(tenant: str, name: str) -> Key:
    return {"pk": f"{tenant}#session#{name}", "sk": "-"}


def tally_key(tenant: str, shard: int, lane: TrialLane) -> Key:
    return {"pk": cell_partition(tenant, shard), "sk": f"lane#{lane.trial}#{lane.lane}"}


def policy_object(tenant: str, fingerprint: str) -> str:
    return f"{tenant}/policies/{fingerprint}.json"


def state_prefix(tenant: str) -> str:
    return f"_passing/state/{tenant}/"


def state_object(tenant: str, digest: str) -> str:
    return f"{state_prefix(tenant)}{digest}.json.gz"


def bundle_object(tenant: str) -> str:
    return f"_passing/bundle/{tenant}"


def backup_shard(credential: str) -> int:
    return sha256(credential.encode()).digest()[0] % BACKUP_SHARDS


def credentials_object(shard: int) -> str:
    return f"_passing/credentials/{shard:02}"


def shared_priors_object() -> str:
    return "_passing/shared-priors.json"


def spool_prefix(tenant: str) -> str:
    return f"_passing/spool/{tenant}/"


def spool_object(tenant: str, decision_id: str) -> str:
    return f"{spool_prefix(tenant)}{decision_id}.json"


def records_prefix(tenant: str, folder: str) -> str:
    return f"{tenant}/{folder}/"


def policies_prefix(tenant: str) -> str:
    return f"{tenant}/policies/"


def object_key(tenant: str, folder: str, at_ms: int, name: str) -> str:
    """Where a batch of the hour (UTC) of `at_ms` goes; `dt=` and `hh=` are what Athena projects partitions from."""
    hour = datetime.fromtimestamp(at_ms // 1000, UTC)
    return f"{tenant}/{folder}/dt={hour:%Y-%m-%d}/hh={hour:%H}/{name}.jsonl.gz"
