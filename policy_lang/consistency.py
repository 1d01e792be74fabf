"""What types cannot say about a policy: names that must exist or be unique, operators that a field's kind has.

Shared by every validator of the IR; the checker says the same of a text, with spans.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from policy_lang.ir import And, Compare, CompareFields, Expr, Flag, In, Not, Or, PickTerm, Policy, Route
from policy_lang.vocabulary import FIELDS, OTHER_TASK, FieldSpec

__all__ = ["inconsistencies"]

Finding = tuple[str, str]
_NUMERIC = ("tokens", "price", "ppm")


def inconsistencies(policy: Policy) -> Iterator[Finding]:
    """Path and message of each thing that does not fit together."""
    yield from _repeats("tasks", policy.tasks)
    yield from _repeats("tiers", [tier.name for tier in policy.tiers])
    yield from _repeats("gates", [gate.reason for gate in policy.gates])
    yield from _repeats("routes", [route.name for route in (*policy.routes, policy.default)])
    yield from _repeats("fallback", policy.fallback)
    if OTHER_TASK not in policy.tasks:
        yield "tasks", f"`{OTHER_TASK}` must be among them"
    for index, tier in enumerate(policy.tiers):
        yield from _repeats(f"tiers[{index}].arms", tier.arms)
    tasks = frozenset(policy.tasks)
    for index, gate in enumerate(policy.gates):
        yield from _expression(f"gates[{index}].violation", gate.violation, tasks)
    for index, route in enumerate(policy.routes):
        yield from _route(f"routes[{index}]", route, policy)
    if policy.default.when != And(()):
        yield "default.when", "must hold always"
    yield from _route("default", policy.default, policy)


def _route(path: str, route: Route, policy: Policy) -> Iterator[Finding]:
    tasks, tiers = frozenset(policy.tasks), {tier.name for tier in policy.tiers}
    yield from _expression(f"{path}.when", route.when, tasks, model_fields=False)
    if route.where is not None:
        yield from _expression(f"{path}.where", route.where, tasks)
    yield from _repeats(f"{path}.use", route.use)
    for name in route.use:
        if name not in tiers:
            yield f"{path}.use", f"unknown tier `{name}`"
    yield from _repeats(f"{path}.floors", [floor.metric for floor in route.floors])
    if route.until_proven and all(floor.proven_ppm is None for floor in route.floors):
        yield f"{path}.until_proven", "needs a floor with `proven_ppm`"
    for index, term in enumerate(route.pick):
        yield from _term(f"{path}.pick[{index}]", term, last=index == len(route.pick) - 1)


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


def _expression(path: str, expr: Expr, tasks: frozenset[str], *, model_fields: bool = True) -> Iterator[Finding]:
    names: tuple[str, ...]
    match expr:
        case And(items) | Or(items):
            for index, item in enumerate(items):
                yield from _expression(f"{path}.items[{index}]", item, tasks, model_fields=model_fields)
            return
        case Not(item):
            yield from _expression(f"{path}.item", item, tasks, model_fields=model_fields)
            return
        case CompareFields(left, _, _, right):
            names = (left, right)
        case _:
            names = (expr.field,)
    for name in names:
        if name not in FIELDS:
            yield path, f"unknown field `{name}`"
            return
        if FIELDS[name].scope == "model" and not model_fields:
            yield path, f"`{name}` is not known when a route is chosen"
    if problem := _misuse(expr, tasks):
        yield path, problem


def _misuse(expr: Compare | CompareFields | In | Flag, tasks: frozenset[str]) -> str | None:
    match expr:
        case Flag(name):
            return None if FIELDS[name].kind == "flag" else f"`{name}` is not a flag"
        case In(name, values):
            if FIELDS[name].kind not in ("enum", "ordered", "slug"):
                return f"`{name}` has no named values"
            if len(set(values)) < len(values):
                return "a value is listed twice"
            return next((problem for value in values if (problem := _foreign(FIELDS[name], value, tasks))), None)
        case CompareFields(left, _, _, right):
            same = FIELDS[left].kind == FIELDS[right].kind
            return None if same and FIELDS[left].kind in _NUMERIC else f"`{left}` and `{right}` do not compare"
        case Compare(name, relation, value):
            return _mismatch(FIELDS[name], relation, value, tasks)


def _mismatch(spec: FieldSpec, relation: str, value: str | int, tasks: frozenset[str]) -> str | None:
    if spec.kind in _NUMERIC:
        return None if isinstance(value, int) else f"`{spec.name}` compares with a number"
    if spec.kind == "flag" or isinstance(value, int):
        return f"`{spec.name}` does not compare with this value"
    if spec.kind != "ordered" and relation not in ("eq", "ne"):
        return f"`{spec.name}` has no order"
    return _foreign(spec, value, tasks)


def _foreign(spec: FieldSpec, value: str, tasks: frozenset[str]) -> str | None:
    known = tasks if spec.name == "task" else spec.values
    return f"`{value[:40]}` is not a value of `{spec.name}`" if known and value not in known else None


def _repeats(path: str, names: Sequence[str]) -> Iterator[Finding]:
    if len(set(names)) < len(names):
        yield path, f"`{next(name for name in names if names.count(name) > 1)}` stands twice"
