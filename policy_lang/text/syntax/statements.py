"""The statements of a policy, as written."""

from __future__ import annotations

from policy_lang.diagnostics import Span
from policy_lang.frozen import frozen
from policy_lang.text.syntax.clauses import Clause, ExploreClause, FloorClause
from policy_lang.text.syntax.conditions import Amount, Condition, Value, Word

__all__ = [
    "AssertRule",
    "Attribute",
    "Audit",
    "Baseline",
    "Bound",
    "BoundCanary",
    "BoundCost",
    "BoundParameters",
    "BudgetRule",
    "Canary",
    "Claim",
    "Evidence",
    "Fact",
    "Fallback",
    "ForbidRule",
    "GuardRule",
    "Header",
    "Measure",
    "Mode",
    "RequireRule",
    "RouteRule",
    "Rule",
    "Statement",
    "Statistics",
    "Task",
    "Tasks",
    "TestRule",
    "TierRule",
]


@frozen
class Header:
    name: Word
    version: Amount
    span: Span


@frozen
class Mode:
    value: Word
    span: Span


@frozen
class Audit:
    value: Word
    span: Span


@frozen
class Task:
    """A task and, perhaps, what its output is."""

    name: Word
    text: Word | None
    span: Span


@frozen
class Tasks:
    tasks: tuple[Task, ...]
    span: Span


@frozen
class Attribute:
    name: Word
    values: tuple[Word, ...]
    span: Span


@frozen
class TierRule:
    name: Word
    models: tuple[Word, ...]
    span: Span


@frozen
class ForbidRule:
    reason: Word
    when: Condition
    unless: Condition | None
    span: Span


@frozen
class RequireRule:
    reason: Word
    condition: Condition
    when: Condition | None
    unless: Condition | None
    span: Span


@frozen
class RouteRule:
    """A route; `when` is None exactly for the default route."""

    name: Word
    when: Condition | None
    clauses: tuple[Clause, ...]
    span: Span


@frozen
class Fallback:
    models: tuple[Word, ...]
    span: Span


@frozen
class Baseline:
    model: Word
    span: Span


@frozen
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


@frozen
class Canary:
    """`until` is the day as written; `metric` and `drop` stand together or not at all."""

    policy: Word
    share: Amount
    unit: Word | None
    until: Word
    metric: Word | None
    drop: Amount | None
    span: Span


@frozen
class BoundCanary:
    share: Amount
    span: Span


@frozen
class BoundParameters:
    names: tuple[Word, ...]
    span: Span


@frozen
class BoundCost:
    money: Amount
    span: Span


Bound = ForbidRule | RequireRule | FloorClause | ExploreClause | BoundCanary | BoundParameters | BoundCost


@frozen
class GuardRule:
    bounds: tuple[Bound, ...]
    span: Span


@frozen
class AssertRule:
    reason: Word
    quantifier: Word
    claim: Condition
    when: Condition | None
    unless: Condition | None
    span: Span


@frozen
class Measure:
    """`400 ok` or `ttft_p95 320ms`; a count stands in front of its name, a figure behind it."""

    name: Word
    amount: Amount
    counted: bool
    span: Span


@frozen
class Evidence:
    model: Word
    task: Word
    measures: tuple[Measure, ...]
    span: Span


@frozen
class Statistics:
    name: Word
    evidence: tuple[Evidence, ...]
    span: Span


@frozen
class Fact:
    """`field = value`; a flag has no value, and `field` is quoted where it names statistics."""

    field: Word
    value: Value | None
    span: Span


@frozen
class Claim:
    """`subject == value`, `subject != value` or `subject in [values]` about what was decided."""

    subject: Word
    relation: str
    values: tuple[Value, ...]
    span: Span


@frozen
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
