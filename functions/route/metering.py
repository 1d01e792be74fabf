"""What a request is measured against before it is decided, and charged to once it is."""

from __future__ import annotations

from dataclasses import replace

from functions.route.leases import INLINE_ACCOUNTS, Leases
from functions.route.states import View
from functions.route.tables import Assigned
from functions.stores.ledger import Ledger
from policy_engine.accounts import REQUESTS, Allowance, allowances, budgeted
from policy_engine.budgets import BudgetReading, judge_budgets
from policy_engine.decision import Decision
from policy_engine.pacing import told_pace
from policy_engine.wire import too_many, too_many_accounts

__all__ = ["Meter", "strained"]


class Meter:
    """Budgets, exploration money and the tenant's requests a minute, all of them leased alike."""

    def __init__(self, ledger: Ledger) -> None:
        self._leases = Leases(ledger)

    def readings(
        self, assigned: Assigned, view: View, tenant: str, now_ms: int, *, counted: bool = False
    ) -> tuple[BudgetReading, ...]:
        """What the accounts that cover a request have used; RequestError 429 where the tenant has asked too often, or
        its inline policies have made up too many accounts. `counted`: this request was counted before.
        """
        covering = _covering(assigned)
        if assigned.wanted.inline is not None and self._leases.crowded(tenant, covering, now_ms):
            raise too_many_accounts(INLINE_ACCOUNTS)
        most = None if counted else view.state.limits.requests_per_minute
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


def strained(assigned: Assigned, readings: tuple[BudgetReading, ...]) -> bool:
    """Whether the policy that was asked for must degrade or deny: then it decides itself, and none of its canaries."""
    asked = assigned.asked.policy
    if not (asked.canaries and asked.budgets):
        return False
    return judge_budgets(asked.budgets, readings, assigned.wanted).state in ("degrade", "deny")


def _covering(assigned: Assigned) -> tuple[Allowance, ...]:
    """The accounts of the policy that decides and, where that is a canary, the budgets of the policy asked for: what a
    canary spends is spent by the policy it is drawn from. Of an account in both the smaller limit is leased by.
    """
    wanted, table = assigned.wanted, assigned.table
    own = allowances(table.policy, wanted, table.survey(wanted).route)
    if assigned.asked is table:
        return own
    limits = {each.account: each.limit for each in own}
    for account, limit in budgeted(assigned.asked.policy, wanted):
        limits[account] = min(limit, limits.get(account, limit))
    return tuple(Allowance(account, limit) for account, limit in limits.items())
