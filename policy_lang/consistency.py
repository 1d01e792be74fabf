"""What types cannot say about a policy: names that must exist or be unique, operators that a field's kind has.

Shared by every validator of the IR; the checker says the same of a text, with spans.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from policy_lang.call_consistency import route_call_problems
from policy_lang.ir import (
    PPM,
    And,
    Budget,
    Compare,
    CompareFields,
    Expr,
    Flag,
    Floor,
    Guard,
    In,
    Not,
    Or,
    PickTerm,
    Policy,
    Route,
)
from policy_lang.parameters import PARAMETERS
from policy_lang.vocabulary import FIELDS, OTHER_TASK, FieldSpec, attribute_spec

__all__ = ["inconsistencies"]

Finding = tuple[str, str]
Fields = Mapping[str, FieldSpec]
_NUMERIC = ("tokens", "price", "ppm")


def inconsistencies(policy: Policy) -> Iterator[Finding]:
    """Path and message of each thing that does not fit together."""
    for check in (_names, _gates, _routes, _governance, _claims):
        yield from check(policy)


def _names(policy: Policy) -> Iterator[Finding]:
    yield from _repeats("tasks", policy.tasks)
    yield from _repeats("tiers", [tier.name for tier in policy.tiers])
    yield from _repeats("routes", [route.name for route in (*policy.routes, policy.default)])
    yield from _repeats("fallback", policy.fallback)
    yield from _repeats("attributes", [attribute.name for attribute in policy.attributes])
    yield from _repeats("task_texts", [described.task for described in policy.task_texts])
    if OTHER_TASK not in policy.tasks:
        yield "tasks", f"`{OTHER_TASK}` must be among them"
    for index, described in enumerate(policy.task_texts):
        if described.task not in policy.tasks:
            yield f"task_texts[{index}].task", f"unknown task `{described.task}`"
    for index, tier in enumerate(policy.tiers):
        yield from _repeats(f"tiers[{index}].arms", tier.arms)
    for index, attribute in enumerate(policy.attributes):
        yield from _repeats(f"attributes[{index}].values", attribute.values)


def _gates(policy: Policy) -> Iterator[Finding]:
    guarded = policy.guard.gates if policy.guard else ()
    yield from _repeats("gates", [gate.reason for gate in (*policy.gates, *guarded)])
    fields = _fields(policy)
    for path, gates in (("gates", policy.gates), ("guard.gates", guarded)):
        for index, gate in enumerate(gates):
            yield from _expression(f"{path}[{index}].violation", gate.violation, fields)


def _routes(policy: Policy) -> Iterator[Finding]:
    tiers, fields = frozenset(tier.name for tier in policy.tiers), _fields(policy)
    for index, route in enumerate(policy.routes):
        yield from _route(f"routes[{index}]", route, tiers, fields)
    if policy.default.when != And(()):
        yield "default.when", "must hold always"
    yield from _route("default", policy.default, tiers, fields)


def _governance(policy: Policy) -> Iterator[Finding]:
    tiers = {tier.name for tier in policy.tiers}
    budgets = [f"{budget.scope} {budget.name} {budget.unit} {budget.period}" for budget in policy.budgets]
    yield from _repeats("budgets", budgets)
    for index, budget in enumerate(policy.budgets):
        yield from _budget(f"budgets[{index}]", budget, tiers)
    yield from _repeats("canaries", [canary.policy for canary in policy.canaries])
    if sum(canary.share_ppm for canary in policy.canaries) > PPM:
        yield "canaries", "take more than everything in all"
    for index, canary in enumerate(policy.canaries):
        if canary.policy == policy.name:
            yield f"canaries[{index}].policy", "must be another policy"
        if (canary.metric is None) != (canary.drop_ppm is None):
            yield f"canaries[{index}].drop_ppm", "stands with `metric`, or neither does"
        if canary.drop_ppm == 0:
            yield f"canaries[{index}].drop_ppm", "must be more than 0"
    if policy.guard is not None:
        yield from _guard(policy.guard)


def _budget(path: str, budget: Budget, tiers: set[str]) -> Iterator[Finding]:
    if (budget.scope == "tenant") != (budget.name is None):
        yield f"{path}.name", "belongs to org, team and product, and to each of them"
    if budget.limit == 0:
        yield f"{path}.limit", "must be more than 0"
    if budget.warn_ppm == 0:
        yield f"{path}.warn_ppm", "must be more than 0"
    if budget.degrade is not None and budget.warn_ppm is None:
        yield f"{path}.degrade", "needs `warn_ppm`"
    if budget.degrade is not None and budget.degrade not in tiers:
        yield f"{path}.degrade", f"unknown tier `{budget.degrade}`"


def _guard(guard: Guard) -> Iterator[Finding]:
    yield from _floors("guard.floors", guard.floors)
    yield from _repeats("guard.parameters", guard.parameters or ())
    for name in guard.parameters or ():
        if name not in PARAMETERS:
            yield "guard.parameters", f"unknown parameter `{name}`"


def _claims(policy: Policy) -> Iterator[Finding]:
    fields = _fields(policy)
    yield from _repeats("assertions", [assertion.reason for assertion in policy.assertions])
    for index, assertion in enumerate(policy.assertions):
        yield from _expression(f"assertions[{index}].given", assertion.given, fields, model_fields=False)
        yield from _expression(f"assertions[{index}].claim", assertion.claim, fields)


def _fields(policy: Policy) -> Fields:
    """The vocabulary with the policy's own tasks and attributes."""
    task = replace(FIELDS["task"], values=policy.tasks)
    own = (attribute_spec(attribute.name, attribute.values) for attribute in policy.attributes)
    return {**FIELDS, "task": task, **{spec.name: spec for spec in own}}


def _route(path: str, route: Route, tiers: frozenset[str], fields: Fields) -> Iterator[Finding]:
    yield from _expression(f"{path}.when", route.when, fields, model_fields=False)
    if route.where is not None:
        yield from _expression(f"{path}.where", route.where, fields)
    yield from _repeats(f"{path}.use", route.use)
    for name in route.use:
        if name not in tiers:
            yield f"{path}.use", f"unknown tier `{name}`"
    yield from _floors(f"{path}.floors", route.floors)
    if route.until_proven and all(floor.proven_ppm is None for floor in route.floors):
        yield f"{path}.until_proven", "needs a floor with `proven_ppm`"
    for index, term in enumerate(route.pick):
        yield from _term(f"{path}.pick[{index}]", term, last=index == len(route.pick) - 1)
    yield from route_call_problems(path, route)


def _floors(path: str, floors: Sequence[Floor]) -> Iterator[Finding]:
    yield from _repeats(path, [floor.metric for floor in floors])
    for floor in floors:
        if floor.proven_ppm is not None and not PPM // 2 <= floor.proven_ppm < PPM:
            yield path, "a confidence lies from 500000 to below 1000000"


def _term(path: str, term: PickTerm, *, last: bool) -> Iterator[Finding]:
    for name, value, rule in (
        ("metric", term.metric, "fastest"),
        ("value_nanodollars", term.value_nanodollars, "best_value"),
        ("arms", term.arms or None, "prefer"),
    ):
        if (term.rule == rule) != (value is not None):
            yield f"{path}.{name}", f"belongs to `{rule}` and only there"
    if term.value_nanodollars == 0:
        yield f"{path}.value_nanodollars", "must be more than 0"
    if (last or term.rule == "prefer") and term.within_ppm:
        yield f"{path}.within_ppm", "must be 0 on the last term and on `prefer`"
    if not last and term.rule != "prefer" and not term.within_ppm:
        yield f"{path}.within_ppm", "must be more than 0 where a term follows"
    yield from _repeats(f"{path}.arms", term.arms)


def _expression(path: str, expr: Expr, fields: Fields, *, model_fields: bool = True) -> Iterator[Finding]:
    names: tuple[str, ...]
    match expr:
        case And(items) | Or(items):
            for index, item in enumerate(items):
                yield from _expression(f"{path}.items[{index}]", item, fields, model_fields=model_fields)
            return
        case Not(item):
            yield from _expression(f"{path}.item", item, fields, model_fields=model_fields)
            return
        case CompareFields(left, _, _, right):
            names = (left, right)
        case _:
            names = (expr.field,)
    for name in names:
        if name not in fields:
            yield path, f"unknown field `{name}`"
            return
        if fields[name].scope == "model" and not model_fields:
            yield path, f"`{name}` is not known when a route is chosen"
    if problem := _misuse(expr, fields):
        yield path, problem


def _misuse(expr: Compare | CompareFields | In | Flag, fields: Fields) -> str | None:
    match expr:
        case Flag(name):
            return None if fields[name].kind == "flag" else f"`{name}` is not a flag"
        case In(name, values):
            if fields[name].kind not in ("enum", "ordered", "slug"):
                return f"`{name}` has no named values"
            if len(set(values)) < len(values):
                return "a value is listed twice"
            return next((problem for value in values if (problem := _foreign(fields[name], value))), None)
        case CompareFields(left, _, _, right):
            same = fields[left].kind == fields[right].kind
            return None if same and fields[left].kind in _NUMERIC else f"`{left}` and `{right}` do not compare"
        case Compare(name, relation, value):
            return _mismatch(fields[name], relation, value)


def _mismatch(spec: FieldSpec, relation: str, value: str | int) -> str | None:
    if spec.kind in _NUMERIC:
        return None if isinstance(value, int) else f"`{spec.name}` compares with a number"
    if spec.kind == "flag" or isinstance(value, int):
        return f"`{spec.name}` does not compare with this value"
    if spec.kind != "ordered" and relation not in ("eq", "ne"):
        return f"`{spec.name}` has no order"
    return _foreign(spec, value)


def _foreign(spec: FieldSpec, value: str) -> str | None:
    return f"`{value[:40]}` is not a value of `{spec.name}`" if spec.values and value not in spec.values else None


def _repeats(path: str, names: Sequence[str]) -> Iterator[Finding]:
    if len(set(names)) < len(names):
        yield path, f"`{next(name for name in names if names.count(name) > 1)}` stands twice"
