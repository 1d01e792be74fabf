"""Who is explored, and with what probability: closed-form propensities in integer ppm that sum to 1,000,000.

Order of the caps: the policy's exploration cap first; inside it the support share (uniform over allowed arms, so that
back-tests stay unbiased), then newcomers, then arms that could still turn out better than the pick. What an arm cannot
gain is not spent on: an arm whose chance of beating the pick is negligible keeps only its support.
"""

from __future__ import annotations

from collections.abc import Sequence

from policy_engine.beta import logistic_ppm
from policy_engine.selection import Option, utility_ppm
from policy_lang.ir import PPM, Explore, Route

__all__ = ["NEWCOMER_OUTCOMES", "SUPPORT_PPM", "propensities"]

SUPPORT_PPM = 10_000
#: Outcomes of an arm, tenant-wide, before it stops being a newcomer.
NEWCOMER_OUTCOMES = 15
_NEGLIGIBLE_PPM = 20_000


def propensities(options: Sequence[Option], order: Sequence[Option], pick: Option, route: Route) -> dict[str, int]:
    """P(arm serves) by arm over `options`, the pick among them. Without `explore` the pick has all of it.

    `order` is the options as they would rank were every one of them proven.
    """
    explore = route.explore
    if explore is None or explore.rate_ppm == 0 or len(options) == 1:
        return {option.arm: PPM if option is pick else 0 for option in options}
    others = [option for option in options if option is not pick]
    newcomers = [o for o in others if o.state != "failed" and o.outcomes < NEWCOMER_OUTCOMES]
    chances = _chances(others, order, pick, route)
    cap = _cap(explore, bool(newcomers) or pick.state == "unproven" or any(o.state == "unproven" for o in chances))
    support = min(cap, SUPPORT_PPM)
    shares = {option.arm: support // len(options) for option in others}
    left = cap - support
    if newcomers:
        spent = left if not chances else left * 3 // 4
        for option in newcomers:
            shares[option.arm] += spent // len(newcomers)
        left -= spent
    for option, chance in _scaled(chances, left):
        shares[option.arm] += chance
    return {**shares, pick.arm: PPM - sum(shares.values())}


def _cap(explore: Explore, unproven: bool) -> int:
    return explore.rate_ppm if explore.unproven_ppm is None or not unproven else explore.unproven_ppm


def _chances(others: Sequence[Option], order: Sequence[Option], pick: Option, route: Route) -> dict[Option, int]:
    """Chance, in ppm, that an arm would serve in the pick's place if more were known of it."""
    first = route.pick[0]
    if first.rule in ("best_value", "best_quality") and not route.floors:
        return _value_chances(others, pick, first.value_nanodollars)
    ahead = order[: order.index(pick)]
    return {o: max(o.confidence_ppm, _NEGLIGIBLE_PPM) for o in others if o in ahead and o.state == "unproven"}


def _value_chances(others: Sequence[Option], pick: Option, value_nanodollars: int | None) -> dict[Option, int]:
    found = {}
    best, best_variance = utility_ppm(pick, value_nanodollars), _variance(pick)
    for option in others:
        gap = (utility_ppm(option, value_nanodollars) - best) / PPM
        chance = logistic_ppm(gap / (_variance(option) + best_variance) ** 0.5)
        if chance > _NEGLIGIBLE_PPM:
            found[option] = chance
    return found


def _variance(option: Option) -> float:
    """Variance of the posterior mean of quality, that of a Beta with the option's mean and strength."""
    strength = (option.estimate.alpha_milli + option.estimate.beta_milli) / 1000
    mean = min(0.99, max(0.01, option.estimate.quality_ppm / PPM))
    return mean * (1 - mean) / (strength + 1)


def _scaled(chances: dict[Option, int], limit: int) -> list[tuple[Option, int]]:
    total = sum(chances.values())
    if total <= limit:
        return list(chances.items())
    return [(option, chance * limit // total) for option, chance in chances.items()]
