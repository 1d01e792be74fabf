"""What a request is measured against before it is decided, and charged to once it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from functions.route.leases import INLINE_ACCOUNTS, Leases
from functions.route.states import View
from functions.route.tables import Assigned
from functions.stores.ledger import Ledger
from policy_engine.accounts import INLINE, REQUESTS, Allowance, allowances, budgeted
from policy_engine.budgets import BudgetReading, judge_budgets
from policy_engine.decision import Decision
from policy_engine.limits import Limits
from policy_engine.pacing import told_pace
from policy_engine.wire import inline_used_up, too_many, too_many_accounts

__all__ = ["Meter", "strained"]

_NANODOLLARS = 1_000_000_000


class Meter:
    """Budgets, exploration money and the tenant's requests a minute, all of them leased alike."""

    def __init__(self, ledger: Ledger) -> None:
        self._leases = Leases(ledger)

    def readings(
        self, assigned: Assigned, view: View, tenant: str, now_ms: int, *, counted: bool = False
    ) -> tuple[BudgetReading, ...]:
        """What the accounts that cover a request have used; RequestError 429 where the tenant has asked too often, or
        its inline policies have spent too much or made up too many accounts. `counted`: this request was before.
        """
        covering = _covering(assigned)
        if assigned.wanted.inline is not None and self._leases.crowded(tenant, covering, now_ms):
            raise too_many_accounts(INLINE_ACCOUNTS)
        limited = () if counted else _limited(assigned, view.state.limits)
        covering = (*limited, *covering)
        found = self._leases.readings(tenant, covering, view.state.settled, now_ms, hurried=view.moved)
        _check_limits(limited, found, now_ms)
        if any(account is REQUESTS for account, _ in limited):
            self._leases.charge(tenant, ((REQUESTS.key(now_ms), 1),))
        paces = view.state.paces
        return tuple(
            replace(reading, pace_ppm=told_pace(paces, each.account)) if paces else reading
            for reading, each in zip(found, covering, strict=True)
            if each.account is not REQUESTS
        )

    def charge(self, decision: Decision) -> None:
        """Take what a decision is expected to use out of the leases."""
        self._leases.charge(decision.circumstances.tenant, decision.charges())


def strained(assigned: Assigned, readings: tuple[BudgetReading, ...]) -> bool:
    """Whether the policy that was asked for must degrade or deny: then it decides itself, and none of its canaries."""
    asked = assigned.asked.policy
    if not (asked.canaries and asked.budgets):
        return False
    return judge_budgets(asked.budgets, readings, assigned.wanted).state in ("degrade", "deny")


def _limited(assigned: Assigned, limits: Limits) -> tuple[Allowance, ...]:
    """What the tenant itself limits of a request."""
    found = []
    if limits.requests_per_minute is not None:
        found.append(Allowance(REQUESTS, limits.requests_per_minute))
    if assigned.wanted.inline is not None and limits.inline_dollars_per_day is not None:
        found.append(Allowance(INLINE, limits.inline_dollars_per_day * _NANODOLLARS))
    return tuple(found)


def _check_limits(limited: Sequence[Allowance], readings: Sequence[BudgetReading], now_ms: int) -> None:
    """RequestError 429 for the first limit that is used up; one that is out of reach limits nothing."""
    for (account, limit), reading in zip(limited, readings, strict=False):
        if reading.used is not None and reading.used >= limit:
            wait_ms = account.bounds(account.period_at(now_ms))[1] - now_ms
            raise too_many(limit, wait_ms) if account is REQUESTS else inline_used_up(limit // _NANODOLLARS, wait_ms)


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
