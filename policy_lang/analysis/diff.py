"""What a new version of a policy changes, as an exact share of all shapes, with a call that shows each change."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping
from fractions import Fraction
from typing import Literal, NamedTuple

from policy_lang.analysis.findings import Witness, witness
from policy_lang.analysis.may import Served, World, arms_of, expressions_of
from policy_lang.analysis.space import Call, Cells, Space, carve
from policy_lang.analysis.traffic import traffic_from_histogram
from policy_lang.catalog import Catalog
from policy_lang.envelope import Envelope
from policy_lang.frozen import frozen
from policy_lang.ir import Policy, Route

__all__ = ["Aspect", "Change", "Diff", "diff"]

#: may: who could serve. tier: the first tier of the route with a survivor. order: the pick terms, or the order of
#: `use` among arms that survive in both, where two or more do. parameters: whatever else the route or policy sets.
Aspect = Literal["may", "tier", "order", "parameters"]


@frozen
class Change:
    """One aspect: the share of shapes that it changes, of traffic if a histogram was given, and what a witness sees.

    `before` and `after` are what holds for the witness; None where nothing changes.
    """

    aspect: Aspect
    share: Fraction
    traffic: Fraction | None
    witness: Witness | None
    before: str | None = None
    after: str | None = None


@frozen
class Diff:
    """Two policies compared. share: of shapes that change in any aspect. gains, losses: arms by share of shapes in
    which they may serve after and not before, and the reverse.
    """

    verdict: Literal["equal", "different", "not proved"]
    share: Fraction
    traffic: Fraction | None
    changes: tuple[Change, ...]
    gains: Mapping[str, Fraction]
    losses: Mapping[str, Fraction]


def diff(
    old: Policy,
    new: Policy,
    catalog: Catalog,
    histogram: Mapping[Call | Envelope | tuple[str | bool, ...] | str, int] | None = None,
    *,
    published: Mapping[str, Policy] | None = None,
) -> Diff:
    """Compare what two policies mean over every shape there is; each class of org, team and product counts as one.

    `histogram` as in `traffic_from_histogram`. Verdict `not proved` where the two mention too much to enumerate.
    """
    sides = _sides(*(World(policy, catalog, published or {}) for policy in (old, new)))
    if sides is None:
        return Diff("not proved", Fraction(0), None, (), {}, {})
    space = sides.old.space
    tasks = {*old.tasks, *new.tasks}
    traffic = traffic_from_histogram(histogram, tasks) if histogram else None
    changed = {aspect: cells(sides) for aspect, cells in _ASPECTS.items()}
    anything = 0
    for cells in changed.values():
        anything |= cells

    def weigh(cells: Cells) -> tuple[Fraction, Fraction | None]:
        seen = Fraction(traffic.weight(space, cells), traffic.total) if traffic and traffic.total else None
        return Fraction(space.count(cells), space.total), seen

    changes = tuple(_change(aspect, cells, sides, *weigh(cells)) for aspect, cells in changed.items())
    moves = {arm: (sides.old.may(arm), sides.new.may(arm)) for arm in sorted(sides.old.arms)}
    gains = {arm: weigh(after & ~before)[0] for arm, (before, after) in moves.items() if after & ~before}
    losses = {arm: weigh(before & ~after)[0] for arm, (before, after) in moves.items() if before & ~after}
    return Diff("different" if anything else "equal", *weigh(anything), changes, gains, losses)


class _Sides(NamedTuple):
    old: Served
    new: Served


def _sides(old: World, new: World) -> _Sides | None:
    arms = arms_of(old) | arms_of(new)
    exprs = [*expressions_of(old), *expressions_of(new)]
    policies = [policy for world in (old, new) for policy in (world.policy, *world.canaries.values())]
    attributes = [attribute for policy in policies for attribute in policy.attributes]
    space = carve(exprs, [policy.tasks for policy in policies], attributes, models=2 * len(arms))
    return None if space is None else _Sides(Served(old, space, arms), Served(new, space, arms))


def _may(sides: _Sides) -> Cells:
    cells = 0
    for arm in sides.old.arms:
        cells |= sides.old.may(arm) ^ sides.new.may(arm)
    return cells


def _tier(sides: _Sides) -> Cells:
    return _differing(sides.old.space, *(_first_tiers(side) for side in sides))


def _order(sides: _Sides) -> Cells:
    """Only where two arms survive in both is there an order to speak of."""
    once = twice = 0
    for arm in sides.old.arms:
        both = _pool(sides.old, arm) & _pool(sides.new, arm)
        twice |= once & both
        once |= both
    terms = _differing(sides.old.space, *(_by(side, lambda route: route.pick) for side in sides)) & twice
    return terms | _reordered(sides)


def _parameters(sides: _Sides) -> Cells:
    old, new = sides.old.world.policy, sides.new.world.policy
    if _policy_wide(old) != _policy_wide(new):
        return sides.old.space.all
    cells = _differing(sides.old.space, *(_by(side, _settings) for side in sides))
    for budget in {*old.budgets} ^ {*new.budgets}:
        cells |= (sides.old if budget in old.budgets else sides.new).applies(budget)
    return cells


_ASPECTS: dict[Aspect, Callable[[_Sides], Cells]] = {
    "may": _may,
    "tier": _tier,
    "order": _order,
    "parameters": _parameters,
}


def _differing(space: Space, old: Mapping[Hashable, Cells], new: Mapping[Hashable, Cells]) -> Cells:
    """Cells that two partitions give different labels."""
    same = 0
    for label, cells in old.items():
        same |= cells & new.get(label, 0)
    return space.all & ~same


def _by(side: Served, label: Callable[[Route], Hashable]) -> dict[Hashable, Cells]:
    found: dict[Hashable, Cells] = {}
    for route, cells in zip(side.world.routes, side.taken, strict=True):
        found[label(route)] = found.get(label(route), 0) | cells
    return found


def _first_tiers(side: Served) -> dict[Hashable, Cells]:
    found: dict[Hashable, Cells] = {}
    for index, route in enumerate(side.world.routes):
        left = side.taken[index]
        for tier in route.use:
            usable = 0
            for arm in side.tiers[tier]:
                usable |= side.pool(index, arm, (tier,))
            found[tier] = found.get(tier, 0) | (usable & left)
            left &= ~usable
        found[None] = found.get(None, 0) | left
    return found


def _pool(side: Served, arm: str) -> Cells:
    cells = 0
    for index in range(len(side.world.routes)):
        cells |= side.pool(index, arm)
    return cells


def _reordered(sides: _Sides) -> Cells:
    """Where two arms of both pools stand in another order in `use`."""
    cells = 0
    rows = [[(_sequence(side, route), taken) for route, taken in zip(side.world.routes, side.taken, strict=True)]
            for side in sides]  # fmt: skip
    pools = {arm: _pool(sides.old, arm) & _pool(sides.new, arm) for arm in sides.old.arms}
    for before, here in _merged(rows[0]):
        for after, there in _merged(rows[1]):
            common = [arm for arm in before if arm in after]
            if not here & there or common == [arm for arm in after if arm in before]:
                continue
            places = {arm: place for place, arm in enumerate(after)}
            for place, arm in enumerate(common):
                for later in common[place + 1 :]:
                    if places[later] < places[arm]:
                        cells |= here & there & pools[arm] & pools[later]
    return cells


def _merged(rows: Iterable[tuple[tuple[str, ...], Cells]]) -> list[tuple[tuple[str, ...], Cells]]:
    found: dict[tuple[str, ...], Cells] = {}
    for sequence, cells in rows:
        found[sequence] = found.get(sequence, 0) | cells
    return list(found.items())


def _sequence(side: Served, route: Route) -> tuple[str, ...]:
    return tuple(dict.fromkeys(arm for tier in route.use for arm in side.tiers[tier]))


def _settings(route: Route) -> tuple[object, ...]:
    """What a route asks for besides who may serve and in which order."""
    left = ("name", "when", "use", "pick", "where")
    return tuple(getattr(route, name) for name in Route.__match_args__ if name not in left)


def _policy_wide(policy: Policy) -> tuple[object, ...]:
    return policy.baseline, policy.canaries, policy.mode, policy.audit, policy.guard, policy.fallback


def _change(aspect: Aspect, cells: Cells, sides: _Sides, share: Fraction, traffic: Fraction | None) -> Change:
    if not cells:
        return Change(aspect, share, traffic, None)
    first = cells & -cells
    shown = witness(sides.old.space, cells)
    return Change(aspect, share, traffic, shown, *(_seen(aspect, side, first) for side in sides))


def _seen(aspect: Aspect, side: Served, cell: Cells) -> str:
    """What one side says of the witness."""
    index = next(i for i, taken in enumerate(side.taken) if taken & cell)
    route = side.world.routes[index]
    if aspect == "may":
        return ", ".join(arm for arm in sorted(side.arms) if side.may(arm) & cell) or "nobody"
    if aspect == "tier":
        return next((str(tier or "none") for tier, cells in _first_tiers(side).items() if cells & cell), "none")
    if aspect == "order":
        terms = " then ".join(term.rule for term in route.pick)
        return f"{terms} of " + ", ".join(arm for arm in _sequence(side, route) if side.pool(index, arm) & cell)
    return f"route {route.name}"
