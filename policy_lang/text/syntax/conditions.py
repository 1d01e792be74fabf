"""Words, amounts and conditions, as written."""

from __future__ import annotations

from policy_lang.diagnostics import Span
from policy_lang.frozen import frozen

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


@frozen
class Word:
    """A name or a quoted text; `text` without the quotes."""

    text: str
    span: Span
    quoted: bool = False


@frozen
class Amount:
    """A number with its unit: `digits` as written without `_`; `unit` is what follows (`%`, `ms`, `tokens`) or "".

    Money has the unit `$` or `$/` and what the price is per, as in `$/Mtok`. Only `set` reads a sign in front.
    """

    digits: str
    unit: str
    text: str
    span: Span


@frozen
class Scaled:
    """`factor * field`."""

    factor: Amount
    field: Word
    span: Span


Value = Word | Amount | Scaled


@frozen
class Comparison:
    field: Word
    relation: str
    value: Value
    span: Span


@frozen
class Membership:
    field: Word
    values: tuple[Value, ...]
    span: Span


@frozen
class FlagTest:
    field: Word
    span: Span


@frozen
class Negated:
    item: Condition
    span: Span


@frozen
class Both:
    items: tuple[Condition, ...]
    span: Span


@frozen
class Either:
    items: tuple[Condition, ...]
    span: Span


Condition = Comparison | Membership | FlagTest | Negated | Both | Either
