"""Static evaluation of IR expressions: a naive tree walk, short and obvious, the oracle the compiled table is held to.

Kleene three-valued logic: True, False, or None where a field the result hangs on is missing or ill-typed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import assert_never

from policy_lang.ir import PPM, And, Compare, CompareFields, Expr, Flag, In, Not, Or
from policy_lang.vocabulary import FIELDS, bucket_rank

__all__ = ["FactValue", "Facts", "evaluate", "mentioned_fields"]

FactValue = str | int | bool | None
Facts = Mapping[str, FactValue]


def evaluate(expr: Expr, facts: Facts) -> bool | None:
    """Truth of `expr` over `facts`; None when it depends on a fact that is missing or has the wrong type."""
    match expr:
        case And(items):
            verdicts = [evaluate(item, facts) for item in items]
            return False if False in verdicts else None if None in verdicts else True
        case Or(items):
            verdicts = [evaluate(item, facts) for item in items]
            return True if True in verdicts else None if None in verdicts else False
        case Not(item):
            verdict = evaluate(item, facts)
            return None if verdict is None else not verdict
        case Flag(field):
            value = facts.get(field)
            return value if isinstance(value, bool) else None
        case In(field, values):
            value = facts.get(field)
            return value in values if isinstance(value, str) else None
        case Compare(field, relation, constant):
            return _compare(field, relation, facts.get(field), constant)
        case CompareFields(left, relation, ratio_ppm, right):
            first, second = _number(facts.get(left)), _number(facts.get(right))
            if first is None or second is None:
                return None
            return _related(first * PPM, relation, second * ratio_ppm)
        case _:
            assert_never(expr)


def mentioned_fields(expr: Expr) -> frozenset[str]:
    """Every field name `expr` reads."""
    match expr:
        case And(items) | Or(items):
            return frozenset().union(*(mentioned_fields(item) for item in items))
        case Not(item):
            return mentioned_fields(item)
        case CompareFields(left, _, _, right):
            return frozenset((left, right))
        case _:
            return frozenset((expr.field,))


def _compare(field: str, relation: str, value: FactValue, constant: str | int) -> bool | None:
    if isinstance(constant, int):
        number = _number(value)
        return None if number is None else _related(number, relation, constant)
    if not isinstance(value, str):
        return None
    if relation == "eq":
        return value == constant
    if relation == "ne":
        return value != constant
    if FIELDS[field].kind != "ordered":
        return None
    return _related(bucket_rank(field, value), relation, bucket_rank(field, constant))


def _number(value: FactValue) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _related(left: int, relation: str, right: int) -> bool:
    match relation:
        case "eq":
            return left == right
        case "ne":
            return left != right
        case "lt":
            return left < right
        case "le":
            return left <= right
        case "gt":
            return left > right
        case _:
            return left >= right
