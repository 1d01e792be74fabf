"""When to stop a canary: a test that may be looked at every minute, for ever, and still seldom stops by chance.

A fixed-size test repeated at every look would stop almost every canary in the end. The boundary here is the one-sided
normal mixture of Robbins (Annals of Mathematical Statistics, 1970; Howard, Ramdas, McAuliffe and Sekhon, Annals of
Statistics, 2021, section 3.2), uniform over time, on the difference of two means with its estimated variance
(asymptotic confidence sequences: Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas, Annals of Statistics, 2024).
"""

from __future__ import annotations

from math import sqrt

from policy_engine.beta import natural_log
from policy_engine.trials import Tally
from policy_lang.frozen import frozen
from policy_lang.ir import PPM, Canary

__all__ = ["FALSE_STOP", "Comparison", "compared"]

#: Chance that a canary which loses nothing is ever stopped.
FALSE_STOP = 0.01
#: Decisions a lane must have before a normal approximation says anything.
LEAST_DECISIONS = 30
_LEAST_DROP = 0.01


@frozen
class Comparison:
    """A canary beside its policy: means and drop in ppm; `at_least_ppm`: the drop that is beyond doubt."""

    main_ppm: int
    canary_ppm: int
    drop_ppm: int
    at_least_ppm: int
    decisions: int
    stop: bool


def compared(main: Tally, canary: Tally, terms: Canary) -> Comparison | None:
    """None while there is too little to compare, or for a canary without a stop-loss.

    It is stopped once there is a drop beyond doubt, and it is as large as the policy says by the estimate itself.
    """
    if terms.metric is None or terms.drop_ppm is None:
        return None
    moments = _quality if terms.metric == "quality" else _success
    (n_main, mean_main, variance_main), (n, mean, variance) = moments(main), moments(canary)
    if min(n_main, n) < LEAST_DECISIONS:
        return None
    limit = terms.drop_ppm / PPM
    drop = mean_main - mean
    doubt = _boundary(1 / (variance_main / n_main + variance / n), limit)
    stop = drop - doubt > 0 and drop >= limit
    return Comparison(_ppm(mean_main), _ppm(mean), _ppm(drop), _ppm(drop - doubt), n, stop)


def _ppm(value: float) -> int:
    return round(value * PPM)


def _boundary(information: float, limit: float) -> float:
    """How far an estimate of that information (one over its variance) may lie from the truth at any look.

    The mixture is tightest about where a drop of `limit` is three standard errors.
    """
    tuned = 1 / max(limit, _LEAST_DROP) ** 2
    total = information + tuned
    return sqrt(total * natural_log(total / (4 * FALSE_STOP * FALSE_STOP * tuned))) / information


def _success(tally: Tally) -> tuple[int, float, float]:
    """Decisions, their rate of success and its variance, with one success and one failure added, so that a lane without
    failures is not taken for a certainty (Agresti and Caffo, The American Statistician, 2000).
    """
    n = tally.get("n", 0)
    rate = (min(tally.get("s", 0), n) + 1) / (n + 2)
    return n, rate, rate * (1 - rate)


def _quality(tally: Tally) -> tuple[int, float, float]:
    """Rated answers, their mean quality and its variance, with one answer of quality 0 and one of 1 added."""
    n = tally.get("qn", 0)
    mean = (tally.get("q", 0) / PPM + 1) / (n + 2)
    square = (tally.get("qq", 0) / PPM / PPM + 1) / (n + 2)
    return n, mean, max(0.0, square - mean * mean)
