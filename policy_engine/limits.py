"""What one tenant may take of a deployment: requests, money of inline policies, published names, learning cells."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, fields
from hashlib import sha256
from typing import Any

from policy_engine.snapshot import Snapshot
from policy_lang.frozen import frozen

__all__ = ["DEFAULT_LIMITS", "Limits", "booked_cluster", "catch_all", "limits_document", "limits_from_document"]

_MOST = 10**12


@frozen
class Limits:
    """requests_per_minute: None is as many as the account's concurrency lets through. inline_dollars_per_day: what
    policies that come with calls may spend together; None leaves that to the guards. policies: names published.

    cells: shapes that statistics are kept of one by one; further ones share the cell of their task. A shape has an item
    for each arm tried in it.
    """

    requests_per_minute: int | None = None
    inline_dollars_per_day: int | None = None
    policies: int = 100
    cells: int = 5_000

    def __post_init__(self) -> None:
        """ValueError for what is no limit."""
        for each in fields(self):
            value = getattr(self, each.name)
            if value is None and each.default is None:
                continue
            if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= _MOST:
                raise ValueError(f"`{each.name}` must be a whole number of at least 1")


#: Of a tenant whose registration names none.
DEFAULT_LIMITS = Limits()


def limits_document(limits: Limits) -> dict[str, Any]:
    """JSON values; what is unlimited is left out."""
    return {name: value for name, value in asdict(limits).items() if value is not None}


def limits_from_document(document: Mapping[str, Any]) -> Limits:
    """The inverse of `limits_document`; a limit that is not named is the default one. ValueError for an unknown one."""
    known = [each.name for each in fields(Limits)]
    for name in document:
        if name not in known:
            raise ValueError(f"`{name}` is no limit; limits are {', '.join(known)}")
    return Limits(**document)


def booked_cluster(cluster: str, task: str, snapshot: Snapshot, limits: Limits) -> str:
    """The cluster whose cell a decision teaches: its own, or that of its task once the tenant has as many as it may.

    Asked of the snapshot, so that a burst of new shapes overshoots by those of the minute before it.
    """
    if cluster in snapshot.cells or len(snapshot.cells) < limits.cells:
        return cluster
    return catch_all(cluster, task)


def catch_all(cluster: str, task: str) -> str:
    """The cluster of a task's further shapes; `cluster` says how long one is."""
    return sha256(f"pointsman/catch-all/{task}".encode()).hexdigest()[: len(cluster)]
