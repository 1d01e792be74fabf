"""Floors that the stated traffic can never prove, and arms that no exploration ever tries.

Statistics halve every week, so that a steady stream of n outcomes a day is worth at most n x 7/16 / (1 - 2^(-1/16))
of them, about ten days' worth. A shape besides borrows from its siblings: at most 20 pseudo-outcomes from its task,
that one at most 10 from the tenant, which starts at 4 with mean 0.7. With no failure at all the posterior is Beta(a, b)
with the largest a and the least b these allow; where b <= 1, P(rate >= x) <= 1 - x^a / (a B(a, b)), with equality at
b = 1. A floor above that bound is proved by no history whatever.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import ceil, exp, lgamma, log

from policy_lang.analysis.findings import Finding, Witness
from policy_lang.analysis.may import Served, World
from policy_lang.analysis.traffic import Traffic
from policy_lang.analysis.words import percent
from policy_lang.ir import PPM, Floor, Policy, Route

__all__ = ["best_confidence", "lasting_outcomes", "outcomes_needed", "unprovable_floors", "untried_arms"]

#: What `policy_engine.snapshot`, `.statistics` and `.floors` use; a test holds the two together.
TASK_WEIGHT, TENANT_WEIGHT, PRIOR_WEIGHT, PRIOR_MEAN, MIN_EVIDENCE = 20, 10, 4, 0.7, 12
_HALF_LIFE_DAYS, _TICKS = 7, 16


def outcomes_needed(floor: Floor) -> int | None:
    """Outcomes without one failure that prove a floor on a shape's own evidence: the least n with x^(n + 2.8) <= 1 - N.

    A lower bound, since the prior's share of failures is left out. None where no number is enough.
    """
    if floor.proven_ppm is None or floor.at_least_ppm == 0:
        return 0
    if floor.at_least_ppm == PPM or floor.proven_ppm == PPM:
        return None
    least = log(1 - floor.proven_ppm / PPM) / log(floor.at_least_ppm / PPM) - PRIOR_WEIGHT * PRIOR_MEAN
    return max(MIN_EVIDENCE - PRIOR_WEIGHT, ceil(least - 1e-9))


def lasting_outcomes(daily: float) -> float:
    """The decayed sum that a steady stream of `daily` outcomes never exceeds."""
    per_tick = daily * _HALF_LIFE_DAYS / _TICKS
    return float(per_tick / (1 - 2 ** (-1 / _TICKS)))


def best_confidence(floor: Floor, own: float, siblings: float, others: float) -> float:
    """No history gives a larger P(rate >= floor): `own` outcomes of a shape, of its task's others, of other tasks."""
    if floor.at_least_ppm == PPM:
        return 0.0
    tenant = PRIOR_WEIGHT + others
    misses = PRIOR_WEIGHT * (1 - PRIOR_MEAN) / tenant
    task = siblings + min(TENANT_WEIGHT, tenant)
    misses *= min(TENANT_WEIGHT, tenant) / task
    borrowed = min(TASK_WEIGHT, task)
    a, b = own + borrowed, min(1.0, misses * borrowed)
    if own + borrowed < MIN_EVIDENCE:
        return 0.0
    x = floor.at_least_ppm / PPM
    ln_beta = lgamma(a) + lgamma(b) - lgamma(a + b)
    return 1 - exp(a * log(x) - log(a) - ln_beta) if x > 0 else 1.0


def untried_arms(policy: Policy) -> Iterator[Finding]:
    """P561: a floor to be proven, and no exploration that would try anyone but the arm that serves until then."""
    for route in (*policy.routes, policy.default):
        most = 0 if route.explore is None else max(route.explore.rate_ppm, route.explore.unproven_ppm or 0)
        if any(floor.proven_ppm is not None for floor in route.floors) and (most == 0 or policy.audit == "on"):
            message = f"route `{route.name}` waits for a proven floor and never tries the models that have to earn it"
            yield Finding("P561", f"route:{route.name}", "warning", message, "add `explore at most 5%`")


def unprovable_floors(world: World, traffic: Traffic, served: Served | None) -> Iterator[Finding]:
    """P562 where even the arm that always serves cannot prove a floor, P563 where those explored cannot.

    In the shape of the route that comes most often; all of the traffic in one shape where only its number is known.
    """
    if not traffic.daily:
        return
    for index, route in enumerate(world.routes):
        busiest = _busiest(index, traffic, served)
        for floor in route.floors:
            if floor.proven_ppm is not None and busiest is not None:
                yield from _floor(route, floor, busiest, world.policy)


def _floor(
    route: Route, floor: Floor, streams: tuple[float, float, float, Witness | None], policy: Policy
) -> Iterator[Finding]:
    *daily, shown = streams
    serving, explored = (_confidence(floor, share, *daily) for share in (1.0, _explored(route, policy)))
    needed, proven = outcomes_needed(floor), (floor.proven_ppm or 0) / PPM
    text = f"`{floor.metric} >= {percent(floor.at_least_ppm)} proven {percent(floor.proven_ppm or 0)}`"
    enough = "no number of outcomes is enough" if needed is None else f"{needed:_} outcomes without a failure are"
    help_text = f"{enough} needed, {daily[0]:.3g} calls a day leave {lasting_outcomes(daily[0]):.3g}"
    help_text = enough if needed is None else help_text
    if serving < proven:
        message = f"traffic can never prove {text} on route `{route.name}`"
        yield Finding("P562", f"route:{route.name}", "warning", message, help_text, shown)
    elif explored < proven and _explored(route, policy):
        message = f"exploration is too thin to ever prove {text} on route `{route.name}` for another model"
        yield Finding("P563", f"route:{route.name}", "warning", message, help_text, shown)


def _confidence(floor: Floor, share: float, own: float, siblings: float, others: float) -> float:
    return best_confidence(floor, *(lasting_outcomes(daily * share) for daily in (own, siblings, others)))


def _explored(route: Route, policy: Policy) -> float:
    if route.explore is None or policy.audit == "on":
        return 0.0
    return max(route.explore.rate_ppm, route.explore.unproven_ppm or 0) / PPM


def _busiest(index: int, traffic: Traffic, served: Served | None) -> tuple[float, float, float, Witness | None] | None:
    """Calls a day of the route's commonest shape, of the rest of its task, of other tasks; None where none comes."""
    assert traffic.daily is not None
    if not traffic.mix or served is None:
        return float(traffic.daily), float(traffic.daily), float(traffic.daily), None
    taken = served.taken[index]
    shapes = [(count, call) for call, count in traffic.mix if served.space.cell_of(call.facts()) & taken]
    if not shapes:
        return None
    tasks: dict[str, int] = {}
    by_shape: dict[object, int] = {}
    for call, count in traffic.mix:
        tasks[call.envelope.task_type] = tasks.get(call.envelope.task_type, 0) + count
        by_shape[call.envelope] = by_shape.get(call.envelope, 0) + count
    _, call = max(shapes, key=lambda row: (by_shape[row[1].envelope], repr(row[1])))
    own, of_task = by_shape[call.envelope], tasks[call.envelope.task_type]
    each = traffic.daily / traffic.total
    return own * each, (of_task - own) * each, (traffic.total - of_task) * each, Witness(call, {})
