"""Budget pacing: while a budget is ahead of its period, a dollar counts for more than a dollar where value is weighed.

The multiplier is the dual variable of the constraint "spend the budget evenly", raised and lowered by projected dual
ascent on how far spending is ahead (Balseiro and Gur, "Learning in Repeated Auctions with Budgets", Management Science
2019, do so for bids). `pick best value` weighs quality against cost * (1 + multiplier); nothing else changes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from policy_engine.accounts import Account
from policy_lang.ir import PPM, Budget, Route

__all__ = ["MOST_PPM", "advanced_paces", "paced_route", "told_pace"]

#: The multiplier is never beyond this: ten dollars for one.
MOST_PPM = 9 * PPM
#: By how much it would grow over a period that is ahead by the whole budget from the start.
_GAIN = 2_000
# A schedule that stood still for long must not leap.
_LONGEST_STEP_MS = 120_000
# What decisions are told: their memo is kept by it.
_STEP_PPM = 50_000


def advanced_paces(
    paces: Mapping[str, int],
    budgets: Iterable[Budget],
    used: Mapping[str, int],
    before_ms: int,
    now_ms: int,
) -> dict[str, int]:
    """Multipliers (ppm) above zero by account, after the time since `before_ms`. used: by key, nano-dollars.

    Of budgets that share an account the smallest limit counts.
    """
    limits: dict[Account, int] = {}
    for budget in budgets:
        if budget.unit == "nanodollars":
            account = Account(budget.scope, budget.name, budget.unit, budget.period)
            limits[account] = min(budget.limit, limits.get(account, budget.limit))
    found = {}
    for account, limit in sorted(limits.items(), key=lambda each: each[0].text):
        begins, ends = account.bounds(account.period_at(now_ms))
        ahead = used.get(account.key(now_ms), 0) * PPM // limit - (now_ms - begins) * PPM // (ends - begins)
        step = min(_LONGEST_STEP_MS, max(0, now_ms - before_ms))
        pace = paces.get(account.text, 0) + _GAIN * ahead * step // (ends - begins)
        if (pace := min(MOST_PPM, max(0, pace))) > 0:
            found[account.text] = pace
    return found


def told_pace(paces: Mapping[str, int], account: Account) -> int:
    """The multiplier as decisions use it, in steps of 5 %."""
    return paces.get(account.text, 0) // _STEP_PPM * _STEP_PPM


def paced_route(route: Route, pace_ppm: int) -> Route:
    """The route with what a success is worth divided by 1 + multiplier: the same as multiplying every cost by it."""
    pick = tuple(
        term
        if term.value_nanodollars is None
        else replace(term, value_nanodollars=max(1, term.value_nanodollars * PPM // (PPM + pace_ppm)))
        for term in route.pick
    )
    return replace(route, pick=pick)
