"""Why not this model: what keeps an arm from a call, and per obstacle the smallest change that would admit it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import combinations, product
from typing import Literal

from policy_lang.analysis.space import Call
from policy_lang.analysis.words import expr_text, listed
from policy_lang.catalog import Catalog
from policy_lang.frozen import frozen
from policy_lang.gates import Facts, FactValue, evaluate, mentioned_fields
from policy_lang.ir import PPM, And, Compare, CompareFields, Expr, Flag, In, Not, Or, Policy, Route
from policy_lang.shapes import atoms_of
from policy_lang.vocabulary import FIELDS, OTHER_TASK

__all__ = ["Edit", "Obstacle", "WhyNot", "why_not"]

_MOST_TRIES = 20_000


@frozen
class Edit:
    """One operand changed: a comparison as it is, and as it would have to be."""

    before: Expr
    after: Expr

    def __str__(self) -> str:
        return f"`{expr_text(self.before)}` to `{expr_text(self.after)}`"


@frozen
class Obstacle:
    """One thing that by itself keeps the model out. `edits`: the nearest change of its operands; none where only
    removing the rule, or another catalog, would help.
    """

    rule: str
    kind: Literal["catalog", "gate", "where", "tier"]
    unknown: tuple[str, ...]
    edits: tuple[Edit, ...]
    help: str


@frozen
class WhyNot:
    """All obstacles, every one of which has to go. Without any, the model may serve this call."""

    arm: str
    route: str
    obstacles: tuple[Obstacle, ...]


def why_not(policy: Policy, catalog: Catalog, arm: str, call: Call) -> WhyNot:
    """Why `arm` cannot serve `call`. KeyError for a name the catalog neither holds nor has as an alias."""
    found = catalog.resolve(arm)
    if found is None:
        raise KeyError(arm)
    stated = call.facts()
    if stated["task"] not in policy.tasks:
        stated["task"] = OTHER_TASK
    route = next((route for route in policy.routes if evaluate(route.when, stated) is True), policy.default)
    facts = {**stated, **catalog.models[found].facts()}
    obstacles = [
        _obstacle(gate.reason, "gate", gate.violation, facts, wanted=False)
        for gate in policy.gates
        if evaluate(gate.violation, facts) is not False
    ]
    tiers = {tier.name: tier.arms for tier in policy.tiers}
    named = (*route.use, *(route.cascade.tiers if route.cascade else ()))
    if found not in policy.fallback and found != route.until_proven:
        if not any(found in tiers[name] for name in named):
            obstacles.append(_no_tier(policy, route, found))
        if route.where is not None and evaluate(route.where, facts) is not True:
            obstacles.append(_obstacle(f"route:{route.name}", "where", route.where, facts, wanted=True))
    return WhyNot(found, route.name, tuple(obstacles))


def _obstacle(rule: str, kind: Literal["gate", "where"], expr: Expr, facts: Facts, *, wanted: bool) -> Obstacle:
    unknown = tuple(sorted(name for name in mentioned_fields(expr) if facts.get(name) is None))
    edits = _nearest(expr, facts, wanted)
    if edits:
        return Obstacle(rule, kind, unknown, edits, "change " + " and ".join(map(str, edits)))
    if unknown:
        return Obstacle(rule, kind, unknown, (), _stating(unknown))
    return Obstacle(
        rule, kind, unknown, (), "no change of one or two operands helps; remove the rule, or excuse the call"
    )


def _stating(unknown: tuple[str, ...]) -> str:
    """Who is to say what is unknown: the caller of a request's fields, the tenant's catalog of a model's."""
    told = tuple(name for name in unknown if not name.startswith("model."))
    listing = tuple(name for name in unknown if name.startswith("model."))
    parts = [f"state {listed(told)} with the call"] if told else []
    parts += [f"give the model's catalog row {listed(listing)}"] if listing else []
    return f"{' and '.join(parts)}: what is unknown fails the rule"


def _no_tier(policy: Policy, route: Route, arm: str) -> Obstacle:
    holding = [tier.name for tier in policy.tiers if arm in tier.arms]
    help_text = f"let route `{route.name}` use {listed(holding)}" if holding else f"add it to tier `{route.use[-1]}`"
    return Obstacle(f"route:{route.name}", "tier", (), (), help_text)


def _nearest(expr: Expr, facts: Facts, wanted: bool) -> tuple[Edit, ...]:
    """The fewest edits, and of those the smallest, that give `expr` the verdict `wanted`; at most two edits."""
    places = dict.fromkeys(atoms_of(expr))
    options = {atom: [(size, Edit(atom, other)) for size, other in _alternatives(atom, facts)] for atom in places}
    tries = 0
    for count in (1, 2):
        best: tuple[int, tuple[Edit, ...]] | None = None
        for atoms in combinations(places, count):
            for chosen in product(*(options[atom] for atom in atoms)):
                tries += 1
                if tries > _MOST_TRIES:
                    return best[1] if best else ()
                edits = tuple(edit for _, edit in chosen)
                size = sum(each for each, _ in chosen)
                if (best is None or size < best[0]) and evaluate(_edited(expr, edits), facts) is wanted:
                    best = (size, edits)
        if best:
            return best[1]
    return ()


def _alternatives(atom: Expr, facts: Facts) -> Iterator[tuple[int, Expr]]:
    """The least change of an operand that turns a comparison round, with its size in ppm of the operand.

    A list that gains or loses the value at hand counts as 1 %, another name as 10 %. An unknown cannot be turned.
    """
    match atom:
        case Compare(field, relation, int() as constant):
            value = facts.get(field)
            if isinstance(value, int):
                new = _threshold(relation, value, constant)
                if new < 0:
                    return
                yield _size(constant, new), replace(atom, value=new)
        case Compare(field, relation, str() as constant):
            value = facts.get(field)
            if isinstance(value, str):
                yield from ((100_000 + steps, replace(atom, value=name)) for steps, name in _names(atom, value))
        case CompareFields(left, relation, ratio, right):
            first, second = facts.get(left), facts.get(right)
            if isinstance(first, int) and isinstance(second, int) and second:
                exact = first * PPM // second if relation in ("lt", "ge") else -(-first * PPM // second)
                for new in (exact, exact + 1, exact - 1):
                    changed = replace(atom, ratio_ppm=new)
                    if 0 < new <= 1000 * PPM and evaluate(changed, facts) is not evaluate(atom, facts):
                        yield _size(ratio, new), changed
                        return
        case In(field, values):
            value = facts.get(field)
            if isinstance(value, str):
                others = tuple(sorted({*values} ^ {value}))
                if others:
                    yield 10_000, replace(atom, values=others)
        case _:
            return


def _threshold(relation: str, value: int, constant: int) -> int:
    """The nearest constant for which `value relation constant` turns round."""
    match relation:
        case "lt":
            return value if value < constant else value + 1
        case "le":
            return value - 1 if value <= constant else value
        case "gt":
            return value if value > constant else value - 1
        case "ge":
            return value + 1 if value >= constant else value
        case _:
            return constant + 1 if value == constant else value


def _names(atom: Compare, value: str) -> Iterator[tuple[int, str]]:
    """Constants that turn a comparison of names round, with their distance in buckets."""
    spec = FIELDS.get(atom.field)
    if spec is not None and spec.kind == "ordered":
        place = spec.values.index(str(atom.value))
        facts: dict[str, FactValue] = {atom.field: value}
        now = evaluate(atom, facts)
        for index, name in enumerate(spec.values):
            if evaluate(replace(atom, value=name), facts) is not now:
                yield abs(index - place), name
    elif value != atom.value:
        yield 0, value


def _edited(expr: Expr, edits: tuple[Edit, ...]) -> Expr:
    match expr:
        case And(items):
            return And(tuple(_edited(item, edits) for item in items))
        case Or(items):
            return Or(tuple(_edited(item, edits) for item in items))
        case Not(item):
            return Not(_edited(item, edits))
        case Flag():
            return expr
        case _:
            return next((edit.after for edit in edits if edit.before == expr), expr)


def _size(old: int, new: int) -> int:
    return abs(new - old) * PPM // max(1, abs(old)) + 1
