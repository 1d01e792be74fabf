"""What a request is measured against before it is decided, and charged to once it is."""

from __future__ import annotations

from dataclasses import replace

from functions.route.leases import INLINE_ACCOUNTS, Leases
from functions.route.states import View
from functions.stores.ledger import Ledger
from policy_engine.accounts import REQUESTS, Allowance, allowances
from policy_engine.budgets import BudgetReading
from policy_engine.decision import Decision
from policy_engine.pacing import told_pace
from policy_engine.table import Table
from policy_engine.wire import RouteRequest, too_many, too_many_accounts

__all__ = ["Meter"]


class Meter:
    """Budgets, exploration money and the tenant's requests a minute, all of them leased alike."""

    def __init__(self, ledger: Ledger) -> None:
        self._leases = Leases(ledger)

    def readings(
        self, wanted: RouteRequest, table: Table, view: View, tenant: str, now_ms: int
    ) -> tuple[BudgetReading, ...]:
        """What the accounts that cover a request have used; RequestError 429 where the tenant has asked too often, or
        its inline policies have made up too many accounts.
        """
        covering = allowances(table.policy, wanted, table.survey(wanted).route)
        if wanted.inline is not None and self._leases.crowded(tenant, covering, now_ms):
            raise too_many_accounts(INLINE_ACCOUNTS)
        most = view.state.limits.requests_per_minute
        if most is not None:
            covering = (Allowance(REQUESTS, most), *covering)
        found = self._leases.readings(tenant, covering, view.state.settled, now_ms, hurried=view.moved)
        if view.state.paces:
            found = tuple(
                replace(reading, pace_ppm=told_pace(view.state.paces, each.account))
                for reading, each in zip(found, covering, strict=True)
            )
        if most is None:
            return found
        if found[0].used is not None and found[0].used >= most:
            raise too_many(most, REQUESTS.bounds(REQUESTS.period_at(now_ms))[1] - now_ms)
        self._leases.charge(tenant, ((REQUESTS.key(now_ms), 1),))
        return found[1:]

    def charge(self, decision: Decision) -> None:
        """Take what a decision is expected to use out of the leases."""
        self._leases.charge(decision.circumstances.tenant, decision.charges())
