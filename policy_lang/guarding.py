"""A policy that arrives with a call, held to the tenant's guard: it may only narrow.

The guard's gates come on top, and so do the budgets of the policy it stands in: what an inline policy spends is the
tenant's money all the same. Floors, exploration, canaries and parameters that go beyond the guard are refused and not
corrected, so that a caller never gets another policy than the one it sent without being told.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from policy_lang.gates import mentioned_fields
from policy_lang.ir import (
    MAX_BUDGETS,
    MAX_RULES,
    And,
    Attribute,
    Budget,
    Compare,
    Expr,
    Floor,
    Gate,
    Guard,
    In,
    Not,
    Or,
    Policy,
    Route,
)
from policy_lang.normal import disjunction
from policy_lang.vocabulary import ATTRIBUTE_PREFIX

__all__ = ["Violation", "narrowed"]

Violation = tuple[str, str]


def narrowed(policy: Policy, owner: Policy | None) -> Policy | tuple[Violation, ...]:
    """`policy` as it may run for the tenant whose published policy is `owner`, or where it goes beyond its guard.

    Each violation is the path of a value in `policy` and what would be accepted. Without a guard `policy` runs as it
    is. The result carries the owner's guard in place of its own, for the bound on cost that only a decision can check.
    """
    guard = owner.guard if owner else None
    if owner is None or guard is None:
        return replace(policy, guard=None)
    violations = tuple(_violations(policy, guard))
    if violations:
        return violations
    merged = replace(
        policy,
        gates=_merged(policy.gates, guard.gates),
        tasks=tuple(sorted({*policy.tasks, *_tasks(guard.gates)})),
        attributes=_attributes(policy, owner, guard.gates),
        budgets=_budgets(policy.budgets, owner.budgets),
        guard=guard,
    )
    return tuple(_overfull(merged)) or merged


def _overfull(merged: Policy) -> Iterator[Violation]:
    """What has no room beside the owner's: a receipt must hold a policy that can be admitted again."""
    for path, found, most in (
        ("gates", len(merged.gates), MAX_RULES),
        ("budgets", len(merged.budgets), MAX_BUDGETS),
    ):
        if found > most:
            yield path, f"with those that hold for every inline policy there are {found}; at most {most} are evaluated"


def _violations(policy: Policy, guard: Guard) -> Iterator[Violation]:
    named = [(f"routes[{index}]", route) for index, route in enumerate(policy.routes)]
    for path, route in [*named, ("default", policy.default)]:
        yield from _floors(path, route, guard.floors)
        yield from _exploration(path, route, guard)
        for index, parameter in enumerate(route.parameters):
            if guard.parameters is not None and parameter.name not in guard.parameters:
                known = ", ".join(guard.parameters) or "none"
                yield f"{path}.parameters[{index}].name", f"the guard lets a policy change {known}"
    total = sum(canary.share_ppm for canary in policy.canaries)
    if guard.canary_ppm is not None and total > guard.canary_ppm:
        yield "canaries", f"the guard lets canaries take {guard.canary_ppm} ppm in all, not {total}"


def _floors(path: str, route: Route, bounds: tuple[Floor, ...]) -> Iterator[Violation]:
    own = {floor.metric: floor for floor in route.floors}
    for bound in bounds:
        floor = own.get(bound.metric)
        if floor and floor.at_least_ppm >= bound.at_least_ppm and (floor.proven_ppm or 0) >= (bound.proven_ppm or 0):
            continue
        proven = "" if bound.proven_ppm is None else f", proven {bound.proven_ppm} ppm"
        yield f"{path}.floors", f"the guard asks for {bound.metric} of at least {bound.at_least_ppm} ppm{proven}"


def _exploration(path: str, route: Route, guard: Guard) -> Iterator[Violation]:
    if route.explore is None or guard.explore_ppm is None:
        return
    for name in ("rate_ppm", "unproven_ppm"):
        if (getattr(route.explore, name) or 0) > guard.explore_ppm:
            yield f"{path}.explore.{name}", f"the guard lets exploration take {guard.explore_ppm} ppm"


def _merged(own: tuple[Gate, ...], bounds: tuple[Gate, ...]) -> tuple[Gate, ...]:
    """All gates by reason; where both sides use a reason, the gate removes what either would."""
    gates = {gate.reason: gate for gate in own}
    for bound in bounds:
        violations = [gate.violation for gate in (gates.get(bound.reason), bound) if gate]
        gates[bound.reason] = replace(bound, violation=disjunction(violations))
    return tuple(gates[reason] for reason in sorted(gates))


def _budgets(own: tuple[Budget, ...], bounds: tuple[Budget, ...]) -> tuple[Budget, ...]:
    """All budgets by account; of two for one account the stricter in each respect.

    A tier to degrade to is the owner's and means nothing in another policy.
    """
    budgets = {_account(budget): budget for budget in own}
    for bound in bounds:
        mine = budgets.get(_account(bound))
        budgets[_account(bound)] = replace(bound, degrade=None) if mine is None else _stricter(mine, bound)
    return tuple(budgets[account] for account in sorted(budgets))


def _account(budget: Budget) -> tuple[str, str, str, str]:
    return budget.scope, budget.name or "", budget.unit, budget.period


def _stricter(mine: Budget, bound: Budget) -> Budget:
    return replace(
        mine,
        limit=min(mine.limit, bound.limit),
        warn_ppm=mine.warn_ppm or bound.warn_ppm,
        at_limit="deny" if "deny" in (mine.at_limit, bound.at_limit) else "warn",
        unreachable="closed" if "closed" in (mine.unreachable, bound.unreachable) else "open",
    )


def _tasks(gates: tuple[Gate, ...]) -> set[str]:
    # A task that `policy` does not declare would count as `other`, and a guard that names it would never apply.
    return {task for gate in gates for task in _compared(gate.violation, "task")}


def _attributes(policy: Policy, owner: Policy, gates: tuple[Gate, ...]) -> tuple[Attribute, ...]:
    """The policy's attributes and those the guard looks at, with every value that either side knows."""
    mentioned = {name for gate in gates for name in mentioned_fields(gate.violation)}
    known = {attribute.name: attribute for attribute in policy.attributes}
    for attribute in owner.attributes:
        if ATTRIBUTE_PREFIX + attribute.name in mentioned:
            mine = known[attribute.name].values if attribute.name in known else ()
            known[attribute.name] = replace(attribute, values=tuple(sorted({*attribute.values, *mine})))
    return tuple(known[name] for name in sorted(known))


def _compared(expr: Expr, field: str) -> Iterator[str]:
    """The words that `expr` compares `field` with."""
    match expr:
        case And(items) | Or(items):
            for item in items:
                yield from _compared(item, field)
        case Not(item):
            yield from _compared(item, field)
        case In(name, values) if name == field:
            yield from values
        case Compare(name, _, value) if name == field:
            yield str(value)
