"""The statements of a policy, as written."""

from __future__ import annotations

from dataclasses import dataclass

from policy_lang.diagnostics import Span
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
