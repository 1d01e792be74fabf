"""The clauses of a route, as written."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from policy_lang.diagnostics import Span
from policy_lang.text.syntax.conditions import Amount, Condition, Word

__all__ = [
    "BatchClause",
    "CascadeClause",
    "Check",
    "Clause",
    "ExploreClause",
    "FloorClause",
    "OnClause",
    "PickClause",
    "PinClause",
    "SetClause",
    "Share",
    "Step",
    "StreamClause",
    "Term",
    "TimeoutClause",
    "UntilClause",
    "UseClause",
    "WhereClause",
]


@dataclass(frozen=True, slots=True)
class UseClause:
    tiers: tuple[Word, ...]
    span: Span


@dataclass(frozen=True, slots=True)
class Check:
    """`rule < limit`, or `not rule argument`: when an answer escalates."""

    rule: Word
    relation: Word | None
    limit: Amount | None
    argument: Word | None
    span: Span


@dataclass(frozen=True, slots=True)
class CascadeClause:
    tiers: tuple[Word, ...]
    checks: tuple[Check, ...]
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


@dataclass(frozen=True, slots=True)
class PinClause:
    what: Word
    duration: Amount
    span: Span


@dataclass(frozen=True, slots=True)
class SetClause:
    """`set parameter value`; `rule` is how: this value, a least or greatest one, or one derived from `value`."""

    parameter: Word
    rule: Literal["set", "at_least", "at_most", "by"]
    value: Amount | Word
    span: Span


@dataclass(frozen=True, slots=True)
class Step:
    """One step of `on`: `retry 2 backoff 200ms`, `open breaker`, `next`, `abort`, `disable 10m`, `stay in floor`."""

    action: Word
    count: Amount | None
    backoff: Amount | None
    breaker: bool
    span: Span


@dataclass(frozen=True, slots=True)
class OnClause:
    outcomes: tuple[Word, ...]
    steps: tuple[Step, ...]
    span: Span


@dataclass(frozen=True, slots=True)
class TimeoutClause:
    duration: Amount
    span: Span


@dataclass(frozen=True, slots=True)
class StreamClause:
    value: Word
    span: Span


@dataclass(frozen=True, slots=True)
class BatchClause:
    value: Word
    span: Span


Clause = (
    UseClause
    | CascadeClause
    | WhereClause
    | FloorClause
    | UntilClause
    | PickClause
    | ExploreClause
    | PinClause
    | SetClause
    | OnClause
    | TimeoutClause
    | StreamClause
    | BatchClause
)
