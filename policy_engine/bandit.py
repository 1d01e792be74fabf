"""Who is explored, and with what probability: closed-form propensities in integer ppm that sum to 1,000,000.

Order of the caps: the policy's exploration cap first; inside it the support share (uniform over allowed arms, so that
back-tests stay unbiased); the rest goes to arms in proportion to what trying them is expected to gain. What an arm
cannot gain is not spent on: an arm whose expected gain is negligible keeps only its support.
"""

from __future__ import annotations

from collections.abc import Sequence

from policy_engine.beta import softplus
from policy_engine.selection import Option, utility_ppm
from policy_lang.ir import PPM, Explore, Route

__all__ = ["SUPPORT_PPM", "propensities"]

SUPPORT_PPM = 10_000
#: Expected gain, ppm of a success, below which an arm is not tried, and above which its cell counts as unproven.
NEGLIGIBLE_PPM = 3_000
UNPROVEN_PPM = 20_000
LIKELY_PPM = 100_000
#: Scale of the logistic distribution nearest to a normal of unit deviation (Camilli 1994).
_LOGISTIC = 1 / 1.702


def propensities(options: Sequence[Option], order: Sequence[Option], pick: Option, route: Route) -> dict[str, int]:
    """P(arm serves) by arm over `options`, the pick among them. Without `explore` the pick has all of it.

    `order` is the options as they would rank were every one of them proven.
    """
    explore = route.explore
    if explore is None or explore.rate_ppm == 0 or len(options) == 1:
        return {option.arm: PPM if option is pick else 0 for option in options}
    others = [option for option in options if option is not pick]
    gains = _gains(others, order, pick, route)
    unproven = pick.state == "unproven" or (not route.floors and max(gains.values(), default=0) > UNPROVEN_PPM)
    cap = _cap(explore, unproven)
    support = min(cap, SUPPORT_PPM)
    shares = {option.arm: support // len(options) for option in others}
    left = cap - support if not route.floors or pick.state != "cleared" else (cap - support) * max(gains.values(), default=0) // PPM
    total = sum(gains.values())
    for option, gain in gains.items():
        shares[option.arm] += left * gain // total
    return {**shares, pick.arm: PPM - sum(shares.values())}


def _cap(explore: Explore, unproven: bool) -> int:
    return explore.rate_ppm if explore.unproven_ppm is None or not unproven else explore.unproven_ppm


def _gains(others: Sequence[Option], order: Sequence[Option], pick: Option, route: Route) -> dict[Option, int]:
    """What serving an arm in the pick's place would gain if more were known of it, ppm of a success."""
    first = route.pick[0]
    if first.rule in ("best_value", "best_quality") and not route.floors:
        return _value_gains(others, pick, first.value_nanodollars)
    ahead = others if pick.state != "cleared" else order[: order.index(pick)]
    return {o: o.confidence_ppm for o in others if o in ahead and o.state == "unproven" and o.confidence_ppm > LIKELY_PPM}


def _value_gains(others: Sequence[Option], pick: Option, value_nanodollars: int | None) -> dict[Option, int]:
    """E[max(0, U(arm) - U(pick))] (expected improvement, Mockus 1975), U's difference taken as logistic."""
    found = {}
    best, best_variance = utility_ppm(pick, value_nanodollars), _variance(pick)
    for option in others:
        gap = (utility_ppm(option, value_nanodollars) - best) / PPM
        scale = _LOGISTIC * (_variance(option) + best_variance) ** 0.5
        gain = int(PPM * scale * softplus(gap / scale))
        if gain > NEGLIGIBLE_PPM:
            found[option] = gain
    return found


def _variance(option: Option) -> float:
    """Variance of the posterior mean of quality, that of a Beta with the option's mean and strength."""
    strength = option.estimate.strength_milli / 1000
    mean = min(0.99, max(0.01, option.estimate.quality_ppm / PPM))
    return mean * (1 - mean) / (strength + 1)
