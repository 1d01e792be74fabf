"""The policy and its parts: gates, tiers, routes with their clauses, budgets, canaries, the guard, assertions."""

from __future__ import annotations

from typing import Annotated, Literal

from policy_lang.canonical import MAX_SAFE_INTEGER
from policy_lang.frozen import frozen
from policy_lang.ir.expressions import Expr
from policy_lang.ir.fields import (
    IR_VERSION,
    MAX_BUDGETS,
    MAX_RULES,
    Amount,
    Arm,
    Closed,
    Day,
    Duration,
    Limits,
    Name,
    OutcomeName,
    PolicyName,
    Ppm,
    Reason,
    Sentence,
    Truth,
    Whole,
    Word,
)

__all__ = [
    "Assertion",
    "Attribute",
    "Budget",
    "Canary",
    "Cascade",
    "Check",
    "Explore",
    "Floor",
    "Gate",
    "Guard",
    "OnOutcome",
    "Parameter",
    "PickTerm",
    "Policy",
    "Route",
    "TaskText",
    "Tier",
]


@frozen
class Gate(Closed):
    """A candidate fails where `violation` holds or cannot be evaluated (Kleene logic: unknown fails).

    forbid F when A unless B -> violation = F's condition and not B; require C when A unless B -> A and not B and not C.
    `reason` is the author's quoted text and the gate's identity; reasons are unique within a policy.
    """

    reason: Reason
    kind: Literal["forbid", "require"]
    violation: Expr


@frozen
class Tier(Closed):
    name: Name
    arms: Annotated[tuple[Arm, ...], Limits(1, 64)]


@frozen
class Floor(Closed):
    """`metric >= at_least_ppm`. With `proven_ppm` P(metric >= at_least) must reach it; without, steers by shortfall."""

    metric: Literal["success", "quality"]
    at_least_ppm: Ppm
    proven_ppm: Ppm | None = None


@frozen
class PickTerm(Closed):
    """One key of a lexicographic order. `within_ppm` keeps ties for the next term (0 on the last).

    cheapest: expected cost. fastest: p95 of `metric`. best_quality: learned quality. best_value: quality - cost / V,
    V = `value_nanodollars` per success. prefer: position in `arms`.
    """

    rule: Literal["cheapest", "fastest", "best_quality", "best_value", "prefer"]
    within_ppm: Ppm = 0
    metric: Literal["ttft_p95", "latency_p95"] | None = None
    value_nanodollars: Amount | None = None
    arms: Annotated[tuple[Arm, ...], Limits(0, 64)] = ()


@frozen
class Explore(Closed):
    """Share of decisions spent on learning: `rate_ppm`, `unproven_ppm` while no arm is proven, money per day (UTC)."""

    rate_ppm: Ppm
    unproven_ppm: Ppm | None = None
    daily_nanodollars: Amount | None = None


@frozen
class Attribute(Closed):
    """A fact the caller declares with a request, `attribute.NAME` in conditions; a closed enum, values sorted."""

    name: Name
    values: Annotated[tuple[Name, ...], Limits(1, 64)]


@frozen
class TaskText(Closed):
    """What a task's output is, in words, for the classifier in the caller's process."""

    task: Name
    text: Sentence


@frozen
class Check(Closed):
    """One confidence gate of a cascade, run by the caller on the answer; the answer escalates where it fails.

    self_rating, judge, consistency fail below `below_ppm`. json_valid needs no argument. schema names a JSON Schema the
    caller holds, pattern one of a closed kind (email, integer, iso-date, number, url, uuid), hash a SHA-256 in hex of
    the expected answer.
    """

    rule: Literal["self_rating", "judge", "consistency", "json_valid", "schema", "pattern", "hash"]
    below_ppm: Ppm | None = None
    argument: Word | None = None


@frozen
class Cascade(Closed):
    """Call the first tier's arm, and the next tier's where any check fails."""

    tiers: Annotated[tuple[Name, ...], Limits(2, 8)]
    escalate: Annotated[tuple[Check, ...], Limits(1, 8)]


@frozen
class Parameter(Closed):
    """A change to a parameter of the chosen call. Numbers in thousandths (0.7 -> 700); reasoning_effort is a word.

    set: this value. at_least / at_most: clamp what the caller has. seed: a number derived from the decision id.
    `max_tokens at_least` is the completion-token floor of a reasoning path.
    """

    name: Literal[
        "temperature", "top_p", "max_tokens", "seed", "reasoning_effort", "presence_penalty", "frequency_penalty"
    ]
    rule: Literal["set", "at_least", "at_most", "seed"]
    milli: Annotated[int, Whole(-MAX_SAFE_INTEGER, MAX_SAFE_INTEGER)] | None = None
    word: Literal["minimal", "low", "medium", "high"] | None = None


@frozen
class OnOutcome(Closed):
    """What the caller does when a hop ends in `outcome`: `retries` with exponential backoff from `backoff_ms`, then
    `then`.

    next: the plan's next step. abort: give up. disable: leave the provider out for `disable_ms`, then next.
    open_breaker: the fault counts towards opening the arm's breaker at once.
    """

    outcome: OutcomeName
    then: Literal["next", "abort", "disable"] = "next"
    retries: Annotated[int, Whole(0, 5)] = 0
    backoff_ms: Duration = 0
    disable_ms: Duration = 0
    open_breaker: Annotated[bool, Truth()] = False


@frozen
class Route(Closed):
    """First route whose `when` holds serves. `use` names tiers in order; `where` filters their arms.

    stay_in_floor: the plan falls back to cleared arms only. pin_ms: how long a session keeps its arm. batch: prices
    of a batch or flex service may be counted, nobody waits. stream: what is recommended instead of the shape's own.
    """

    name: Name
    when: Expr
    use: Annotated[tuple[Name, ...], Limits(1, 64)]
    pick: Annotated[tuple[PickTerm, ...], Limits(1, 8)]
    where: Expr | None = None
    floors: Annotated[tuple[Floor, ...], Limits(0, 2)] = ()
    until_proven: Arm | None = None
    explore: Explore | None = None
    cascade: Cascade | None = None
    parameters: Annotated[tuple[Parameter, ...], Limits(0, 16)] = ()
    failures: Annotated[tuple[OnOutcome, ...], Limits(0, 16)] = ()
    stay_in_floor: Literal["yes"] | None = None
    timeout_ms: Duration | None = None
    stream: Literal["on", "off"] | None = None
    batch: Literal["allowed"] | None = None
    pin_ms: Duration | None = None


@frozen
class Canary(Closed):
    """Serve `share_ppm` of the units by another published policy, until a day (days since 1970) or a drop of
    `metric`.
    """

    policy: PolicyName
    share_ppm: Ppm
    unit: Literal["call", "session", "org"]
    until_day: Day
    metric: Literal["success", "quality"] | None = None
    drop_ppm: Ppm | None = None


@frozen
class Budget(Closed):
    """Money (nano-dollars) or tokens a scope may use in a period (UTC). `name` is None for the tenant.

    At `warn_ppm` of the limit the decision says so and, with `degrade`, the route uses that tier alone; at the limit
    `at_limit` acts. `unreachable` says what holds while the ledger cannot be read.
    """

    scope: Literal["tenant", "org", "team", "product"]
    limit: Amount
    unit: Literal["nanodollars", "tokens"]
    period: Literal["day", "month"]
    name: Word | None = None
    warn_ppm: Ppm | None = None
    degrade: Name | None = None
    at_limit: Literal["deny", "warn"] = "deny"
    unreachable: Literal["open", "closed"] = "open"


@frozen
class Guard(Closed):
    """Bounds on whatever arrives inline: its gates come on top, and nothing in it may go beyond these.

    floors: the least a route must ask. explore_ppm / canary_ppm: the most it may ask. parameters: names it may change.
    `cost_nanodollars`: the most one call may be expected to cost.
    """

    gates: Annotated[tuple[Gate, ...], Limits(0, MAX_RULES)] = ()
    floors: Annotated[tuple[Floor, ...], Limits(0, 2)] = ()
    explore_ppm: Ppm | None = None
    canary_ppm: Ppm | None = None
    parameters: Annotated[tuple[Name, ...], Limits(0, 16)] | None = None
    cost_nanodollars: Amount | None = None


@frozen
class Assertion(Closed):
    """A claim about MAY(shape). always: every model that could be served where `given` holds satisfies `claim`.

    never: none does. some: at every shape where `given` holds, a static survivor satisfies it.
    """

    reason: Reason
    quantifier: Literal["always", "never", "some"]
    given: Expr
    claim: Expr


@frozen
class Policy(Closed):
    """A whole policy. `default.when` is always `And(())`; `fallback` is ordered and never empty.

    mode shadow: decide and log, the old path serves. audit on: no exploration and no canary, same inputs same model.
    """

    name: PolicyName
    tasks: Annotated[tuple[Name, ...], Limits(1, 200)]
    tiers: Annotated[tuple[Tier, ...], Limits(1, 64)]
    gates: Annotated[tuple[Gate, ...], Limits(0, MAX_RULES)]
    routes: Annotated[tuple[Route, ...], Limits(0, MAX_RULES)]
    default: Route
    fallback: Annotated[tuple[Arm, ...], Limits(1, 64)]
    baseline: Arm | None = None
    attributes: Annotated[tuple[Attribute, ...], Limits(0, 16)] = ()
    task_texts: Annotated[tuple[TaskText, ...], Limits(0, 200)] = ()
    budgets: Annotated[tuple[Budget, ...], Limits(0, MAX_BUDGETS)] = ()
    canaries: Annotated[tuple[Canary, ...], Limits(0, 8)] = ()
    guard: Guard | None = None
    assertions: Annotated[tuple[Assertion, ...], Limits(0, 64)] = ()
    mode: Literal["live", "shadow"] = "live"
    audit: Literal["off", "on"] = "off"
    ir_version: Annotated[int, Whole(IR_VERSION, IR_VERSION)] = IR_VERSION
