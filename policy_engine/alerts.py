"""What somebody should hear of: the difference between two route states of a tenant, as events."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Literal

from policy_engine.soundness import CLOCK_SKEW_MS
from policy_engine.state import RouteState, watched_trials
from policy_lang.frozen import frozen

__all__ = ["STALE_MS", "Alert", "AlertKind", "alerts", "stale"]

AlertKind = Literal[
    "arm_degraded", "arm_improved", "breaker_opened", "breaker_closed", "canary_stopped", "snapshot_stale"
]
#: A snapshot that nobody has confirmed for so long is stale: five looks of one minute.
STALE_MS = 5 * 60 * 1000


@frozen
class Alert:
    """One event. `subject`: an arm, a policy's name, or the tenant."""

    kind: AlertKind
    tenant: str
    subject: str
    facts: Mapping[str, str | int]


def alerts(before: RouteState, after: RouteState, now_ms: int) -> list[Alert]:
    """Events between two states of one tenant, arms in their order; none where they are the same."""
    return [*_moves(before, after), *_breakers(before, after), *_stops(before, after), *_ahead(after, now_ms)]


def stale(tenant: str, age_ms: int, cause: str) -> Alert:
    """The snapshot could not be renewed for `age_ms`."""
    return Alert("snapshot_stale", tenant, tenant, {"age_ms": age_ms, "cause": cause})


def _moves(before: RouteState, after: RouteState) -> Iterator[Alert]:
    """Arms that began a new generation because they no longer behave as their record says."""
    then, now = before.snapshot, after.snapshot
    for arm, generation in now.generations.items():
        if generation > then.generations.get(arm, 0) and arm in now.moves:
            moved = now.moves[arm]
            facts: dict[str, str | int] = {"generation": generation, "moved_ppm": moved, "snapshot": now.fingerprint}
            yield Alert("arm_degraded" if moved < 0 else "arm_improved", after.tenant, arm, facts)


def _breakers(before: RouteState, after: RouteState) -> Iterator[Alert]:
    for arm, breaker in after.breakers.items():
        known = before.breakers.get(arm)
        if known is None or known.opened_ms != breaker.opened_ms:
            facts = {"until_ms": breaker.until_ms, "again": int(known is not None)}
            yield Alert("breaker_opened", after.tenant, arm, facts)
    for arm in before.breakers.keys() - after.breakers.keys():
        yield Alert("breaker_closed", after.tenant, arm, {"opened_ms": before.breakers[arm].opened_ms})


def _stops(before: RouteState, after: RouteState) -> Iterator[Alert]:
    for lane, canary in watched_trials(after, 0):
        if lane.key in after.stopped and lane.key not in before.stopped:
            yield Alert("canary_stopped", after.tenant, canary.policy, {"trial": lane.trial, "lane": lane.lane})


def _ahead(after: RouteState, now_ms: int) -> Iterator[Alert]:
    """A snapshot made by a clock that had jumped ahead keeps newer ones out."""
    if after.snapshot.made_ms > now_ms + CLOCK_SKEW_MS:
        yield Alert(
            "snapshot_stale",
            after.tenant,
            after.tenant,
            {"age_ms": now_ms - after.snapshot.made_ms, "cause": "clock_before_snapshot"},
        )
