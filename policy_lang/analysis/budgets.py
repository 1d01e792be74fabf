"""Budgets and exploration limits that contradict each other, or can have no effect."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

from policy_lang.analysis.findings import Finding, witness
from policy_lang.analysis.may import Served
from policy_lang.analysis.words import call_text, dollars, percent
from policy_lang.ir import Budget, Policy, Route

__all__ = ["budget_id", "budget_limits", "degraded_to_nothing", "exploration_limits"]

_SHORTEST_MONTH, _LONGEST_MONTH = 28, 31


def budget_limits(policy: Policy) -> Iterator[Finding]:
    """P552 a limit that can never be reached, P553 a part larger than its whole."""
    for first, second in combinations(policy.budgets, 2):
        if first.unit != second.unit:
            continue
        for one, other in ((first, second), (second, first)):
            if (one.scope, one.name) == (other.scope, other.name) and one.period != other.period:
                yield from _never_reached(one, other)
            elif other.scope == "tenant" != one.scope and other.at_limit == "deny" and _more(one, other):
                message = f"{_words(one)} lies above {_words(other)}, which ends it first"
                yield Finding("P553", budget_id(one), "warning", message)


def exploration_limits(policy: Policy) -> Iterator[Finding]:
    """P554 exploration money above a budget, P555 exploration that cannot happen, P556 less of it while unproven."""
    routes = (*policy.routes, policy.default)
    daily = sum(route.explore.daily_nanodollars or 0 for route in routes if route.explore)
    for budget in policy.budgets:
        days = 1 if budget.period == "day" else _SHORTEST_MONTH
        if budget.scope == "tenant" and budget.unit == "nanodollars" and daily * days > budget.limit:
            what = f"exploration may spend {dollars(daily)}/day, more than {_words(budget)} allows"
            yield Finding("P554", budget_id(budget), "warning", what, "lower `explore`, or raise the budget")
    for route in routes:
        yield from _exploration(route, policy)


def degraded_to_nothing(served: Served) -> Iterator[Finding]:
    """P557 where a budget degrades calls to a tier of which no model survives the gates."""
    for budget in served.world.policy.budgets:
        if budget.degrade is None:
            continue
        for index, route in enumerate(served.world.routes):
            counted = served.taken[index] & served.applies(budget)
            lost = counted
            for arm in served.tiers[budget.degrade]:
                if arm in served.arms:
                    lost &= ~served.pool(index, arm, (budget.degrade,))
            if lost:
                shown = witness(served.space, lost)
                what = "every call" if lost == counted else call_text(shown.given)
                message = f"{_words(budget)} degrades to tier `{budget.degrade}`, of which no model is left for {what}"
                yield Finding("P557", budget_id(budget), "warning", f"{message} on route `{route.name}`", None, shown)


def budget_id(budget: Budget) -> str:
    name = f":{budget.name}" if budget.name else ""
    return f"budget:{budget.scope}{name}"


def _exploration(route: Route, policy: Policy) -> Iterator[Finding]:
    explore, rule = route.explore, f"route:{route.name}"
    if explore is None:
        return
    most = max(explore.rate_ppm, explore.unproven_ppm or 0)
    if policy.audit == "on" and most:
        yield Finding("P555", rule, "warning", f"route `{route.name}` explores, and audit mode turns exploration off")
    if most and explore.daily_nanodollars == 0:
        yield Finding("P555", rule, "warning", f"route `{route.name}` explores at most {percent(most)} with no money")
    if explore.unproven_ppm is not None and explore.unproven_ppm < explore.rate_ppm:
        message = f"route `{route.name}` explores less while unproven ({percent(explore.unproven_ppm)}) than after"
        yield Finding("P556", rule, "warning", message, f"the other rate is {percent(explore.rate_ppm)}")


def _never_reached(one: Budget, other: Budget) -> Iterator[Finding]:
    """`one` is never reached because `other`, on the same calls, denies first."""
    if other.at_limit != "deny":
        return
    reached = other.limit * _LONGEST_MONTH < one.limit if one.period == "month" else other.limit < one.limit
    if reached:
        yield Finding("P552", budget_id(one), "warning", f"{_words(one)} is never reached: {_words(other)} ends first")


def _more(part: Budget, whole: Budget) -> bool:
    """Whether the part's limit cannot be used up within the whole's."""
    if part.period == whole.period or whole.period == "month":
        return part.limit > whole.limit
    return part.limit > whole.limit * _LONGEST_MONTH


def _words(budget: Budget) -> str:
    amount = dollars(budget.limit) if budget.unit == "nanodollars" else f"{budget.limit:_} tokens"
    name = f" {budget.name}" if budget.name else ""
    return f"the budget of {budget.scope}{name} ({amount}/{budget.period})"
