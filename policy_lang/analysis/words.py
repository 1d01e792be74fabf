"""IR in the language's own words, for messages."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal

from policy_lang.analysis.space import Box
from policy_lang.gates import FactValue
from policy_lang.ir import PPM, And, Compare, CompareFields, Expr, Flag, In, Not, Or
from policy_lang.vocabulary import FIELDS

__all__ = ["call_text", "constant_text", "dollars", "expr_text", "listed", "percent"]

_SIGNS = {"eq": "==", "ne": "!=", "lt": "<", "le": "<=", "gt": ">", "ge": ">="}
_MOST = 8


def expr_text(expr: Expr, *, nested: bool = False) -> str:
    """An expression as a policy would write it."""
    match expr:
        case And(items) | Or(items):
            word = " and " if isinstance(expr, And) else " or "
            text = word.join(expr_text(item, nested=True) for item in items) or ("true" if word == " and " else "false")
            return f"({text})" if nested and len(items) > 1 else text
        case Not(item):
            return f"not {expr_text(item, nested=True)}"
        case Flag(field):
            return field
        case In(field, values):
            return f"{field} in [{', '.join(values)}]"
        case Compare(field, relation, value):
            return f"{field} {_SIGNS[relation]} {constant_text(field, value)}"
        case CompareFields(left, relation, ratio_ppm, right):
            factor = "" if ratio_ppm == PPM else f"{_number(ratio_ppm, 6)} * "
            return f"{left} {_SIGNS[relation]} {factor}{right}"


def constant_text(field: str, value: FactValue) -> str:
    """A constant with the unit of its field."""
    if isinstance(value, bool):
        return str(value).lower()
    if value is None:
        return "unknown"
    if isinstance(value, int) and field in FIELDS and FIELDS[field].kind == "price":
        return f"${_number(value, 6)}/Mtok"
    return f"{value:_}" if isinstance(value, int) else value


def call_text(given: Box) -> str:
    """``a call with `task = label` and no `org` ``, or `any call`."""
    stated = [f"{name} = {constant_text(name, value)}" for name, value in given.items() if value is not None]
    absent = [f"no `{name}`" for name, value in given.items() if value is None]
    parts = ([f"`{', '.join(stated)}`"] if stated else []) + absent
    return f"a call with {' and '.join(parts)}" if parts else "any call"


def dollars(nanodollars: int) -> str:
    """Money, to at most six decimals."""
    text = _number(nanodollars // 1000, 6)
    whole, _, cents = text.partition(".")
    return f"${int(whole):,}.{cents.ljust(2, '0')}" if cents else f"${int(whole):,}"


def percent(ppm: int) -> str:
    return f"{_number(ppm, 4)}%"


def listed(names: Iterable[str]) -> str:
    """Names in backticks, the first few of them."""
    every = [f"`{name}`" for name in names]
    more = f" and {len(every) - _MOST} more" if len(every) > _MOST else ""
    return ", ".join(every[:_MOST]) + more


def _number(value: int, decimals: int) -> str:
    return f"{Decimal(value).scaleb(-decimals).normalize():f}"
