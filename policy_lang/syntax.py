"""The tree of a policy as written: frozen, every node with its span, nothing resolved or normalised."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from policy_lang.diagnostics import Span

__all__ = [
    "Amount",
    "Baseline",
    "Both",
    "Clause",
    "Comparison",
    "Condition",
    "Either",
    "ExploreClause",
    "Fallback",
    "FlagTest",
    "FloorClause",
    "ForbidRule",
    "Header",
    "Membership",
    "Negated",
    "PickClause",
    "RequireRule",
    "RouteRule",
    "Rule",
    "Scaled",
    "Share",
    "Statement",
    "Tasks",
    "Term",
    "TierRule",
    "UntilClause",
    "UseClause",
    "Value",
    "WhereClause",
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

    Money has the unit `$` or `$/` and what the price is per, as in `$/Mtok`.
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


@dataclass(frozen=True, slots=True)
class Header:
    name: Word
    version: Amount
    span: Span


@dataclass(frozen=True, slots=True)
class Tasks:
    names: tuple[Word, ...]
    span: Span


@dataclass(frozen=True, slots=True)
class TierRule:
    name: Word
    models: tuple[Word, ...]
    span: Span


@dataclass(frozen=True, slots=True)
class ForbidRule:
    reason: Word
    when: Condition
    unless: Condition | None
    span: Span


@dataclass(frozen=True, slots=True)
class RequireRule:
    reason: Word
    condition: Condition
    when: Condition | None
    unless: Condition | None
    span: Span


@dataclass(frozen=True, slots=True)
class UseClause:
    tiers: tuple[Word, ...]
    span: Span


@dataclass(frozen=True, slots=True)
class WhereClause:
    condition: Condition
    span: Span


@dataclass(frozen=True, slots=True)
class FloorClause:
    metric: Word
    relation: Word
    at_least: Amount
    proven: Amount | None
    span: Span


@dataclass(frozen=True, slots=True)
class UntilClause:
    model: Word
    span: Span


@dataclass(frozen=True, slots=True)
class Term:
    """One key of `pick`. `subject` is the word after `fastest` or `best`, `value` the money after `at`."""

    order: Literal["cheapest", "fastest", "best", "prefer"]
    span: Span
    subject: Word | None = None
    value: Amount | None = None
    models: tuple[Word, ...] = ()
    within: Amount | None = None


@dataclass(frozen=True, slots=True)
class PickClause:
    terms: tuple[Term, ...]
    span: Span


@dataclass(frozen=True, slots=True)
class Share:
    """One limit of `explore`; `unproven` marks the rate that holds while nothing is proven."""

    amount: Amount
    unproven: bool
    span: Span


@dataclass(frozen=True, slots=True)
class ExploreClause:
    shares: tuple[Share, ...]
    span: Span


Clause = UseClause | WhereClause | FloorClause | UntilClause | PickClause | ExploreClause


@dataclass(frozen=True, slots=True)
class RouteRule:
    """A route; `when` is None exactly for the default route."""

    name: Word
    when: Condition | None
    clauses: tuple[Clause, ...]
    span: Span


@dataclass(frozen=True, slots=True)
class Fallback:
    models: tuple[Word, ...]
    span: Span


@dataclass(frozen=True, slots=True)
class Baseline:
    model: Word
    span: Span


Rule = ForbidRule | RequireRule
Statement = Header | Tasks | TierRule | ForbidRule | RequireRule | RouteRule | Fallback | Baseline
