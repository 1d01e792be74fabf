"""Once an hour: what the tenants that opted in know of public models becomes the shared priors, and old states go."""

from __future__ import annotations

from typing import Any

from functions.observability import observe
from functions.stores.errors import StoreError
from functions.stores.registry import Registry
from functions.stores.sharing import SharedPriors
from functions.stores.state import StateStore
from functions.stores.statistics import StatisticsStore
from policy_engine.priors import TenantMean
from policy_engine.sharing import pooled, tenant_means

__all__ = ["Hourly"]


class Hourly:
    """The slow half of `watch`."""

    def __init__(
        self, registry: Registry, statistics: StatisticsStore, state: StateStore, shared: SharedPriors
    ) -> None:
        self._registry = registry
        self._statistics = statistics
        self._state = state
        self._shared = shared

    def run(self, now_ms: int) -> dict[str, Any]:
        """Publish the priors and sweep. A tenant that cannot be read is left out of both until the next hour."""
        records: list[dict[str, TenantMean]] = []
        failed: dict[str, str] = {}
        swept = 0
        members = self._registry.members()
        for member in members:
            try:
                if member.shares_priors:
                    generations = self._state.current(member.tenant).snapshot.generations
                    records.append(tenant_means(self._statistics.cells(member.tenant), generations))
                swept += self._state.sweep(member.tenant, now_ms)
            except StoreError as outage:
                failed[member.tenant] = outage.code
        priors = pooled(records)
        self._shared.put(priors, now_ms)
        counts = {"PriorsShared": len(priors), "TenantsSharing": len(records), "StatesSwept": swept}
        observe("watch", "hourly", counts, {"failed": failed} if failed else {}, failed=bool(failed))
        return {"priors": len(priors), "tenants": len(records), "swept": swept}
