"""Whether routing is worth it, from logs: the task mix, and what each tier would have cost against the frontier."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

from policy_lang.analysis.cost import static_pick
from policy_lang.catalog import Catalog, Model
from policy_lang.envelope import Envelope, build_envelope
from policy_lang.frozen import frozen
from policy_lang.gates import Facts, evaluate
from policy_lang.ir import Policy, Route
from policy_lang.vocabulary import CONTEXT_BUCKETS, OTHER_TASK, TOKEN_BUCKETS

__all__ = [
    "DOMINANT_TASK_PPM",
    "LEAST_CALLS",
    "LEAST_MONTHLY_SAVING",
    "LEAST_SAVING_PPM",
    "Advice",
    "LogRow",
    "Reason",
    "TaskShare",
    "TierCost",
    "advise",
]

#: Fewer rows say nothing about a mix.
LEAST_CALLS = 100
#: One task with this share of the calls is no mix: choose its model by hand.
DOMINANT_TASK_PPM = 950_000
#: Below this a month, watching a router costs more than it saves (nano-dollars).
LEAST_MONTHLY_SAVING = 100 * 10**9
#: Less of the baseline's cost than this is within the error of list prices and token estimates.
LEAST_SAVING_PPM = 100_000

#: too_few_calls: no advice yet. one_task: no task mix. one_capability: every call would go to one model.
#: little_spend: the saving is too small in money. little_saving: in proportion.
Reason = Literal["too_few_calls", "one_task", "one_capability", "little_spend", "little_saving"]


@frozen
class LogRow:
    """One past call. `cost_nanodollars`: what it did cost, if known; else the list price of `model`, if that is."""

    task: str
    tokens_in: int
    tokens_out: int
    model: str | None = None
    cost_nanodollars: int | None = None


@frozen
class TaskShare:
    """One task of the mix. `known`: whether the policy declares it; others are treated as `other`."""

    task: str
    calls: int
    tokens_in: int
    tokens_out: int
    known: bool


@frozen
class TierCost:
    """All calls priced on one tier: on its cheapest and on its dearest model."""

    tier: str
    cheapest: str
    cheapest_nanodollars: int
    dearest: str
    dearest_nanodollars: int


@frozen
class Advice:
    """What the logs say. Money in nano-dollars for the whole log.

    baseline: all calls on the policy's baseline, else on its dearest model. routed: as the policy picks while nothing
    is learned. spent: what the calls did cost, None unless known for each. worth_it: no reason speaks against routing.
    """

    calls: int
    mix: tuple[TaskShare, ...]
    tiers: tuple[TierCost, ...]
    baseline: str
    baseline_nanodollars: int
    routed_nanodollars: int
    spent_nanodollars: int | None
    saving_ppm: int
    reasons: tuple[Reason, ...]

    @property
    def worth_it(self) -> bool:
        return not self.reasons


def advise(rows: Iterable[LogRow], policy: Policy, catalog: Catalog, *, days: int | None = None) -> Advice:
    """Price past calls under a policy. `days`: the length of the log, for the saving a month; 30 if not known.

    Envelopes are built from task and tokens alone (prose, no tools, no org). ValueError for a log without rows.
    """
    calls = list(rows)
    if not calls:
        raise ValueError("the log holds no calls: each row needs a task and its tokens in and out")
    models = [catalog.models[arm] for tier in policy.tiers for arm in tier.arms if arm in catalog.models]
    baseline = catalog.models.get(policy.baseline or "") or max(models, key=lambda m: (_total(m, calls), m.arm))
    picks = [_routed(row, policy, catalog) for row in calls]
    frontier, routed = _total(baseline, calls), sum(_cost(m, row) for m, row in zip(picks, calls, strict=True))
    known = [_spent(row, catalog) for row in calls]
    saving = (frontier - routed) * 1_000_000 // frontier if frontier else 0
    mix = _mix(calls, policy)
    return Advice(
        calls=len(calls),
        mix=mix,
        tiers=tuple(_tier(tier.name, [m for m in models if m.arm in tier.arms], calls) for tier in policy.tiers),
        baseline=baseline.arm,
        baseline_nanodollars=frontier,
        routed_nanodollars=routed,
        spent_nanodollars=None if None in known else sum(cost for cost in known if cost is not None),
        saving_ppm=saving,
        reasons=_reasons(mix, len(calls), {m.arm for m in picks}, (frontier - routed) * 30 // (days or 30), saving),
    )


def _reasons(
    mix: Sequence[TaskShare], calls: int, picks: set[str], monthly_saving: int, saving_ppm: int
) -> tuple[Reason, ...]:
    against: list[tuple[Reason, bool]] = [
        ("too_few_calls", calls < LEAST_CALLS),
        ("one_task", mix[0].calls * 1_000_000 >= DOMINANT_TASK_PPM * calls),
        ("one_capability", len(picks) == 1),
        ("little_spend", monthly_saving < LEAST_MONTHLY_SAVING),
        ("little_saving", saving_ppm < LEAST_SAVING_PPM),
    ]
    return tuple(reason for reason, holds in against if holds)


def _mix(calls: Sequence[LogRow], policy: Policy) -> tuple[TaskShare, ...]:
    found: dict[str, list[LogRow]] = {}
    for row in calls:
        found.setdefault(row.task, []).append(row)
    shares = [
        TaskShare(task, len(of), sum(r.tokens_in for r in of), sum(r.tokens_out for r in of), task in policy.tasks)
        for task, of in found.items()
    ]
    return tuple(sorted(shares, key=lambda share: (-share.calls, share.task)))


def _tier(name: str, models: Sequence[Model], calls: Sequence[LogRow]) -> TierCost:
    priced = sorted((_total(model, calls), model.arm) for model in models) or [(0, "")]
    return TierCost(name, priced[0][1], priced[0][0], priced[-1][1], priced[-1][0])


def _routed(row: LogRow, policy: Policy, catalog: Catalog) -> Model:
    """Whom the policy picks for a call by prices alone; its first fallback where no arm of the route survives."""
    envelope = _envelope(row, policy)
    facts: Facts = envelope.facts()
    route = next((r for r in policy.routes if evaluate(r.when, facts) is True), policy.default)
    tiers = {tier.name: tier.arms for tier in policy.tiers}
    used = route.cascade.tiers[:1] if route.cascade else route.use
    arms = dict.fromkeys(arm for name in used for arm in tiers[name])
    pool = [catalog.models[arm] for arm in arms if _survives(arm, policy, route, catalog, facts)]
    picked = static_pick(pool, route.pick, envelope)
    return picked[0] if picked else catalog.models[policy.fallback[0]]


def _survives(arm: str, policy: Policy, route: Route, catalog: Catalog, facts: Facts) -> bool:
    if arm not in catalog.models:
        return False
    whole = {**facts, **catalog.models[arm].facts()}
    admitted = all(evaluate(gate.violation, whole) is False for gate in policy.gates)
    return admitted and (route.where is None or evaluate(route.where, whole) is True)


def _envelope(row: LogRow, policy: Policy) -> Envelope:
    """A call beyond the top bucket counts as one of the top bucket."""
    context = min(row.tokens_in, CONTEXT_BUCKETS[-1].upper)
    tokens = min(row.tokens_in + row.tokens_out, TOKEN_BUCKETS[-1].upper)
    task = row.task if row.task in policy.tasks else OTHER_TASK
    return build_envelope(task_type=task, context_tokens=context, estimated_tokens=tokens)


def _spent(row: LogRow, catalog: Catalog) -> int | None:
    if row.cost_nanodollars is not None:
        return row.cost_nanodollars
    arm = catalog.resolve(row.model) if row.model else None
    return _cost(catalog.models[arm], row) if arm else None


def _total(model: Model, calls: Sequence[LogRow]) -> int:
    return sum(_cost(model, row) for row in calls)


def _cost(model: Model, row: LogRow) -> int:
    return (row.tokens_in * model.price_in + row.tokens_out * model.price_out + 500) // 1000
