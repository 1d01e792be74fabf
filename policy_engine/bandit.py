"""Who is explored, and with what probability: closed-form propensities in integer ppm that sum to 1,000,000.

Order of the caps: the policy's exploration cap first; inside it the support share (uniform over allowed arms, so that
back-tests stay unbiased), then a trickle to newcomers until each has been tried; the rest goes to arms by what trying
them is expected to gain (to the power 3/2), all of it only where that is much. What an arm cannot gain is not spent on:
an arm that is known and whose expected gain is negligible keeps only its support.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import isqrt, sqrt

from policy_engine.beta import softplus
from policy_engine.floors import MIN_EVIDENCE_MILLI, expected_shortfall
from policy_engine.selection import Option, utility_ppm
from policy_lang.ir import PPM, Explore, Route

__all__ = ["SUPPORT_PPM", "propensities"]

SUPPORT_PPM = 10_000
#: Expected gain, ppm of a success, below which an arm is not tried, from which trying takes all of the rate (less in
#: proportion below it, so that a bad start is left in the end), and above which its cell counts as unproven.
NEGLIGIBLE_PPM = 500
WORTH_ALL_PPM = 5_000
UNPROVEN_PPM = 20_000
#: An unproven arm is tried for a floor while its chance of clearing is so many times what a call is expected to fall
#: short. That follows the floor and the evidence: of 60 outcomes it asks a chance of 0.23 at 90 %, of 0.28 at 80 %, and
#: of 15 outcomes 0.42.
CHANCE_PER_SHORTFALL = 5
#: What every allowed arm is given until it has so many outcomes with the tenant, however dear: a belief about an arm
#: that was never tried is the catalog's, not the tenant's.
NEWCOMER_OUTCOMES = 10
NEWCOMER_PPM = 8_000
#: And all of them together, however many there are.
NEWCOMERS_PPM = 72_000
#: Chance given to an arm that nothing is known of yet.
UNTRIED_PPM = 300_000
#: Scale of the logistic distribution nearest to a normal of unit deviation (Camilli 1994).
_LOGISTIC = 1 / 1.702


def propensities(options: Sequence[Option], order: Sequence[Option], pick: Option, route: Route) -> dict[str, int]:
    """P(arm serves) by arm over `options`, the pick among them. Without `explore` the pick has all of it.

    `order` is the options as they would rank were every one of them proven.
    """
    explore = route.explore
    others = [option for option in options if option is not pick]
    if explore is None or not others:
        return {option.arm: PPM if option is pick else 0 for option in options}
    gains = _gains(others, order, pick, route)
    cap = _cap(explore, pick, route, gains)
    support = min(cap, SUPPORT_PPM)
    shares = {option.arm: support // len(options) for option in others}
    room = cap - support
    newcomers = [o for o in others if o.outcomes < NEWCOMER_OUTCOMES and o.state != "failed"]
    trickle = min(NEWCOMER_PPM, min(NEWCOMERS_PPM, room // 2) // max(1, len(newcomers)))
    for option in newcomers:
        shares[option.arm] += trickle
    room -= trickle * len(newcomers)
    room = _worth_spending(room, max(gains.values(), default=0), pick)
    # Between proportional (a bad start is never revisited) and greedy (most is spent on what is soon settled).
    weights = {option: gain * isqrt(gain) for option, gain in gains.items()}
    total = sum(weights.values())
    for option, weight in weights.items():
        shares[option.arm] += room * weight // total
    return {**shares, pick.arm: PPM - sum(shares.values())}


def _worth_spending(room: int, most: int, pick: Option) -> int:
    """How much of the room the most promising arm is worth: all of it while no arm has cleared the floors; a cleared
    floor is left as far as a cheaper arm is likely to clear it too; without floors, in proportion to a small gain.
    """
    if pick.state == "cleared":
        return room * most // PPM
    return room * min(WORTH_ALL_PPM, most) // WORTH_ALL_PPM if pick.state == "none" else room


def _cap(explore: Explore, pick: Option, route: Route, gains: dict[Option, int]) -> int:
    """The higher rate while no arm has cleared the floors or, without floors, much may still be gained."""
    open_question = not route.floors and max(gains.values(), default=0) > UNPROVEN_PPM
    if explore.unproven_ppm is not None and (open_question or pick.state in ("unproven", "failed")):
        return explore.unproven_ppm
    return explore.rate_ppm


def _gains(others: Sequence[Option], order: Sequence[Option], pick: Option, route: Route) -> dict[Option, int]:
    """What serving an arm in the pick's place would gain if more were known of it: the chance that it clears the
    floors, or the expected improvement of value, or whether its speed is unknown; nothing where nothing is learned.
    """
    first = route.pick[0]
    if route.floors:
        ahead = order[: order.index(pick)] if pick.state == "cleared" else others
        unproven = [option for option in ahead if option.state == "unproven" and option is not pick]
        return {option: chance for option in unproven if (chance := _chance(option, route))}
    if first.rule in ("best_value", "best_quality"):
        return _value_gains(others, pick, first.value_nanodollars)
    if first.rule == "fastest":
        return {option: UNPROVEN_PPM for option in others if option.estimate.latency_p95_ms is None}
    return {}


def _chance(option: Option, route: Route) -> int:
    """That an arm clears the floors; 0 where it is too small for what a trial is expected to fall short.

    Before there is evidence the prior's word is not taken: a strict floor would rule out every newcomer unseen.
    """
    chance = option.confidence_ppm
    if option.estimate.strength_milli < MIN_EVIDENCE_MILLI:
        return max(chance, UNTRIED_PPM)
    return chance if chance >= CHANCE_PER_SHORTFALL * expected_shortfall(route.floors, option.estimate) else 0


def _value_gains(others: Sequence[Option], pick: Option, value_nanodollars: int | None) -> dict[Option, int]:
    """E[max(0, U(arm) - U(pick))] (expected improvement, Mockus 1975), U's difference taken as logistic.

    With the mean of the two variances instead of their sum: the pick's doubt goes away by serving it, so the whole of
    it pays for too many trials (measured, docs/decisions/0005).
    """
    found = {}
    best, best_variance = utility_ppm(pick, value_nanodollars), _variance(pick)
    for option in others:
        gap = (utility_ppm(option, value_nanodollars) - best) / PPM
        scale = _LOGISTIC * sqrt((_variance(option) + best_variance) / 2)
        gain = int(PPM * scale * softplus(gap / scale))
        if gain > NEGLIGIBLE_PPM:
            found[option] = gain
    return found


def _variance(option: Option) -> float:
    """Variance of the posterior mean of quality, that of a Beta with the option's mean and strength."""
    strength = option.estimate.quality_strength_milli / 1000
    mean = min(0.99, max(0.01, option.estimate.quality_ppm / PPM))
    return mean * (1 - mean) / (strength + 1)
