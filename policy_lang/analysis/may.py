"""MAY: which models could serve a call under any statistics, budget, breaker, pin, canary or cascade.

Everything a route can turn to (its tiers, those of its cascade, the tier a budget degrades it to, `until proven`, the
fallbacks) within the gates, and for tiers within the route's `where`. Floors do not narrow it: statistics may clear
any arm. Neither do pins, breakers or the candidates of a request add to it: they choose among what is there.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from functools import cached_property

from policy_lang.analysis.reading import Reading
from policy_lang.analysis.space import MEMORY_BUDGET, Cells, Space, carve
from policy_lang.catalog import Catalog
from policy_lang.frozen import frozen
from policy_lang.gates import Facts, evaluate
from policy_lang.ir import And, Attribute, Budget, Compare, Expr, Gate, Not, Or, Policy, Route
from policy_lang.shapes import atoms_of

__all__ = ["Served", "World", "arms_of", "expressions_of", "serve", "served_whole"]


@frozen
class World:
    """What a proof is about. `published`: the policies that canaries name, as far as they are known."""

    policy: Policy
    catalog: Catalog
    published: Mapping[str, Policy]

    @property
    def routes(self) -> tuple[Route, ...]:
        return (*self.policy.routes, self.policy.default)

    @property
    def canaries(self) -> dict[str, Policy]:
        """The known policies behind canaries that may run, without canaries of their own."""
        names = [name for name in _canaries(self.policy) if name in self.published]
        return {name: replace(self.published[name], canaries=()) for name in names}

    def expressions(self) -> list[Expr]:
        """Everything that decides who may serve, canaries aside."""
        policy = self.policy
        found = [gate.violation for gate in policy.gates] + [route.when for route in self.routes]
        found += [route.where for route in self.routes if route.where is not None]
        return found + [scope for budget in policy.budgets if (scope := _scope(budget)) is not None]


def serve(world: World, claims: Collection[Expr] = ()) -> list[Served]:
    """One `Served` for all arms; where the whole space exceeds the work budget, one per arm over what matters to it.

    `claims` are further expressions that will be asked about. Arms beyond the budget are in no part: what holds for
    the parts is proved for their arms alone.
    """
    if (whole := served_whole(world, claims)) is not None:
        return [whole]
    parts: list[Served] = []
    left = MEMORY_BUDGET
    for arm in sorted(arms_of(world)):
        facts = _facts(world.catalog, arm)
        exprs = [*expressions_of(world), *claims]
        kept = [atom for expr in exprs for atom in _mattering(expr, facts)]
        space = carve(kept, *_vocabulary(world), limit=left)
        if space is None:
            break
        left -= space.size * len(kept)
        parts.append(Served(world, space, frozenset((arm,))))
    return parts


def served_whole(world: World, claims: Collection[Expr] = ()) -> Served | None:
    """All arms over one space, or None where that exceeds the work budget."""
    arms = arms_of(world)
    space = carve([*expressions_of(world), *claims], *_vocabulary(world), models=len(arms))
    return None if space is None else Served(world, space, arms)


def arms_of(world: World) -> frozenset[str]:
    """Every arm that could serve, for some gates: named by the policy, or reached through a canary."""
    policy = world.policy
    named = {arm for tier in policy.tiers for arm in tier.arms} | set(policy.fallback)
    named |= {route.until_proven for route in world.routes if route.until_proven is not None}
    if any(name not in world.published for name in _canaries(policy)):
        named |= set(world.catalog.models)
    for other in world.canaries.values():
        named |= arms_of(World(other, world.catalog, {}))
    return frozenset(named)


def expressions_of(world: World) -> list[Expr]:
    """Everything that decides who may serve, through a canary as well."""
    others = [World(policy, world.catalog, {}) for policy in world.canaries.values()]
    return [expr for each in (world, *others) for expr in each.expressions()]


class Served:
    """Sets of cells: which calls a route takes, which an arm survives, where it may serve. `arms`: those covered."""

    def __init__(self, world: World, space: Space, arms: frozenset[str]) -> None:
        self.world, self.space, self.arms = world, space, arms
        self.reading = Reading(space, world.policy.tasks)
        self.tiers = {tier.name: tier.arms for tier in world.policy.tiers}
        self._facts = {arm: _facts(world.catalog, arm) for arm in arms}
        self._passes: dict[str, Cells] = {}
        self._may: dict[str, Cells] = {}
        self._applies: dict[Budget, Cells] = {}
        others = {name: World(policy, world.catalog, {}) for name, policy in world.canaries.items()}
        self._canaries = {name: Served(other, space, arms) for name, other in others.items()}

    @cached_property
    def taken(self) -> tuple[Cells, ...]:
        """For each route, the default last: the calls that no earlier route takes and it does."""
        left, found = self.space.all, []
        for route in self.world.routes:
            holds = self.reading.of(route.when, {})[0] & left
            found.append(holds)
            left &= ~holds
        return tuple(found)

    def bars(self, gate: Gate, arm: str) -> Cells:
        """Where a gate removes an arm: its violation holds or cannot be evaluated."""
        return self.space.all & ~self.reading.of(gate.violation, self.facts(arm))[1]

    def passes(self, arm: str) -> Cells:
        """Where an arm survives every gate; nowhere where the catalog does not hold it."""
        if arm not in self._passes:
            cells = self.space.all if arm in self.world.catalog.models else 0
            for gate in self.world.policy.gates:
                cells &= self.reading.of(gate.violation, self.facts(arm))[1]
            self._passes[arm] = cells
        return self._passes[arm]

    def where(self, route: Route, arm: str) -> Cells:
        """Where a route's own filter lets an arm of its tiers in."""
        return self.space.all if route.where is None else self.reading.of(route.where, self.facts(arm))[0]

    def pool(self, index: int, arm: str, tiers: Iterable[str] | None = None) -> Cells:
        """Where an arm may serve as a member of `tiers` (those the route uses) on the calls of route `index`."""
        route = self.world.routes[index]
        names = route.use if tiers is None else tiers
        if not any(arm in self.tiers[name] for name in names):
            return 0
        return self.taken[index] & self.passes(arm) & self.where(route, arm)

    def applies(self, budget: Budget) -> Cells:
        """The calls a budget counts."""
        if budget not in self._applies:
            scope = _scope(budget)
            self._applies[budget] = self.space.all if scope is None else self.reading.of(scope, {})[0]
        return self._applies[budget]

    def degraded(self, index: int, arm: str) -> Cells:
        """Where a budget may have turned a route to a tier that holds `arm`."""
        cells = 0
        for budget in self.world.policy.budgets:
            if budget.degrade is not None:
                cells |= self.pool(index, arm, (budget.degrade,)) & self.applies(budget)
        return cells

    def candidate(self, arm: str) -> Cells:
        """Where a route turns to an arm at all, before gates and `where`."""
        cells = self.space.all if arm in self.world.policy.fallback else 0
        for index, route in enumerate(self.world.routes):
            named = (*route.use, *(route.cascade.tiers if route.cascade else ()))
            if route.until_proven == arm or any(arm in self.tiers[name] for name in named):
                cells |= self.taken[index]
        for budget in self.world.policy.budgets:
            if budget.degrade is not None and arm in self.tiers[budget.degrade]:
                cells |= self.applies(budget)
        return cells

    def survives(self, arm: str) -> Cells:
        """Where an arm is a static survivor: it would serve under some statistics and breakers, no budget spent."""
        cells = self.space.all if arm in self.world.policy.fallback else 0
        for index, route in enumerate(self.world.routes):
            if route.until_proven == arm:
                cells |= self.taken[index]
            cells |= self.pool(index, arm)
            if route.cascade is not None:
                cells |= self.pool(index, arm, route.cascade.tiers)
        return cells & self.passes(arm)

    def may(self, arm: str) -> Cells:
        """Where an arm could serve."""
        if arm not in self._may:
            cells = self.survives(arm)
            for index in range(len(self.world.routes)):
                cells |= self.degraded(index, arm)
            for canary in _canaries(self.world.policy):
                cells |= self.passes(arm) & self._canary(canary, arm)
            self._may[arm] = cells
        return self._may[arm]

    def facts(self, arm: str) -> Facts:
        return self._facts[arm]

    def _canary(self, name: str, arm: str) -> Cells:
        """Where the policy behind a canary may choose an arm; anywhere, if that policy is not known."""
        return self._canaries[name].may(arm) if name in self._canaries else self.space.all


def _canaries(policy: Policy) -> list[str]:
    if policy.audit == "on":
        return []
    return [canary.policy for canary in policy.canaries if canary.share_ppm]


def _scope(budget: Budget) -> Expr | None:
    return None if budget.name is None or budget.scope == "tenant" else Compare(budget.scope, "eq", budget.name)


def _vocabulary(world: World) -> tuple[list[tuple[str, ...]], list[Attribute]]:
    policies = [world.policy, *world.canaries.values()]
    return [policy.tasks for policy in policies], [a for policy in policies for a in policy.attributes]


def _facts(catalog: Catalog, arm: str) -> Facts:
    return catalog.models[arm].facts() if arm in catalog.models else {}


def _mattering(expr: Expr, model: Facts) -> list[Expr]:
    """The comparisons of `expr` that can still sway it for one model."""
    atoms = _residue(expr, model)
    return [] if isinstance(atoms, bool) else atoms


def _residue(expr: Expr, model: Facts) -> bool | list[Expr]:
    match expr:
        case And(items) | Or(items):
            deciding = isinstance(expr, Or)
            rest = [_residue(item, model) for item in items]
            if deciding in [item for item in rest if isinstance(item, bool)]:
                return deciding
            left = [item for item in rest if not isinstance(item, bool)]
            return [atom for atoms in left for atom in atoms] if left else not deciding
        case Not(item):
            inner = _residue(item, model)
            return not inner if isinstance(inner, bool) else inner
        case _:
            known = evaluate(expr, model)
            return list(atoms_of(expr)) if known is None else known
