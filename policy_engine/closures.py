"""Expressions as closures, with the facts that are known beforehand folded in.

The meaning is that of `policy_lang.gates.evaluate`, the oracle that tests hold every closure to.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from operator import eq, ge, gt, le, lt, ne
from typing import assert_never

from policy_lang.gates import Facts
from policy_lang.ir import PPM, And, Compare, CompareFields, Expr, Flag, In, Not, Or
from policy_lang.vocabulary import FIELDS, bucket_rank

__all__ = ["Residue", "Verdict", "compile_expr", "residual"]

Verdict = Callable[[Facts], bool | None]
#: What is left of an expression: a constant where nothing else matters, None for unknown.
Residue = Verdict | bool | None

_RELATIONS: Mapping[str, Callable[[int, int], bool]] = {"eq": eq, "ne": ne, "lt": lt, "le": le, "gt": gt, "ge": ge}


def compile_expr(expr: Expr) -> Verdict:
    """An expression as a closure over facts."""
    left = residual(expr, {})
    return left if callable(left) else lambda _: left


def residual(expr: Expr, known: Facts) -> Residue:
    """`expr` with the facts of `known` worked in; a name that stands there as None is known to be missing."""
    match expr:
        case And(items):
            return _joined(items, known, decisive=False)
        case Or(items):
            return _joined(items, known, decisive=True)
        case Not(item):
            return _negated(residual(item, known))
        case CompareFields():
            return _field_comparison(expr, known)
        case Compare() | In() | Flag():
            test = _comparison(expr) if isinstance(expr, Compare) else _membership(expr)
            return test(known) if expr.field in known else test
        case _:
            assert_never(expr)


def _joined(items: tuple[Expr, ...], known: Facts, *, decisive: bool) -> Residue:
    """One False decides an `and`, one True an `or`; else a part that is unknown leaves the whole unknown."""
    undecided: bool | None = not decisive
    rest: list[Verdict] = []
    for item in items:
        part = residual(item, known)
        if part is decisive:
            return decisive
        if part is None:
            undecided = None
        elif callable(part):
            rest.append(part)
    if not rest:
        return undecided
    if len(rest) == 1 and undecided is not None:
        return rest[0]
    parts = tuple(rest)

    def verdict(facts: Facts) -> bool | None:
        found = undecided
        for part in parts:
            answer = part(facts)
            if answer is decisive:
                return decisive
            if answer is None:
                found = None
        return found

    return verdict


def _negated(inner: Residue) -> Residue:
    if callable(inner):
        return lambda facts: None if (found := inner(facts)) is None else not found
    return None if inner is None else not inner


def _membership(expr: In | Flag) -> Verdict:
    name = expr.field
    if isinstance(expr, Flag):
        return lambda facts: found if isinstance(found := facts.get(name), bool) else None
    accepted = frozenset(expr.values)
    return lambda facts: found in accepted if isinstance(found := facts.get(name), str) else None


def _comparison(expr: Compare) -> Verdict:
    name, constant, related = expr.field, expr.value, _RELATIONS[expr.relation]
    if isinstance(constant, int):
        return lambda facts: related(found, constant) if type(found := facts.get(name)) is int else None
    if expr.relation == "eq":
        return lambda facts: found == constant if isinstance(found := facts.get(name), str) else None
    if expr.relation == "ne":
        return lambda facts: found != constant if isinstance(found := facts.get(name), str) else None
    if name not in FIELDS or FIELDS[name].kind != "ordered":
        return lambda _: None
    rank = bucket_rank(name, constant)
    accepted = frozenset(value for value in FIELDS[name].values if related(bucket_rank(name, value), rank))
    return lambda facts: found in accepted if isinstance(found := facts.get(name), str) else None


def _field_comparison(expr: CompareFields, known: Facts) -> Residue:
    left, right, ratio, related = expr.left, expr.right, expr.ratio_ppm, _RELATIONS[expr.relation]
    for name in (left, right):
        if name in known and type(known[name]) is not int:
            return None

    def verdict(facts: Facts) -> bool | None:
        first = known[left] if left in known else facts.get(left)
        second = known[right] if right in known else facts.get(right)
        if type(first) is not int or type(second) is not int:
            return None
        return related(first * PPM, second * ratio)

    return verdict(known) if left in known and right in known else verdict
