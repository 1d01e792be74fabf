"""Words, amounts and conditions, as written."""

from __future__ import annotations

from dataclasses import dataclass

from policy_lang.diagnostics import Span

__all__ = [
    "Amount",
    "Both",
    "Comparison",
    "Condition",
    "Either",
    "FlagTest",
    "Membership",
    "Negated",
    "Scaled",
    "Value",
    "Word",
]


@dataclass(frozen=True, slots=True)
class Word:
    """A name or a quoted text; `text` without the quotes."""

    text: str
    span: Span
    quoted: bool = False


@dataclass(frozen=True, slots=True)
class Amount:
    """A number with its unit: `digits` as written without `_`; `unit` is what follows (`%`, `ms`, `tokens`) or "".

    Money has the unit `$` or `$/` and what the price is per, as in `$/Mtok`. Only `set` reads a sign in front.
    """

    digits: str
    unit: str
    text: str
    span: Span


@dataclass(frozen=True, slots=True)
class Scaled:
    """`factor * field`."""

    factor: Amount
    field: Word
    span: Span


Value = Word | Amount | Scaled


@dataclass(frozen=True, slots=True)
class Comparison:
    field: Word
    relation: str
    value: Value
    span: Span


@dataclass(frozen=True, slots=True)
class Membership:
    field: Word
    values: tuple[Value, ...]
    span: Span


@dataclass(frozen=True, slots=True)
class FlagTest:
    field: Word
    span: Span


@dataclass(frozen=True, slots=True)
class Negated:
    item: Condition
    span: Span


@dataclass(frozen=True, slots=True)
class Both:
    items: tuple[Condition, ...]
    span: Span


@dataclass(frozen=True, slots=True)
class Either:
    items: tuple[Condition, ...]
    span: Span


Condition = Comparison | Membership | FlagTest | Negated | Both | Either
