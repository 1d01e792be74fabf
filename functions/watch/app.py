"""On a schedule: statistics to a fresh snapshot in every tenant's route state, spooled receipts into their queue."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from functools import cache
from typing import Any

from functions.observability import observe
from functions.settings import WatchSettings, load, running_in_lambda
from functions.stores import clients
from functions.stores.errors import StoreError
from functions.stores.ledger import Ledger
from functions.stores.queues import Queue
from functions.stores.records import Spool
from functions.stores.registry import Registry
from functions.stores.state import Revision, StateStore
from functions.stores.statistics import StatisticsStore
from policy_engine.accounts import explored_money
from policy_engine.limits import Limits
from policy_engine.state import RouteState, with_accounts, with_statistics

__all__ = ["Watcher", "handler"]


class Watcher:
    """Keeps route states fresh. One tenant's trouble does not keep the others waiting."""

    def __init__(
        self,
        registry: Registry,
        ledger: Ledger,
        statistics: StatisticsStore,
        state: StateStore,
        spool: Spool,
        receipts: Queue,
    ) -> None:
        self._registry = registry
        self._ledger = ledger
        self._statistics = statistics
        self._state = state
        self._spool = spool
        self._receipts = receipts

    def look(self, event: Mapping[str, Any]) -> dict[str, Any]:
        """Refresh the tenant that the event names, or all of them, as of the event's time.

        The answer holds the version of each refreshed state; StoreError at the end if any could not be refreshed.
        """
        now_ms = round(datetime.fromisoformat(event["time"]).timestamp() * 1000)
        named = event.get("tenant")
        tenants = {named: self._registry.limits(named)} if named else self._registry.tenants()
        versions: dict[str, int] = {}
        failures: dict[str, StoreError] = {}
        left_out: dict[str, Mapping[str, int]] = {}
        drained = 0
        for tenant, limits in tenants.items():
            try:
                state = self._refreshed(tenant, limits, now_ms)
                versions[tenant] = state.version
                if state.snapshot.left_out:
                    left_out[tenant] = state.snapshot.left_out
                drained += self._drained(tenant)
            except StoreError as outage:
                failures[tenant] = outage
        failed = {tenant: outage.code for tenant, outage in failures.items()}
        counts = {"StatesRefreshed": len(versions), "ReceiptsDrained": drained, "WatchFailures": len(failed)}
        counts["StatisticsRowsLeftOut"] = sum(sum(reasons.values()) for reasons in left_out.values())
        facts = {name: found for name, found in (("failed", failed), ("left_out", left_out)) if found}
        observe("watch", "watched", counts, facts, failed=bool(facts))
        if failures:
            raise next(iter(failures.values()))
        return {"versions": versions, "drained": drained}

    def _refreshed(self, tenant: str, limits: Limits, now_ms: int) -> RouteState:
        leased, settled = self._ledger.accounts(tenant), self._statistics.settled(tenant, now_ms)
        spent = explored_money(leased, settled, now_ms)
        rows = list(self._statistics.cells(tenant))

        def renewed(state: RouteState) -> Revision:
            return Revision(with_accounts(with_statistics(state, rows, now_ms, spent), settled, limits, now_ms))

        return self._state.revise(tenant, renewed)

    def _drained(self, tenant: str) -> int:
        """Send what `route` had to spool. Sent first and removed after: twice is harmless, never is not."""
        drained = 0
        for key, message in self._spool.waiting(tenant):
            self._receipts.send(message)
            self._spool.remove(key)
            drained += 1
        return drained


def handler(event: Mapping[str, Any], _context: object) -> dict[str, Any]:
    """Schedule entry; also invoked by tools with `{"tenant": ..., "time": ...}`."""
    return watcher().look(event)


@cache
def watcher() -> Watcher:
    """The environment's watcher, built from its settings."""
    settings = load(WatchSettings)
    dynamodb, s3 = clients.patient("dynamodb"), clients.patient("s3")
    return Watcher(
        Registry(dynamodb, settings.state_table),
        Ledger(dynamodb, settings.ledger_table),
        StatisticsStore(dynamodb, settings.statistics_table),
        StateStore(dynamodb, s3, settings.state_table, settings.state_bucket),
        Spool(s3, settings.records_bucket),
        Queue(clients.patient("sqs"), settings.records_queue_url, "records_unavailable"),
    )


if running_in_lambda():
    watcher()
