"""Once an hour: what the tenants that opted in know of public models becomes the shared priors, and old states go."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from functions.observability import observe
from functions.stores.errors import StoreError
from functions.stores.registry import Member, Registry
from functions.stores.sharing import SharedPriors
from functions.stores.state import StateStore
from functions.stores.statistics import StatisticsStore
from policy_engine.priors import TenantMean
from policy_engine.sharing import pooled, tenant_means

__all__ = ["Hourly"]


@dataclass(slots=True)
class _Visit:
    """What became of one tenant, as far as it got."""

    tenant: str
    means: dict[str, TenantMean] | None = None
    swept: int = 0
    failed: str | None = None


class Hourly:
    """The slow half of `watch`, several tenants at a time."""

    def __init__(
        self,
        registry: Registry,
        statistics: StatisticsStore,
        state: StateStore,
        shared: SharedPriors,
        workers: int,
    ) -> None:
        self._registry = registry
        self._statistics = statistics
        self._state = state
        self._shared = shared
        self._workers = workers

    def run(self, now_ms: int) -> dict[str, Any]:
        """Publish the priors and sweep. A tenant that cannot be read is left out of both until the next hour."""
        with ThreadPoolExecutor(self._workers) as crew:
            visits = list(crew.map(lambda member: self._visited(member, now_ms), self._registry.members()))
        records = [visit.means for visit in visits if visit.means is not None]
        failed = {visit.tenant: visit.failed for visit in visits if visit.failed}
        swept = sum(visit.swept for visit in visits)
        priors = pooled(records)
        self._shared.put(priors, now_ms)
        counts = {"PriorsShared": len(priors), "TenantsSharing": len(records), "StatesSwept": swept}
        observe("watch", "hourly", counts, {"failed": failed} if failed else {}, failed=bool(failed))
        return {"priors": len(priors), "tenants": len(records), "swept": swept}

    def _visited(self, member: Member, now_ms: int) -> _Visit:
        visit = _Visit(member.tenant)
        try:
            if member.shares_priors:
                generations = self._state.current(member.tenant).snapshot.generations
                visit.means = tenant_means(self._statistics.cells(member.tenant), generations)
            visit.swept = self._state.sweep(member.tenant, now_ms)
        except StoreError as outage:
            visit.failed = outage.code
        except Exception as fault:  # noqa: BLE001 - books that cannot be read are one tenant's trouble, and are told
            visit.failed = f"tenant_unreadable: {fault!r}"
        return visit
