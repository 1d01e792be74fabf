"""Accounts: what is counted against a limit, period by period (UTC), and what a decision charges to each.

An account in one period has a key, `SCOPE:NAME:UNIT/PERIOD@INDEX`, as in `org:growth:$/month@682`. Ledgers, decision
tokens and statistics call it by that.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from policy_engine.budgets import BudgetReading, covers
from policy_engine.wire import RouteRequest, TelemetryRecord
from policy_lang.ir import Policy, Route
from policy_lang.vocabulary import OUTCOMES

__all__ = [
    "INLINE",
    "REQUESTS",
    "Account",
    "Allowance",
    "Charge",
    "allowances",
    "budgeted",
    "charges",
    "exploration",
    "exploration_name",
    "explored_money",
    "read_key",
    "settled",
]

#: A key and an amount in its account's unit.
Charge = tuple[str, int]

_DAY_MS = 86_400_000
_SIGNS: dict[str, str] = {"nanodollars": "$", "tokens": "tokens", "requests": "requests"}
_UNITS = {sign: unit for unit, sign in _SIGNS.items()}


class Account(NamedTuple):
    """scope: that of a budget, `explore` (name: policy and route, `acme/support/labelling`), `inline` or `requests`.
    name is None for the tenant as a whole.
    """

    scope: str
    name: str | None
    unit: str
    period: str

    @property
    def text(self) -> str:
        return f"{self.scope}:{self.name or ''}:{_SIGNS[self.unit]}/{self.period}"

    def key(self, now_ms: int) -> str:
        """The account in the period of a moment."""
        return f"{self.text}@{self.period_at(now_ms)}"

    def period_at(self, now_ms: int) -> int:
        """Minutes, days or months since 1970."""
        if self.period == "month":
            return _month(now_ms // _DAY_MS)
        return now_ms // (_DAY_MS if self.period == "day" else 60_000)

    def bounds(self, index: int) -> tuple[int, int]:
        """Milliseconds at which a period begins, and the next one does."""
        if self.period == "month":
            return _first_day(index) * _DAY_MS, _first_day(index + 1) * _DAY_MS
        length = _DAY_MS if self.period == "day" else 60_000
        return index * length, (index + 1) * length


class Allowance(NamedTuple):
    """An account that covers a request, and how much of its unit it grants in a period."""

    account: Account
    limit: int


#: What a tenant may ask in a minute.
REQUESTS = Account("requests", None, "requests", "minute")


#: What the calls of a tenant's inline policies cost in a day, all of them together.
INLINE = Account("inline", None, "nanodollars", "day")


def exploration(policy: str, route: str) -> Account:
    """The money that finding out more costs a route of a policy in a day, whichever of its versions decides."""
    return Account("explore", exploration_name(policy, route), "nanodollars", "day")


def exploration_name(policy: str, route: str) -> str:
    """What that account is called; a route's name holds no `/`, so no two routes share one."""
    return f"{policy}/{route}"


def allowances(policy: Policy, request: RouteRequest, route: Route) -> tuple[Allowance, ...]:
    """The budgets of a policy that cover a request, and the exploration money of the route it takes."""
    found = budgeted(policy, request)
    if route.explore is not None and route.explore.daily_nanodollars is not None:
        found += (Allowance(exploration(policy.name, route.name), route.explore.daily_nanodollars),)
    return found


def budgeted(policy: Policy, request: RouteRequest) -> tuple[Allowance, ...]:
    """The budgets of a policy that cover a request."""
    return tuple(
        Allowance(Account(budget.scope, budget.name, budget.unit, budget.period), budget.limit)
        for budget in policy.budgets
        if covers(budget, request)
    )


def charges(
    readings: Sequence[BudgetReading], now_ms: int, cost_nanodollars: int, tokens: int, *, explored: bool
) -> tuple[Charge, ...]:
    """What one served decision is expected to use of each account that was read for it; settled by telemetry."""
    found = []
    for reading in readings:
        if reading.scope != "explore" or explored:
            account = Account(reading.scope, reading.name, reading.unit, reading.period)
            found.append((account.key(now_ms), cost_nanodollars if reading.unit == "nanodollars" else tokens))
    return tuple(found)


def settled(expected: Sequence[Charge], record: TelemetryRecord, cost_nanodollars: int | None) -> tuple[Charge, ...]:
    """What the outcome of one hop puts right in the accounts its decision was charged to.

    The decision was charged what it was expected to use; its first hop puts what it did use in the place of that, later
    hops come on top. A hop that does not say is taken at what was expected, or at nothing where its provider failed.
    """
    tokens = None
    if record.input_tokens is not None and record.output_tokens is not None:
        tokens = record.input_tokens + record.output_tokens
    failed = record.outcome is not None and OUTCOMES[record.outcome] == "provider"
    found = []
    for key, amount in expected:
        reported = cost_nanodollars if read_key(key)[0].unit == "nanodollars" else tokens
        used = reported if reported is not None else 0 if failed else amount
        if beyond := used - (amount if record.hop == 0 else 0):
            found.append((key, beyond))
    return tuple(found)


def explored_money(taken: Mapping[str, int], settled: Mapping[str, int], now_ms: int) -> dict[str, int]:
    """Nano-dollars that exploration has taken on the day of `now_ms`, by the account's name; slices that nobody spent
    count.
    """
    found = {}
    for key, amount in taken.items():
        account, index = read_key(key)
        if account.scope == "explore" and account.name is not None and index == account.period_at(now_ms):
            found[account.name] = max(0, amount + settled.get(key, 0))
    return dict(sorted(found.items()))


def read_key(key: str) -> tuple[Account, int]:
    """Account and period of a key; ValueError where it is none."""
    text, _, index = key.rpartition("@")
    scope, _, rest = text.partition(":")
    head, _, period = rest.rpartition("/")
    name, colon, sign = head.rpartition(":")
    if not colon or sign not in _UNITS or period not in ("minute", "day", "month"):
        raise ValueError(f"`{key}` is not an account's key")
    return Account(scope, name or None, _UNITS[sign], period), int(index)


def _month(day: int) -> int:
    """Months since 1970 of a day since 1970, by 400-year eras that begin in March (Hinnant, `chrono`-compatible
    low-level date algorithms, 2013): the calendar without a clock's library.
    """
    era, of_era = divmod(day + 719_468, 146_097)
    year = (of_era - of_era // 1_460 + of_era // 36_524 - of_era // 146_096) // 365
    from_march = (5 * (of_era - (365 * year + year // 4 - year // 100)) + 2) // 153
    return (year + era * 400 - 1970) * 12 + from_march + 2


def _first_day(month: int) -> int:
    """Day since 1970 on which a month since 1970 begins; the inverse of `_month` there."""
    year, from_march = divmod(month + 1970 * 12 - 2, 12)
    era, of_era = divmod(year, 400)
    days = of_era * 365 + of_era // 4 - of_era // 100 + (153 * from_march + 2) // 5
    return era * 146_097 + days - 719_468
