"""On a schedule: statistics to a fresh snapshot in every tenant's route state, breakers and stop-losses with it, signed
copies of it all in S3, spooled receipts into their queue. In between, where `learn` asks for it: the states of tenants
that are busy.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from typing import Any

from functions.observability import observe
from functions.settings import WatchSettings, load, running_in_lambda
from functions.stores import clients
from functions.stores.backups import Backups
from functions.stores.errors import StoreError
from functions.stores.ledger import Ledger
from functions.stores.queues import Queue
from functions.stores.records import Spool
from functions.stores.registry import Member, Registry
from functions.stores.secrets import KeyRing
from functions.stores.sharing import SharedPriors
from functions.stores.state import Revision, StateStore
from functions.stores.statistics import StatisticsStore
from functions.watch.alerts import raise_alert
from functions.watch.hourly import Hourly
from policy_engine.accounts import explored_money
from policy_engine.alerts import STALE_MS, alerts, stale
from policy_engine.estimate import Belief
from policy_engine.state import RouteState, watched_trials, with_accounts, with_statistics, with_tallies
from policy_lang.frozen import frozen

__all__ = ["WatchStores", "Watcher", "handler"]

#: Part of the name that SAM gives the rule of the event `Hourly`, after the stack's and before a random one.
_HOURLY_RULE = "WatchFunctionHourly"


@frozen
class WatchStores:
    """Everything that `watch` reads from or writes to."""

    registry: Registry
    ledger: Ledger
    statistics: StatisticsStore
    state: StateStore
    backups: Backups
    shared: SharedPriors
    spool: Spool
    receipts: Queue


@dataclass(slots=True)
class _Visit:
    """What became of one tenant, as far as it got: `outage` may come after the state was refreshed."""

    tenant: str
    version: int | None = None
    left_out: Mapping[str, int] = field(default_factory=dict)
    copied: int = 0
    drained: int = 0
    outage: StoreError | None = None


@dataclass(slots=True)
class _Look:
    """What one look at all tenants came to."""

    now_ms: int
    shared: Mapping[str, Belief] | None = None
    unshared: StoreError | None = None
    visits: list[_Visit] = field(default_factory=list)
    copied: int = 0
    failures: dict[str, StoreError] = field(default_factory=dict)


class Watcher:
    """Keeps route states fresh, several tenants at a time. One tenant's trouble does not keep the others waiting.

    Two that look at one tenant at once do no harm: the state's version lets one of them through, and what the other has
    is then the same or older and changes nothing.
    """

    def __init__(self, stores: WatchStores, workers: int, period_ms: int) -> None:
        self._stores = stores
        self._workers = workers
        self._period_ms = period_ms
        self._confirmed: dict[str, int] = {}
        self._looked_ms = 0

    def look(self, now_ms: int, tenant: str | None = None) -> dict[str, Any]:
        """Refresh one tenant, or all of them, as of `now_ms`.

        The answer holds the version of each refreshed state, by name; StoreError at the end if any could not be
        refreshed, ValueError for a tenant that is not enrolled.
        """
        members = self._stores.registry.members()
        if tenant is not None and tenant not in {member.tenant for member in members}:
            raise ValueError(f"no tenant `{tenant}` is enrolled")
        look = self._visited([member for member in members if tenant in (None, member.tenant)], now_ms, self._attend)
        self._tell_of_stale(look)
        if tenant is None:
            self._keep_credentials(look)
        _report(look)
        if look.failures:
            raise next(iter(look.failures.values()))
        versions = {visit.tenant: visit.version for visit in look.visits}
        return {"versions": versions, "drained": sum(visit.drained for visit in look.visits)}

    def renew(self, tenants: Iterable[str], now_ms: int) -> dict[str, Any]:
        """Refresh those of `tenants` whose snapshot is at least a period old, and nothing else: copies and spool wait
        for the schedule. Not enrolled (any more) is no error here. Answers and raises as `look` does.
        """
        pointers = {tenant: self._stores.state.pointer(tenant) for tenant in tenants}
        old = [tenant for tenant, at in pointers.items() if at is None or now_ms - at.snapshot_ms >= self._period_ms]
        members = [member for tenant in old if (member := self._stores.registry.member(tenant)) is not None]
        look = self._visited(members, now_ms, self._refresh)
        if look.visits:
            _report(look)
        if look.failures:
            raise next(iter(look.failures.values()))
        return {"versions": {visit.tenant: visit.version for visit in look.visits}}

    def _visited(self, members: list[Member], now_ms: int, attend: Callable[[Member, _Look, _Visit], object]) -> _Look:
        look = _Look(now_ms)
        if any(member.shares_priors for member in members):
            self._read_shared(look)
        with ThreadPoolExecutor(self._workers) as crew:
            look.visits = list(crew.map(lambda member: _isolated(attend, member, look), members))
        for visit in look.visits:
            if visit.version is not None:
                self._confirmed[visit.tenant] = now_ms
            if visit.outage is not None:
                look.failures[visit.tenant] = visit.outage
        return look

    def _read_shared(self, look: _Look) -> None:
        """Without them those who share keep the snapshot they have: one without the priors would decide otherwise."""
        try:
            look.shared = self._stores.shared.get()
        except Exception as fault:  # noqa: BLE001 - whoever shares nothing must not wait for it; the look fails later
            look.unshared = _outage(fault, "the shared priors")

    def _attend(self, member: Member, look: _Look, visit: _Visit) -> None:
        state = self._refresh(member, look, visit)
        visit.copied += self._stores.backups.keep_state(state, look.now_ms)
        visit.drained += self._drained(member.tenant)

    def _refresh(self, member: Member, look: _Look, visit: _Visit) -> RouteState:
        state = self._refreshed(member, look)
        visit.version, visit.left_out = state.version, state.snapshot.left_out
        return state

    def _tell_of_stale(self, look: _Look) -> None:
        """Tell of tenants that were not refreshed for long. While this environment did not look another one did, and
        only that one knows how it went.
        """
        if abs(look.now_ms - self._looked_ms) > STALE_MS // 2:
            self._confirmed = {tenant: ms for tenant, ms in self._confirmed.items() if ms == look.now_ms}
        self._looked_ms = look.now_ms
        for tenant, outage in look.failures.items():
            age_ms = look.now_ms - self._confirmed.setdefault(tenant, look.now_ms)
            if age_ms >= STALE_MS:
                raise_alert(stale(tenant, age_ms, outage.code))

    def _keep_credentials(self, look: _Look) -> None:
        try:
            look.copied += self._stores.backups.keep_credentials(self._stores.registry.credentials(), look.now_ms)
        except StoreError as outage:
            look.failures["-"] = outage

    def _refreshed(self, member: Member, look: _Look) -> RouteState:
        tenant, now_ms = member.tenant, look.now_ms
        if member.shares_priors and look.unshared is not None:
            raise look.unshared
        settled = self._stores.statistics.settled(tenant, now_ms)
        taken = self._stores.ledger.accounts(tenant)
        spent = explored_money(taken, settled, now_ms)
        rows = list(self._stores.statistics.cells(tenant))
        shared = look.shared if member.shares_priors else None
        before = RouteState(tenant)

        def change(state: RouteState) -> Revision:
            nonlocal before
            before = state
            renewed = with_statistics(state, rows, now_ms, spent, shared)
            renewed = with_accounts(renewed, taken, settled, member.limits, now_ms)
            if watched_trials(renewed, now_ms):
                renewed = with_tallies(renewed, self._stores.statistics.tallies(tenant), now_ms)
            return Revision(renewed)

        state = self._stores.state.revise(tenant, change)
        for alert in alerts(before, state, now_ms):
            raise_alert(alert)
        return state

    def _drained(self, tenant: str) -> int:
        """Send what `route` had to spool. Sent first and removed after: twice is harmless, never is not."""
        drained = 0
        for key, message in self._stores.spool.waiting(tenant):
            self._stores.receipts.send(message)
            self._stores.spool.remove(key)
            drained += 1
        return drained


def handler(event: Mapping[str, Any], _context: object) -> dict[str, Any]:
    """Entry of both schedules, of `learn` with `{"busy": [...], "time": ...}`, of tools with a `tenant` instead."""
    now_ms = round(datetime.fromisoformat(event["time"]).timestamp() * 1000)
    if any(_HOURLY_RULE in rule for rule in event.get("resources", ())):
        return hourly().run(now_ms)
    if "busy" in event:
        return watcher().renew(event["busy"], now_ms)
    return watcher().look(now_ms, event.get("tenant"))


@cache
def watcher() -> Watcher:
    """The environment's watcher, built from its settings."""
    settings = load(WatchSettings)
    return Watcher(_stores(settings), settings.watch_workers, settings.snapshot_period_ms)


@cache
def hourly() -> Hourly:
    """The environment's hourly job."""
    settings = load(WatchSettings)
    stores = _stores(settings)
    return Hourly(stores.registry, stores.statistics, stores.state, stores.shared, settings.watch_workers)


def _stores(settings: WatchSettings) -> WatchStores:
    dynamodb, s3 = clients.patient("dynamodb"), clients.patient("s3")
    keys = KeyRing(clients.patient("secretsmanager"), settings.signing_secret_arn)
    return WatchStores(
        Registry(dynamodb, settings.state_table),
        Ledger(dynamodb, settings.ledger_table),
        StatisticsStore(dynamodb, settings.statistics_table),
        StateStore(dynamodb, s3, settings.state_table, settings.state_bucket),
        Backups(s3, settings.state_bucket, keys),
        SharedPriors(s3, settings.state_bucket),
        Spool(s3, settings.state_bucket),
        Queue(clients.patient("sqs"), settings.records_queue_url, "records_unavailable"),
    )


def _isolated(attend: Callable[[Member, _Look, _Visit], object], member: Member, look: _Look) -> _Visit:
    """In a thread of its own: touches nothing that another tenant's visit does but the stores' clients."""
    visit = _Visit(member.tenant)
    try:
        attend(member, look, visit)
    except Exception as fault:  # noqa: BLE001 - books that cannot be read are one tenant's trouble; the look fails later
        visit.outage = _outage(fault, f"the books of `{member.tenant}`")
    return visit


def _outage(fault: Exception, what: str) -> StoreError:
    """The fault where a store says so itself, else that `what` cannot be read."""
    if isinstance(fault, StoreError):
        return fault
    outage = StoreError("tenant_unreadable", f"{what}: {fault!r}", "Unreadable")
    outage.__cause__ = fault
    return outage


def _report(look: _Look) -> None:
    failed = {tenant: outage.code for tenant, outage in look.failures.items()}
    left_out = {visit.tenant: visit.left_out for visit in look.visits if visit.left_out}
    counts = {
        "StatesRefreshed": sum(visit.version is not None for visit in look.visits),
        "ReceiptsDrained": sum(visit.drained for visit in look.visits),
        "WatchFailures": len(failed),
        "StatisticsRowsLeftOut": sum(sum(reasons.values()) for reasons in left_out.values()),
        "CopiesWritten": look.copied + sum(visit.copied for visit in look.visits),
    }
    facts = {name: found for name, found in (("failed", failed), ("left_out", left_out)) if found}
    observe("watch", "watched", counts, facts, failed=bool(facts))


if running_in_lambda():
    watcher()
