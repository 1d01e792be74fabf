"""The tree of a policy as written: frozen, every node with its span, nothing resolved or normalised."""

from __future__ import annotations

from typing import Literal

from policy_lang.diagnostics import Span
from policy_lang.records import dataclass

# fmt: off
__all__ = [
    "Amount", "AssertRule", "Attribute", "Audit", "Baseline", "BatchClause", "Both", "Bound", "BoundCanary",
    "BoundCost", "BoundParameters", "BudgetRule", "Canary", "CascadeClause", "Check", "Claim", "Clause",
    "Comparison", "Condition", "Either", "Evidence", "ExploreClause", "Fact", "Fallback", "FlagTest",
    "FloorClause", "ForbidRule", "GuardRule", "Header", "Measure", "Membership", "Mode", "Negated", "OnClause",
    "PickClause", "PinClause", "RequireRule", "RouteRule", "Rule", "Scaled", "SetClause", "Share", "Statement",
    "Statistics", "Step", "StreamClause", "Task", "Tasks", "Term", "TestRule", "TierRule", "TimeoutClause",
    "UntilClause", "UseClause", "Value", "WhereClause", "Word",
]
# fmt: on


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


@dataclass(frozen=True, slots=True)
class Header:
    name: Word
    version: Amount
    span: Span


@dataclass(frozen=True, slots=True)
class Mode:
    value: Word
    span: Span


@dataclass(frozen=True, slots=True)
class Audit:
    value: Word
    span: Span


@dataclass(frozen=True, slots=True)
class Task:
    """A task and, perhaps, what its output is."""

    name: Word
    text: Word | None
    span: Span


@dataclass(frozen=True, slots=True)
class Tasks:
    tasks: tuple[Task, ...]
    span: Span


@dataclass(frozen=True, slots=True)
class Attribute:
    name: Word
    values: tuple[Word, ...]
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


@dataclass(frozen=True, slots=True)
class BudgetRule:
    """`name` is None for the tenant's own budget. `warn` holds the share, `degrade` the tier from there on."""

    scope: Word
    name: Word | None
    limit: Amount
    warn: Amount | None
    degrade: Word | None
    at_limit: Word | None
    unreachable: Word | None
    span: Span


@dataclass(frozen=True, slots=True)
class Canary:
    """`until` is the day as written; `metric` and `drop` stand together or not at all."""

    policy: Word
    share: Amount
    unit: Word | None
    until: Word
    metric: Word | None
    drop: Amount | None
    span: Span


@dataclass(frozen=True, slots=True)
class BoundCanary:
    share: Amount
    span: Span


@dataclass(frozen=True, slots=True)
class BoundParameters:
    names: tuple[Word, ...]
    span: Span


@dataclass(frozen=True, slots=True)
class BoundCost:
    money: Amount
    span: Span


Bound = ForbidRule | RequireRule | FloorClause | ExploreClause | BoundCanary | BoundParameters | BoundCost


@dataclass(frozen=True, slots=True)
class GuardRule:
    bounds: tuple[Bound, ...]
    span: Span


@dataclass(frozen=True, slots=True)
class AssertRule:
    reason: Word
    quantifier: Word
    claim: Condition
    when: Condition | None
    unless: Condition | None
    span: Span


@dataclass(frozen=True, slots=True)
class Measure:
    """`400 ok` or `ttft_p95 320ms`; a count stands in front of its name, a figure behind it."""

    name: Word
    amount: Amount
    counted: bool
    span: Span


@dataclass(frozen=True, slots=True)
class Evidence:
    model: Word
    task: Word
    measures: tuple[Measure, ...]
    span: Span


@dataclass(frozen=True, slots=True)
class Statistics:
    name: Word
    evidence: tuple[Evidence, ...]
    span: Span


@dataclass(frozen=True, slots=True)
class Fact:
    """`field = value`; a flag has no value, and `field` is quoted where it names statistics."""

    field: Word
    value: Value | None
    span: Span


@dataclass(frozen=True, slots=True)
class Claim:
    """`subject == value`, `subject != value` or `subject in [values]` about what was decided."""

    subject: Word
    relation: str
    values: tuple[Value, ...]
    span: Span


@dataclass(frozen=True, slots=True)
class TestRule:
    name: Word
    given: tuple[Fact, ...]
    expect: tuple[Claim, ...]
    span: Span


Rule = ForbidRule | RequireRule
Statement = (
    Header
    | Mode
    | Audit
    | Tasks
    | Attribute
    | TierRule
    | ForbidRule
    | RequireRule
    | RouteRule
    | Fallback
    | Baseline
    | BudgetRule
    | Canary
    | GuardRule
    | AssertRule
    | Statistics
    | TestRule
)
