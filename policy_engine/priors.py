"""What is known of an arm before it has served this tenant: its catalog neighbours, and what other tenants saw.

Both only ever lend a few pseudo-outcomes, so own outcomes soon decide.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from policy_engine.beta import natural_log
from policy_engine.estimate import MILLI, PRIOR, Belief
from policy_lang.catalog import Model
from policy_lang.frozen import frozen

__all__ = ["LEAST_OUTCOMES", "LEAST_TENANTS", "TenantMean", "catalog_priors", "shared_priors"]

#: A prior is published from so many tenants of so many outcomes each (k-anonymity, and a median no tenant can move).
LEAST_TENANTS = 5
LEAST_OUTCOMES = 50
SHARED_WEIGHT_MILLI = 20 * MILLI
_ROUNDED_PPM = 10_000
#: Success per doubling of the list price, and how far price alone may move a prior. A convention, not fitted to data.
PER_DOUBLING_PPM = 15_000
_MOST_PPM = 120_000
_UNTRIED = Belief(PRIOR.success_ppm, PRIOR.quality_ppm, PRIOR.strength_milli)
_LN2 = 0.6931471805599453


@frozen
class TenantMean:
    """One tenant's record of one arm: raw outcomes and mean success."""

    outcomes: int
    success_ppm: int


def catalog_priors(models: Iterable[Model], records: Mapping[str, Belief]) -> dict[str, Belief]:
    """A prior an arm: the mean record of its nearest catalog neighbours that this tenant has tried, moved by price.

    Neighbours are the tried arms, those of the same provider counting double, weighed by nearness in price (halved with
    every doubling). Where none was tried the prior is the engine's own, moved by the price against the median price.
    """
    rows = sorted(models, key=lambda model: model.arm)
    tried = {model.arm: records[model.arm] for model in rows if model.arm in records}
    octaves = {m.arm: natural_log(max(1, m.price_in * 3 + m.price_out)) / _LN2 for m in rows}
    middle = sorted(octaves.values())[len(octaves) // 2] if octaves else 0.0
    beliefs = {}
    for model in rows:
        others = [other for other in rows if other.arm in tried and other.arm != model.arm]
        near = [(_nearness(model, other, octaves), octaves[other.arm], tried[other.arm]) for other in others]
        near = near or [(1.0, middle, _UNTRIED)]
        total = sum(weight for weight, _, _ in near)
        price = sum(weight * octave for weight, octave, _ in near) / total
        mean = sum(weight * record.success_ppm for weight, _, record in near) / total
        quality = sum(weight * record.quality_ppm for weight, _, record in near) / total
        moved = min(_MOST_PPM, max(-_MOST_PPM, round((octaves[model.arm] - price) * PER_DOUBLING_PPM)))
        beliefs[model.arm] = Belief(round(mean), round(quality), PRIOR.strength_milli).moved(moved)
    return beliefs


def shared_priors(records: Mapping[str, Sequence[TenantMean]]) -> dict[str, Belief]:
    """Prior by arm from tenants that opted in: one tenant one vote, the median of their means, rounded to a point.

    A pooled mean belongs to whoever sends most traffic (measured: one malicious tenant of ten ruins it); a median of
    tenants moves only with the majority. Arms with fewer than five sufficient tenants have none.
    """
    found = {}
    for arm, means in sorted(records.items()):
        votes = sorted(mean.success_ppm for mean in means if mean.outcomes >= LEAST_OUTCOMES)
        if len(votes) >= LEAST_TENANTS:
            middle = (votes[(len(votes) - 1) // 2] + votes[len(votes) // 2]) // 2
            rounded = (middle + _ROUNDED_PPM // 2) // _ROUNDED_PPM * _ROUNDED_PPM
            found[arm] = Belief(rounded, rounded, SHARED_WEIGHT_MILLI)
    return found


def _nearness(model: Model, other: Model, octaves: Mapping[str, float]) -> float:
    """2^-distance in octaves of price to its nearest whole, doubled within a provider's family."""
    distance = round(abs(octaves[model.arm] - octaves[other.arm]))
    return (2.0 if model.provider == other.provider else 1.0) / (1 << min(distance, 40))
