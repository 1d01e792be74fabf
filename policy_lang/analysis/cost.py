"""What one call of each route can cost at most, and what it typically costs, from list prices and bucket bounds.

Bounds per attempt: the prompt ends at the context bucket, prompt and completion together at the token bucket, the
completion at the model's limit and at `max_tokens`; a prompt may be billed as a cache write. A judge's own calls are
not counted.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from fractions import Fraction
from heapq import nlargest
from itertools import product

from policy_lang.analysis.findings import Witness, witness
from policy_lang.analysis.may import Served
from policy_lang.analysis.space import Cells
from policy_lang.analysis.traffic import Traffic
from policy_lang.catalog import Model
from policy_lang.envelope import Envelope, typical_tokens
from policy_lang.frozen import frozen
from policy_lang.ir import PPM, PickTerm, Route
from policy_lang.shapes import values_of
from policy_lang.vocabulary import OUTCOMES, bucket_upper

__all__ = ["MOST_STEPS", "RouteCost", "cost_bound", "route_costs", "static_pick"]

#: Steps of a plan at most (`policy_engine.outlook.MAX_STEPS`).
MOST_STEPS = 5
#: Outcomes of an attempt that a provider bills, or may bill.
_BILLED = frozenset(name for name, fault in OUTCOMES.items() if fault == "model") | {"timeout"}
#: Bits that the groups of one route may take.
_GROUP_BUDGET = 100_000_000


@frozen
class RouteCost:
    """Nano-dollars of one call of a route.

    once: its dearest model answers at once, every level of a cascade summed. worst: every retry and fail-over of the
    plan billed besides. typical: the static pick at typical tokens, over all shapes alike or as traffic weighs them;
    None where no call comes. share: of all shapes, or of the traffic. witness: a call with the model of `once`.
    """

    route: str
    share: Fraction
    once_nanodollars: int
    worst_nanodollars: int
    typical_nanodollars: int | None
    witness: Witness | None


@frozen
class _Group:
    """Calls on which the same arms may serve. `levels`: the arms of each level of the cascade, cheapest path first."""

    cells: Cells
    may: tuple[str, ...]
    pool: tuple[str, ...]
    levels: tuple[tuple[str, ...], ...]


def route_costs(served: Served, traffic: Traffic | None = None) -> list[RouteCost] | None:
    """Costs in the order of the routes, those no call takes left out; None where the calls differ too much."""
    found = []
    for index, route in enumerate(served.world.routes):
        if served.taken[index]:
            groups = _groups(served, index, route)
            if groups is None:
                return None
            found.append(_cost(served, route, groups, traffic))
    return found


def cost_bound(model: Model, context: str, tokens: str, route: Route) -> int:
    """The most one attempt can cost, nano-dollars rounded up."""
    least, most = _completion_limits(route)
    prompt, total = bucket_upper("context", context), bucket_upper("tokens", tokens)
    if model.max_output is not None:
        least, most = min(least, model.max_output), min(most, model.max_output)
    longest = max(min(most, total), least)
    price_in = max(model.price_in, model.price_cached_write or 0)
    shortest_prompt, longest_prompt = min(prompt, max(0, total - longest)), min(prompt, total)
    rest = min(longest, max(total - longest_prompt, least))
    dearest = max(
        shortest_prompt * price_in + longest * model.price_out, longest_prompt * price_in + rest * model.price_out
    )
    return -(-dearest // 1000)


def static_pick(models: Iterable[Model], terms: tuple[PickTerm, ...], envelope: Envelope) -> tuple[Model, int] | None:
    """The model a route picks while nothing tells the models apart but their prices, and its typical cost."""
    tokens_in, tokens_out = typical_tokens(envelope)
    costs = [((tokens_in * m.price_in + tokens_out * m.price_out + 500) // 1000, m.arm, m) for m in models]
    tied = sorted(costs)
    if not tied:
        return None
    for term in terms:
        places = {arm: place for place, arm in enumerate(term.arms)}
        if term.rule == "cheapest":
            most = tied[0][0] + tied[0][0] * term.within_ppm // PPM
            tied = [row for row in tied if row[0] <= most]
        elif term.rule == "best_value" and term.value_nanodollars is not None:
            value = max(1, term.value_nanodollars)
            most = tied[0][0] * PPM // value + term.within_ppm
            tied = [row for row in tied if row[0] * PPM // value <= most]
        elif term.rule == "prefer":
            most = min(places.get(row[1], len(places)) for row in tied) + term.within_ppm
            tied = [row for row in tied if places.get(row[1], len(places)) <= most]
    return tied[0][2], tied[0][0]


def _groups(served: Served, index: int, route: Route) -> list[_Group] | None:
    """The calls of a route, split where an arm starts or stops being able to serve."""
    tiers = route.cascade.tiers if route.cascade else ()
    sets = {arm: served.may(arm) for arm in sorted(served.arms)}
    pools = {arm: served.pool(index, arm) for arm in sets}
    levels = [{arm: served.pool(index, arm, (tier,)) for arm in served.tiers[tier]} for tier in tiers]
    parts = [served.taken[index]]
    for splitter in dict.fromkeys((*sets.values(), *pools.values(), *(c for level in levels for c in level.values()))):
        parts = [cells for part in parts for cells in (part & splitter, part & ~splitter) if cells]
        if len(parts) * served.space.size > _GROUP_BUDGET:
            return None
    return [
        _Group(
            part,
            tuple(arm for arm, cells in sets.items() if part & cells),
            tuple(arm for arm, cells in pools.items() if part & cells),
            tuple(tuple(arm for arm, cells in level.items() if part & cells) for level in levels),
        )
        for part in parts
    ]


def _cost(served: Served, route: Route, groups: list[_Group], traffic: Traffic | None) -> RouteCost:
    once, worst, shown = 0, 0, None
    bounds: dict[tuple[str, str, str], int] = {}
    for group in groups:
        for cells, contexts, sizes in _sizes(served, group.cells):
            context, size = contexts[-1], sizes[-1]
            for arm in group.may:
                if (arm, context, size) not in bounds:
                    bounds[arm, context, size] = cost_bound(served.world.catalog.models[arm], context, size, route)
            dearest = {arm: bounds[arm, context, size] for arm in group.may}
            first, whole = _bills(dearest, group, route)
            worst = max(worst, whole)
            if first > once or shown is None:
                once = max(once, first)
                model = max(dearest, key=lambda arm: (dearest[arm], arm), default=None)
                shown = _largest(witness(served.space, cells, model), context, size)
    share, typical = _typical(served, route, groups, traffic)
    return RouteCost(route.name, share, once, worst, typical, shown)


def _bills(dearest: dict[str, int], group: _Group, route: Route) -> tuple[int, int]:
    """One attempt of every level, and all attempts of all steps."""
    attempts = 1 + sum(rule.retries for rule in route.failures if rule.outcome in _BILLED)
    level_arms = [max(level, key=lambda arm: (dearest[arm], arm)) for level in group.levels if level]
    levels = [dearest[arm] for arm in level_arms]
    # The plan's other steps: whoever else may serve, the dearest first.
    others = [cost for arm, cost in dearest.items() if arm not in level_arms]
    once = max(sum(levels), max(dearest.values(), default=0))
    return once, attempts * (sum(levels) + sum(nlargest(max(0, MOST_STEPS - len(levels)), others)))


def _sizes(served: Served, cells: Cells) -> Iterator[tuple[Cells, tuple[str, ...], tuple[str, ...]]]:
    """A set of cells by class of context and class of tokens; buckets ascending."""
    axes = []
    for name in ("context", "tokens"):
        dimension = served.space.dimension(name)
        classes = dimension.classes if dimension else (values_of(name, ()),)
        masks = [served.space.mask(name, (i,)) for i in range(len(classes))] if dimension else [served.space.all]
        axes.append([(mask, tuple(map(str, values))) for mask, values in zip(masks, classes, strict=True)])
    for (left, contexts), (right, sizes) in product(*axes):
        if here := cells & left & right:
            yield here, contexts, sizes


def _typical(
    served: Served, route: Route, groups: list[_Group], traffic: Traffic | None
) -> tuple[Fraction, int | None]:
    memo: dict[tuple[tuple[str, ...], str, str], int | None] = {}
    spent = Fraction(0)
    weighed = calls = 0
    for group, context, size, weight in _weights(served, groups, traffic):
        key = (_eligible(served, route, group), context, size)
        if key not in memo:
            models = [served.world.catalog.models[arm] for arm in key[0]]
            picked = static_pick(models, route.pick, Envelope("other", "prose", context, "0", False, size))
            memo[key] = picked[1] if picked else None
        calls += weight
        if (cost := memo[key]) is not None:
            spent += cost * weight
            weighed += weight
    total = traffic.total if traffic and traffic.mix else served.space.total
    return Fraction(calls, total) if total else Fraction(0), int(spent / weighed) if weighed else None


def _eligible(served: Served, route: Route, group: _Group) -> tuple[str, ...]:
    """Whom the static pick chooses among: the first level of a cascade, the pool, or the net that catches the call."""
    first = next((level for level in group.levels if level), group.pool)
    if first:
        return first
    nets = [arm for arm in (route.until_proven, *served.world.policy.fallback) if arm in group.may]
    return tuple(arm for arm in nets[:1] if arm is not None)


def _weights(served: Served, groups: list[_Group], traffic: Traffic | None) -> Iterator[tuple[_Group, str, str, int]]:
    if traffic and traffic.mix:
        for call, count in traffic.mix:
            cell = served.space.cell_of(call.facts())
            for group in groups:
                if group.cells & cell:
                    yield group, call.envelope.context_length, call.envelope.estimated_tokens, count
        return
    for group in groups:
        for cells, contexts, sizes in _sizes(served, group.cells):
            each = served.space.count(cells) // (len(contexts) * len(sizes))
            for context, size in product(contexts, sizes):
                yield group, context, size, each


def _completion_limits(route: Route) -> tuple[int, int]:
    """Tokens a completion is granted at least and at most by the route's parameters."""
    least, most = 0, 1 << 53
    for parameter in route.parameters:
        if parameter.name == "max_tokens" and parameter.milli is not None:
            limit = parameter.milli // 1000
            if parameter.rule in ("set", "at_most"):
                most = min(most, limit)
            if parameter.rule in ("set", "at_least"):
                least = max(least, limit)
    return least, most


def _largest(found: Witness, context: str, tokens: str) -> Witness:
    call = replace(found.call, envelope=replace(found.call.envelope, context_length=context, estimated_tokens=tokens))
    return replace(found, call=call)
