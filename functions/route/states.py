"""Route state as an environment holds it: of a stated age at most, or of five minutes while its source is down."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime

from functions.caching import Recent
from functions.stores.errors import StoreError
from functions.stores.state import Pointer, StateStore
from policy_engine.state import RouteState, state_catalog
from policy_lang.catalog import Catalog

__all__ = ["STALE_LIMIT_MS", "States", "View"]

#: Age at which cached state no longer serves, however unreachable its source.
STALE_LIMIT_MS = 5 * 60 * 1000
# While the source is down every request would wait for it in vain; one in this many milliseconds does.
_RETRY_MS = 2_000
_HELD_TENANTS = 128


@dataclass(frozen=True, slots=True)
class View:
    """A tenant's state and its catalog at the prices of the day, how old they are, and whether older than they
    should be. `moved`: it was read anew for this request.
    """

    state: RouteState
    catalog: Catalog
    age_ms: int
    degraded: bool
    moved: bool = False


@dataclass(frozen=True, slots=True)
class _Held:
    state: RouteState
    catalog: Catalog
    pointer: Pointer | None
    read_ms: int
    day: str
    failed_ms: int | None = None


class States:
    """Cached route states by tenant. Ages are of event time, in either direction: clocks also jump back."""

    def __init__(self, store: StateStore, max_age_ms: int) -> None:
        self._store = store
        self._max_age_ms = max_age_ms
        self._held: Recent[str, _Held] = Recent(_HELD_TENANTS)

    def view(self, tenant: str, now_ms: int) -> View:
        """The state to decide on; StoreError where there is none that is young enough and none can be read."""
        held = before = self._held.get(tenant)
        if held is None:
            held = self._held.put(tenant, self._read(tenant, None, now_ms))
        elif abs(now_ms - held.read_ms) > self._max_age_ms:
            held = self._held.put(tenant, self._refreshed(tenant, held, now_ms))
        moved = before is None or before.state is not held.state
        return View(held.state, held.catalog, abs(now_ms - held.read_ms), held.failed_ms is not None, moved)

    def _refreshed(self, tenant: str, held: _Held, now_ms: int) -> _Held:
        usable = abs(now_ms - held.read_ms) <= STALE_LIMIT_MS
        if usable and held.failed_ms is not None and abs(now_ms - held.failed_ms) < _RETRY_MS:
            return held
        try:
            return self._read(tenant, held, now_ms)
        except StoreError:
            if not usable:
                raise
            return replace(held, failed_ms=now_ms)

    def _read(self, tenant: str, held: _Held | None, now_ms: int) -> _Held:
        pointer = self._store.pointer(tenant)
        day = datetime.fromtimestamp(now_ms / 1000, UTC).date().isoformat()
        if held is not None and pointer == held.pointer:
            catalog = held.catalog if day == held.day else state_catalog(held.state).on(day)
            return replace(held, catalog=catalog, day=day, read_ms=now_ms, failed_ms=None)
        state = self._store.fetch(tenant, pointer)
        same_rows = held is not None and held.state.overlay == state.overlay and held.day == day
        catalog = held.catalog if held is not None and same_rows else state_catalog(state).on(day)
        return _Held(state, catalog, pointer, now_ms, day)
