"""The clauses of a route, as written."""

from __future__ import annotations

from typing import Literal

from policy_lang.diagnostics import Span
from policy_lang.frozen import frozen
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


@frozen
class UseClause:
    tiers: tuple[Word, ...]
    span: Span


@frozen
class Check:
    """`rule < limit`, or `not rule argument`: when an answer escalates."""

    rule: Word
    relation: Word | None
    limit: Amount | None
    argument: Word | None
    span: Span


@frozen
class CascadeClause:
    tiers: tuple[Word, ...]
    checks: tuple[Check, ...]
    span: Span


@frozen
class WhereClause:
    condition: Condition
    span: Span


@frozen
class FloorClause:
    metric: Word
    relation: Word
    at_least: Amount
    proven: Amount | None
    span: Span


@frozen
class UntilClause:
    model: Word
    span: Span


@frozen
class Term:
    """One key of `pick`. `subject` is the word after `fastest` or `best`, `value` the money after `at`."""

    order: Literal["cheapest", "fastest", "best", "prefer"]
    span: Span
    subject: Word | None = None
    value: Amount | None = None
    models: tuple[Word, ...] = ()
    within: Amount | None = None


@frozen
class PickClause:
    terms: tuple[Term, ...]
    span: Span


@frozen
class Share:
    """One limit of `explore`; `unproven` marks the rate that holds while nothing is proven."""

    amount: Amount
    unproven: bool
    span: Span


@frozen
class ExploreClause:
    shares: tuple[Share, ...]
    span: Span


@frozen
class PinClause:
    what: Word
    duration: Amount
    span: Span


@frozen
class SetClause:
    """`set parameter value`; `rule` is how: this value, a least or greatest one, or one derived from `value`."""

    parameter: Word
    rule: Literal["set", "at_least", "at_most", "by"]
    value: Amount | Word
    span: Span


@frozen
class Step:
    """One step of `on`: `retry 2 backoff 200ms`, `open breaker`, `next`, `abort`, `disable 10m`, `stay in floor`."""

    action: Word
    count: Amount | None
    backoff: Amount | None
    breaker: bool
    span: Span


@frozen
class OnClause:
    outcomes: tuple[Word, ...]
    steps: tuple[Step, ...]
    span: Span


@frozen
class TimeoutClause:
    duration: Amount
    span: Span


@frozen
class StreamClause:
    value: Word
    span: Span


@frozen
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
