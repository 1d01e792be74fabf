"""The learned half of a decision: a survey joined with a snapshot.

Depends on no draw, so it is worked out once per cell.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from policy_engine.bandit import propensities
from policy_engine.candidates import Candidate
from policy_engine.cascade import CascadePlan, lay_out
from policy_engine.costs import call_cost, expected_usage
from policy_engine.floors import floor_state
from policy_engine.pins import PinVerdict, weigh_pin
from policy_engine.selection import Option, ranked
from policy_engine.snapshot import Estimate, Snapshot
from policy_engine.table import Survey
from policy_lang.catalog import Model
from policy_lang.ir import PPM, Route

__all__ = ["MAX_STEPS", "Outlook", "join"]

#: A plan longer than this is never followed to its end; the list is cut, the policy's first fallback kept.
MAX_STEPS = 5


@dataclass(frozen=True, slots=True)
class Outlook:
    """Estimates, floors and odds of one cell.

    `options`: every arm that may serve here, by arm id. `pick`: who serves when nothing is explored. `odds`:
    propensity by arm, walked in arm-id order by the draw. `line_up`: the order in which a plan falls back.
    `cascade` and `pin` where the route asks for them.
    """

    options: dict[str, Option]
    pick: Option
    pick_role: str
    odds: tuple[tuple[str, int], ...]
    line_up: tuple[tuple[Option, str], ...]
    baseline: Model
    baseline_cost_nanodollars: int
    cascade: CascadePlan | None
    pin: PinVerdict | None


def join(
    survey: Survey, snapshot: Snapshot, *, breakers: frozenset[str], exploring: bool, pin: str | None
) -> Outlook | None:
    """Everything about a cell that does not hang on the draw; None when no candidate may serve.

    Precedence, top down: gates (the survey holds survivors only), pin, floors, rank, exploration.
    """
    route = survey.route
    reachable = (*survey.pool, *((survey.until,) if survey.until else ()), *survey.fallbacks)
    by_arm = {candidate.model.arm: candidate for candidate in reachable}
    options = {arm: _option(by_arm[arm], survey, snapshot) for arm in sorted(by_arm) if arm not in breakers}
    if survey.cost_cap is not None:
        options = {arm: option for arm, option in options.items() if option.cost_nanodollars <= survey.cost_cap}
    if not options:
        return None
    pool = _kept(survey.pool, options)
    until = _kept((survey.until,) if survey.until else (), options)
    fallbacks = _kept(survey.fallbacks, options)
    order = ranked(pool, route.pick)
    pick, role = _pick(order, until, fallbacks, route)
    cascade = lay_out(route.cascade, pool, route.pick) if route.cascade else None
    if cascade is not None:
        pick, role = (cascade.steps[0], "cascade") if cascade.pays else (cascade.steps[-1], "direct")
    stays = _stays(options.get(pin or ""), pick, survey)
    if stays is not None and stays.kept:
        pick, role = options[pin or ""], "pinned"
    odds = _odds(order, pick, route) if exploring and role != "pinned" else {pick.arm: PPM}
    baseline = survey.baseline or max(options.values(), key=lambda o: (o.cost_nanodollars, o.arm)).candidate.model
    believed = snapshot.estimate(survey.cluster, survey.envelope.task_type, baseline.arm)
    return Outlook(
        options=options,
        pick=pick,
        pick_role=role,
        odds=tuple(sorted((arm, odd) for arm, odd in odds.items() if odd)),
        line_up=_line_up(order, until, fallbacks, route),
        baseline=baseline,
        baseline_cost_nanodollars=_cost(baseline, believed, survey),
        cascade=cascade,
        pin=stays,
    )


def _option(candidate: Candidate, survey: Survey, snapshot: Snapshot) -> Option:
    model = candidate.model
    estimate = snapshot.estimate(survey.cluster, survey.envelope.task_type, model.arm)
    state, confidence = floor_state(survey.route.floors, estimate)
    cost = _cost(model, estimate, survey)
    return Option(candidate, estimate, cost, state, confidence, snapshot.outcomes.get(model.arm, 0))


def _cost(model: Model, estimate: Estimate, survey: Survey) -> int:
    batch = survey.route.batch is not None and not survey.envelope.time_sensitive
    return call_cost(model, expected_usage(survey.envelope, estimate), batch=batch)


def _stays(pinned: Option | None, best: Option, survey: Survey) -> PinVerdict | None:
    if pinned is None:
        return None
    return weigh_pin(pinned, best, survey.route, expected_usage(survey.envelope, pinned.estimate))


def _odds(order: Sequence[Option], pick: Option, route: Route) -> dict[str, int]:
    if not order:
        return {pick.arm: PPM}
    if pick not in order:
        order = ranked([*order, pick], route.pick)
    return propensities(order, order, pick, route)


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
    order: Sequence[Option], until: Sequence[Option], fallbacks: Sequence[Option], route: Route
) -> tuple[tuple[Option, str], ...]:
    """Cleared arms in rank order, the until-proven arm, the policy's fallbacks; `stay in floor` ends at the cleared."""
    cleared = [option for option in order if option.state in ("cleared", "none")][: MAX_STEPS - 1]
    steps = {option.arm: (option, "cleared") for option in cleared}
    if route.stay_in_floor:
        return tuple(steps.values())
    for option in until:
        steps.setdefault(option.arm, (option, "until_proven"))
    # One place is kept for the policy's own fallback, and one for the step that is served first.
    kept = dict(list(steps.items())[: MAX_STEPS - 2])
    for option in fallbacks:
        if len(kept) < MAX_STEPS - 1:
            kept.setdefault(option.arm, (option, "fallback"))
    return tuple(kept.values())
