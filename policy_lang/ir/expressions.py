"""Conditions: what a gate, a route and an assertion say about a call and a model."""

from __future__ import annotations

from typing import Annotated, Literal

from policy_lang.frozen import frozen
from policy_lang.ir.fields import Amount, Closed, FieldName, Limits, Ratio, Tagged, Word

__all__ = [
    "And",
    "Compare",
    "CompareFields",
    "Expr",
    "Flag",
    "In",
    "Not",
    "NumericRelation",
    "Or",
    "Relation",
]

Relation = Literal["eq", "ne", "lt", "le", "gt", "ge"]
NumericRelation = Literal["lt", "le", "gt", "ge"]


@frozen
class Compare(Closed):
    """`field relation value`; ordered fields compare by bucket rank, words by equality only, numbers by value."""

    field: FieldName
    relation: Relation
    value: Word | Amount
    op: Literal["compare"] = "compare"


@frozen
class CompareFields(Closed):
    """`left relation (ratio_ppm / 1e6) x right`, both numeric: `model.context >= 1.25 * tokens.upper`."""

    left: FieldName
    relation: NumericRelation
    ratio_ppm: Ratio
    right: FieldName
    op: Literal["compare_fields"] = "compare_fields"


@frozen
class In(Closed):
    """`field in [values]`; values sorted."""

    field: FieldName
    values: Annotated[tuple[Word, ...], Limits(1, 200)]
    op: Literal["in"] = "in"


@frozen
class Flag(Closed):
    """A boolean field that must hold."""

    field: FieldName
    op: Literal["flag"] = "flag"


@frozen
class Not(Closed):
    item: Expr
    op: Literal["not"] = "not"


@frozen
class And(Closed):
    """All of `items`; no items holds always."""

    items: Annotated[tuple[Expr, ...], Limits(0, 200)]
    op: Literal["and"] = "and"


@frozen
class Or(Closed):
    """Any of `items`; no items never holds."""

    items: Annotated[tuple[Expr, ...], Limits(0, 200)]
    op: Literal["or"] = "or"


Expr = Annotated[Compare | CompareFields | In | Flag | Not | And | Or, Tagged("op")]
