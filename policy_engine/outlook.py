"""The learned half of a decision: a survey joined with what a snapshot knows of its arms.

Depends on no draw, so it is worked out once per cell.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from policy_engine.bandit import propensities
from policy_engine.candidates import Candidate
from policy_engine.cascade import CascadePlan, lay_out
from policy_engine.costs import call_cost, expected_usage
from policy_engine.floors import floor_state
from policy_engine.pins import PinVerdict, weigh_pin
from policy_engine.selection import Option, by_cost, ranked, strongest
from policy_engine.snapshot import Known
from policy_engine.table import Survey
from policy_lang.ir import PPM, Route

__all__ = ["MAX_STEPS", "Outlook", "in_batch", "join"]

#: A plan longer than this is never followed to its end; the list is cut, the policy's first fallback kept.
MAX_STEPS = 5


class Outlook(NamedTuple):
    """Estimates, floors and odds of one cell; a tuple, because every cell makes one under every snapshot.

    `options`: every arm that may serve here, by arm id. `pick`: who serves when nothing is explored. `odds`:
    propensity by arm, walked in arm-id order by the draw. `line_up`: the order in which a plan falls back.
    `cascade` and `pin` where the route asks for them.
    """

    options: dict[str, Option]
    pick: Option
    pick_role: str
    odds: tuple[tuple[str, int], ...]
    line_up: tuple[tuple[Option, str], ...]
    baseline: Candidate
    baseline_cost_nanodollars: int
    cascade: CascadePlan | None
    pin: PinVerdict | None


def join(
    survey: Survey, known: Mapping[str, Known], *, breakers: frozenset[str], exploring: bool, pin: str | None
) -> Outlook | None:
    """Everything about a cell that does not hang on the draw; None when no candidate may serve.

    Precedence, top down: gates (the survey holds survivors only), pin, floors, rank, exploration. `pin`: the arm that a
    session is on; nothing is explored there, also where the session moves.
    """
    route = survey.route
    options = _options(survey, known, breakers)
    if not options:
        return None
    pool = _kept(survey.pool, options)
    until = options.get(survey.until.model.arm) if survey.until else None
    fallbacks = _kept(survey.fallbacks, options)
    order = ranked(pool, route.pick)
    pick, role = _pick(order, until, fallbacks, route)
    cascade = lay_out(route, route.cascade, pool) if route.cascade else None
    if cascade is not None and cascade.pays:
        pick, role = cascade.steps[0], "cascade"
    elif cascade is not None and cascade.steps[-1].stands:
        pick, role = cascade.steps[-1], "direct"
    stays = _stays(options.get(pin or ""), pick, survey, cascade, climbs=role == "cascade")
    if stays is not None and stays.kept:
        pick, role = options[pin or ""], "pinned"
    odds = _odds(order, pick, route) if exploring and pin is None else {pick.arm: PPM}
    baseline = survey.baseline or max(options.values(), key=by_cost).candidate
    usual = expected_usage(survey.envelope, known[baseline.model.arm].estimate)
    return Outlook(
        options=options,
        pick=pick,
        pick_role=role,
        odds=tuple(sorted([(arm, odd) for arm, odd in odds.items() if odd])),
        line_up=_line_up(order, until, fallbacks, route),
        baseline=baseline,
        baseline_cost_nanodollars=call_cost(baseline.model, usual, batch=in_batch(survey)),
        cascade=cascade,
        pin=stays,
    )


def _options(survey: Survey, known: Mapping[str, Known], breakers: frozenset[str]) -> dict[str, Option]:
    """Every arm within the gates whose breaker is closed and, under a guard, whose cost it allows; by arm id."""
    floors, cap, batch, shape = survey.route.floors, survey.cost_cap, in_batch(survey), survey.envelope
    found = {}
    for candidate in survey.reachable:
        model = candidate.model
        arm = model.arm
        if arm in breakers:
            continue
        estimate, outcomes, _ = known[arm]
        cost = call_cost(model, expected_usage(shape, estimate), batch=batch)
        if cap is None or cost <= cap:
            state, confidence = floor_state(floors, estimate)
            found[arm] = Option(arm, candidate, estimate, cost, state, confidence, outcomes)
    return found


def in_batch(survey: Survey) -> bool:
    """Whether the prices of a batch service count: where the policy allows it and nobody waits."""
    return survey.route.batch is not None and not survey.envelope.time_sensitive


def _stays(
    pinned: Option | None, best: Option, survey: Survey, cascade: CascadePlan | None, *, climbs: bool
) -> PinVerdict | None:
    """Whether the session keeps its arm. It climbs a cascade from there, as `best` does where it `climbs`."""
    if pinned is None:
        return None
    climbing = cascade.climb_cost(pinned) if cascade else 0
    climbing -= cascade.climb_cost(best) if cascade and climbs else 0
    return weigh_pin(pinned, best, survey.route, survey.envelope, batch=in_batch(survey), climbing=climbing)


def _odds(order: Sequence[Option], pick: Option, route: Route) -> dict[str, int]:
    if not order:
        return {pick.arm: PPM}
    if pick not in order:
        order = ranked([*order, pick], route.pick)
    return propensities(order, order, pick, route)


def _kept(candidates: Sequence[Candidate], options: dict[str, Option]) -> list[Option]:
    return [option for c in candidates if (option := options.get(c.model.arm)) is not None]


def _pick(
    order: Sequence[Option], until: Option | None, fallbacks: Sequence[Option], route: Route
) -> tuple[Option, str]:
    """The best cleared arm; else who serves until one is proven, the named arm or the strongest that has not failed.

    Where the named arm is gone, or every arm of the route has failed: the first fallback that has not, and if all have,
    the strongest of all.
    """
    if (cleared := next((option for option in order if option.stands), None)) is not None:
        return cleared, "pick"
    if until is not None:
        return until, "until_proven"
    hopeful = [option for option in order if option.state != "failed"]
    if hopeful and route.until_proven is None:
        return strongest(hopeful), "until_proven"
    for option in fallbacks:
        if option.state != "failed":
            return option, "fallback"
    last = strongest([*order, *fallbacks])
    return last, "until_proven" if last in order else "fallback"


def _line_up(
    order: Sequence[Option], until: Option | None, fallbacks: Sequence[Option], route: Route
) -> tuple[tuple[Option, str], ...]:
    """Cleared arms in rank order, the until-proven arm, the policy's fallbacks; `stay in floor` ends at the cleared."""
    steps = [(option, "cleared") for option in order if option.stands][: MAX_STEPS - 1]
    if route.stay_in_floor:
        return tuple(steps)
    if until is not None and (until, "cleared") not in steps:
        steps.append((until, "until_proven"))
    # One place is kept for the policy's own fallback, and one for the step that is served first.
    del steps[MAX_STEPS - 2 :]
    taken = [option for option, _ in steps]
    steps += [(option, "fallback") for option in fallbacks if option not in taken]
    return tuple(steps[: MAX_STEPS - 1])
