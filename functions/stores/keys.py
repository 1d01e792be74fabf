"""Every key of every table and bucket, in one place. All of a tenant's keys start with the tenant as authenticated.

INVARIANT: a tenant's name holds no `#` and no `/` (`registry.enrol` admits none that does), so no key can reach into
another tenant's.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from functions.stores.items import Value
from policy_engine.settlement import CellKey, MarkerKey

__all__ = [
    "SHARDS",
    "Key",
    "accounts_key",
    "alias_key",
    "cell_key",
    "cell_partition",
    "credential_key",
    "marker_key",
    "object_key",
    "pointer_key",
    "policy_key",
    "policy_object",
    "reply_key",
    "session_key",
    "settled_key",
    "settled_partition",
    "shard_of",
    "spool_object",
    "spool_prefix",
    "state_object",
    "tenant_key",
    "tenants_partition",
]

#: Partitions that a tenant's cells are spread over, so that no single one takes all its writes.
SHARDS = 8

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


def cell_partition(tenant: str, shard: int) -> str:
    return f"{tenant}#{shard}"


def cell_key(cell: CellKey) -> Key:
    partition = cell_partition(cell.tenant, shard_of(cell.cluster))
    return {"pk": partition, "sk": f"cell#{cell.cluster}#{cell.arm}#{cell.generation}#{cell.epoch}"}


def marker_key(marker: MarkerKey) -> Key:
    return {"pk": f"{marker.tenant}#{marker.decision_id}", "sk": f"{marker.hop}#{marker.field}"}


def settled_partition(tenant: str) -> str:
    return f"{tenant}#settled"


def settled_key(tenant: str, day: int, shard: int) -> Key:
    # Days since 1970 have five digits until 2243, so that they sort as they come.
    return {"pk": settled_partition(tenant), "sk": f"{day}#{shard}"}


def accounts_key(tenant: str) -> Key:
    return {"pk": f"{tenant}#accounts", "sk": "-"}


def reply_key(tenant: str, door: str, name: str) -> Key:
    return {"pk": f"{tenant}#{door}#{name}", "sk": "-"}


def session_key(tenant: str, name: str) -> Key:
    return {"pk": f"{tenant}#session#{name}", "sk": "-"}


def state_object(tenant: str, digest: str) -> str:
    return f"{tenant}/state/{digest}.json.gz"


def policy_object(tenant: str, fingerprint: str) -> str:
    return f"{tenant}/policies/{fingerprint}.json"


def spool_prefix(tenant: str) -> str:
    return f"{tenant}/spool/"


def spool_object(tenant: str, decision_id: str) -> str:
    return f"{spool_prefix(tenant)}{decision_id}.json"


def object_key(tenant: str, folder: str, at_ms: int, name: str) -> str:
    """Where a batch of the hour (UTC) of `at_ms` goes; `dt=` and `hh=` are what Athena projects partitions from."""
    hour = datetime.fromtimestamp(at_ms // 1000, UTC)
    return f"{tenant}/{folder}/dt={hour:%Y-%m-%d}/hh={hour:%H}/{name}.jsonl.gz"
