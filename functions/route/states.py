"""Route state as an environment holds it: of a stated age at most, or older while its source is down."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from functions.caching import Recent
from functions.stores.backups import Backups
from functions.stores.errors import StoreError
from functions.stores.state import Pointer, StateStore
from policy_engine.state import RouteState, state_catalog
from policy_lang.catalog import Catalog
from policy_lang.frozen import frozen

__all__ = ["STALE_LIMIT_MS", "States", "View"]

#: Age at which cached state no longer serves on its own, however unreachable its source.
STALE_LIMIT_MS = 5 * 60 * 1000
# While the source is down every request would wait for it in vain; one in this many milliseconds does.
_RETRY_MS = 2_000
# Whoever asks for a policy that was published a moment ago should not wait until the state is looked at anyway.
_UNKNOWN_MS = 1_000
_HELD_TENANTS = 128


@frozen
class View:
    """A tenant's state and its catalog at the prices of the day, how old they are, and whether older than they
    should be. `moved`: it was read anew for this request.
    """

    state: RouteState
    catalog: Catalog
    age_ms: int
    degraded: bool
    moved: bool = False


@frozen
class _Held:
    """`read_ms`: when the state was known to be current. `pointer`: None also for a copy, which nothing points to."""

    state: RouteState
    catalog: Catalog
    pointer: Pointer | None
    read_ms: int
    day: str
    failed_ms: int | None = None


class States:
    """Cached route states by tenant. Ages are of event time, in either direction: clocks also jump back.

    While the source is down the cached state serves for five minutes, and then the signed copy of it, or the cached one
    where that is no older. Either is degraded, and neither serves beyond `copy_limit_ms`.
    """

    def __init__(self, store: StateStore, backups: Backups, max_age_ms: int, copy_limit_ms: int) -> None:
        self._store = store
        self._backups = backups
        self._max_age_ms = max_age_ms
        self._copy_limit_ms = copy_limit_ms
        self._held: Recent[str, _Held] = Recent(_HELD_TENANTS)

    def view(self, tenant: str, now_ms: int, policy: str | None = None) -> View:
        """The state to decide on, not over a second old where it knows no `policy` of that name; StoreError where there
        is none that is young enough and none can be read.
        """
        held = before = self._held.get(tenant)
        if held is None or held.failed_ms is not None or abs(now_ms - held.read_ms) > self._longest(held, policy):
            held = self._held.put(tenant, self._refreshed(tenant, held, now_ms))
        moved = before is None or before.state is not held.state
        return View(held.state, held.catalog, abs(now_ms - held.read_ms), held.failed_ms is not None, moved)

    def _longest(self, held: _Held, policy: str | None) -> int:
        known = policy is None or policy in held.state.aliases
        return self._max_age_ms if known else min(_UNKNOWN_MS, self._max_age_ms)

    def _refreshed(self, tenant: str, held: _Held | None, now_ms: int) -> _Held:
        if held is not None and held.failed_ms is not None and abs(now_ms - held.failed_ms) < _RETRY_MS:
            return held
        try:
            return self._read(tenant, held, now_ms)
        except StoreError as outage:
            if held is not None and abs(now_ms - held.read_ms) <= STALE_LIMIT_MS:
                return replace(_priced(held, now_ms), failed_ms=now_ms)
            return self._copied(tenant, held, now_ms, outage)

    def _read(self, tenant: str, held: _Held | None, now_ms: int) -> _Held:
        pointer = self._store.pointer(tenant)
        if held is not None and pointer is not None and pointer == held.pointer:
            return replace(_priced(held, now_ms), read_ms=now_ms, failed_ms=None)
        state, day = self._store.fetch(tenant, pointer), _day(now_ms)
        return _Held(state, _catalog(state, held, day), pointer, now_ms, day)

    def _copied(self, tenant: str, held: _Held | None, now_ms: int, outage: StoreError) -> _Held:
        """The second source; `outage` where it has nothing to offer either, StoreError where that is too old."""
        try:
            state, at_ms = self._backups.state(tenant, now_ms)
        except StoreError:
            raise outage from None
        kept = held is not None and held.state.version >= state.version
        if held is not None and kept:
            at_ms = max(held.read_ms, at_ms)
        if abs(now_ms - at_ms) > self._copy_limit_ms:
            raise _too_old(abs(now_ms - at_ms), self._copy_limit_ms) from outage
        if held is not None and kept:
            return replace(_priced(held, now_ms), read_ms=at_ms, failed_ms=now_ms)
        day = _day(now_ms)
        return _Held(state, _catalog(state, held, day), None, at_ms, day, failed_ms=now_ms)


def _too_old(age_ms: int, limit_ms: int) -> StoreError:
    message = (
        f"the tables are down, and the copy of the tenant's state is {age_ms // 60_000} minutes old; it serves for"
        f" {limit_ms // 60_000} (StateCopyLimitSeconds)"
    )
    return StoreError("state_unavailable", message, "Stale")


def _day(now_ms: int) -> str:
    return datetime.fromtimestamp(now_ms / 1000, UTC).date().isoformat()


def _priced(held: _Held, now_ms: int) -> _Held:
    """The same at the prices of the day: they change at midnight, with or without news of the state."""
    day = _day(now_ms)
    return replace(held, catalog=_catalog(held.state, held, day), day=day)


def _catalog(state: RouteState, held: _Held | None, day: str) -> Catalog:
    """The tenant's rows at the prices of the day; the held ones where they are the same."""
    if held is not None and held.day == day and held.state.overlay == state.overlay:
        return held.catalog
    return state_catalog(state).on(day)
