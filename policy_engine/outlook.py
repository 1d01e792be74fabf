"""The learned half of a decision: a survey joined with a snapshot.

Depends on no draw, so it is worked out once per cell.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from policy_engine.bandit import propensities
from policy_engine.floors import floor_state
from policy_engine.selection import Option, ranked
from policy_engine.snapshot import Snapshot
from policy_engine.table import Candidate, Survey
from policy_lang.catalog import Model
from policy_lang.envelope import Envelope
from policy_lang.ir import PPM, Route
from policy_lang.vocabulary import bucket_upper

__all__ = ["MAX_STEPS", "Outlook", "expected_cost", "join"]

#: A plan longer than this is never followed to its end; the list is cut, the policy's first fallback kept.
MAX_STEPS = 5
_TYPICAL_TOKENS = {"tiny": 250, "small": 1_250, "medium": 5_000, "large": 20_000, "huge": 64_000}


@dataclass(frozen=True, slots=True)
class Outlook:
    """Estimates, floors and odds of one cell.

    `options`: every arm that may serve here, by arm id. `pick`: who serves when nothing is explored. `odds`:
    propensity by arm, walked in arm-id order by the draw. `line_up`: the order in which a plan falls back.
    """

    options: dict[str, Option]
    pick: Option
    pick_role: str
    odds: tuple[tuple[str, int], ...]
    line_up: tuple[tuple[Option, str], ...]
    baseline: Model
    baseline_cost_nanodollars: int


def join(
    survey: Survey, snapshot: Snapshot, *, breakers: frozenset[str], exploring: bool, pin: str | None
) -> Outlook | None:
    """Everything about a cell that does not hang on the draw; None when no candidate may serve."""
    reachable = (*survey.pool, *((survey.until,) if survey.until else ()), *survey.fallbacks)
    options = {
        candidate.model.arm: _option(candidate, survey, snapshot)
        for candidate in sorted(reachable, key=lambda candidate: candidate.model.arm)
        if candidate.model.arm not in breakers
    }
    if not options:
        return None
    pool = _kept(survey.pool, options)
    until = _kept((survey.until,) if survey.until else (), options)
    fallbacks = _kept(survey.fallbacks, options)
    order = ranked(pool, survey.route.pick)
    pick, role = _pick(order, until, fallbacks, survey.route)
    pinned = options.get(pin) if pin else None
    if pinned is not None:
        pick, role = pinned, "pinned"
    if not exploring or pinned is not None or not pool:
        odds = {pick.arm: PPM}
    else:
        explorable = pool if pick in pool else [*pool, pick]
        odds = propensities(explorable, ranked(explorable, survey.route.pick), pick, survey.route)
    baseline = survey.baseline or max(options.values(), key=lambda o: (o.cost_nanodollars, o.arm)).candidate.model
    return Outlook(
        options=options,
        pick=pick,
        pick_role=role,
        odds=tuple(sorted((arm, odd) for arm, odd in odds.items() if odd)),
        line_up=_line_up(order, until, fallbacks),
        baseline=baseline,
        baseline_cost_nanodollars=expected_cost(baseline, survey, snapshot),
    )


def expected_cost(model: Model, survey: Survey, snapshot: Snapshot) -> int:
    """Nano-dollars of one call: the arm's mean tokens in this cell, or the bucket's typical ones, at list price."""
    estimate = snapshot.estimate(survey.cluster, survey.envelope.task_type, model.arm)
    tokens_in, tokens_out = estimate.tokens_in, estimate.tokens_out
    if tokens_in is None or tokens_out is None:
        tokens_in, tokens_out = _typical_tokens(survey.envelope)
    return (tokens_in * model.price_in + tokens_out * model.price_out + 500) // 1000


def _typical_tokens(envelope: Envelope) -> tuple[int, int]:
    total = _TYPICAL_TOKENS[envelope.estimated_tokens]
    prompt = min(total * 3 // 4, bucket_upper("context", envelope.context_length))
    return prompt, total - prompt


def _option(candidate: Candidate, survey: Survey, snapshot: Snapshot) -> Option:
    arm = candidate.model.arm
    estimate = snapshot.estimate(survey.cluster, survey.envelope.task_type, arm)
    state, confidence = floor_state(survey.route.floors, estimate)
    cost = expected_cost(candidate.model, survey, snapshot)
    return Option(candidate, estimate, cost, state, confidence, snapshot.outcomes.get(arm, 0))


def _kept(candidates: Sequence[Candidate], options: dict[str, Option]) -> list[Option]:
    return [options[c.model.arm] for c in candidates if c.model.arm in options]


def _pick(
    order: Sequence[Option], until: Sequence[Option], fallbacks: Sequence[Option], route: Route
) -> tuple[Option, str]:
    """The best cleared arm; else who serves until one is proven; else, with no arm of the route left, the first
    fallback.
    """
    for option in order:
        if option.state in ("cleared", "none"):
            return option, "pick"
    if until:
        return until[0], "until_proven"
    if order and route.until_proven is None:
        return max(order, key=_strength), "until_proven"
    if fallbacks:
        return fallbacks[0], "fallback"
    return max(order, key=_strength), "until_proven"


def _strength(option: Option) -> tuple[int, int, int, str]:
    """Likeliest to clear the floors: that chance, then the learned mean, the dearer list price, the arm id."""
    return option.confidence_ppm, option.estimate.quality_ppm, option.candidate.model.price_out, option.arm


def _line_up(
    order: Sequence[Option], until: Sequence[Option], fallbacks: Sequence[Option]
) -> tuple[tuple[Option, str], ...]:
    steps: dict[str, tuple[Option, str]] = {}
    for option in order:
        if option.state in ("cleared", "none"):
            steps.setdefault(option.arm, (option, "cleared"))
    for option in until:
        steps.setdefault(option.arm, (option, "until_proven"))
    # One place is kept for the policy's own fallback, and one for the step that is served first.
    kept = dict(list(steps.items())[: MAX_STEPS - 2])
    for option in fallbacks:
        kept.setdefault(option.arm, (option, "fallback"))
    return tuple(kept.values())
