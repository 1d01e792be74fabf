"""Does an arm's record still describe it? Page's CUSUM, downwards and upwards, on what arrived since the last snapshot.

Each score adds ln(likelihood if the success rate had moved by STEP / likelihood as estimated), never below zero (Page,
"Continuous Inspection Schemes", Biometrika 1954; optimal for a given false-alarm rate, Moustakides 1986). Scores live
in the snapshot; raw counters of two successive snapshots say what is new, so seeing the same statistics
twice changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import sqrt

from policy_engine.beta import natural_log
from policy_engine.estimate import MILLI, Estimate
from policy_lang.frozen import frozen
from policy_lang.ir import PPM

__all__ = ["CALM", "STEP_PPM", "THRESHOLD_MILLI", "Arrivals", "Score", "Watch", "advanced", "moved_ppm"]

#: The move in success rate the scores are tuned to; a move of half of it still adds up.
STEP_PPM = 100_000
#: Nats. e^9 = 8,100 times likelier to have moved than not.
THRESHOLD_MILLI = 9_000
#: Posterior strength below which an expectation is no expectation.
_LEAST_STRENGTH_MILLI = 15_000
_LEAST_RATE, _MOST_RATE = 0.01, 0.99


@frozen
class Score:
    """Milli-nats, and since they last stood at zero: outcomes, and successes above expectation (thousandths)."""

    milli: int = 0
    outcomes: int = 0
    surplus_milli: int = 0


@frozen
class Watch:
    """An arm's two scores."""

    fall: Score
    rise: Score


CALM = Watch(Score(), Score())


@frozen
class Arrivals:
    """Outcomes of one arm in one cell since the last snapshot, beside what that snapshot expected."""

    expected: Estimate
    outcomes: int
    successes: int


def advanced(watch: Watch, arrivals: Iterable[Arrivals]) -> Watch:
    """The watch after what arrived; a score is back at zero whenever the record is borne out."""
    fall, rise = watch.fall, watch.rise
    for found in arrivals:
        if found.outcomes > 0 and found.expected.strength_milli >= _LEAST_STRENGTH_MILLI:
            fall, rise = _added(fall, found, -1), _added(rise, found, 1)
    return Watch(fall if fall.milli > 0 else CALM.fall, rise if rise.milli > 0 else CALM.rise)


def moved_ppm(watch: Watch) -> int | None:
    """How far the arm has moved from its record, signed; None while the record stands."""
    score = max(watch.fall, watch.rise, key=lambda score: score.milli)
    if score.milli < THRESHOLD_MILLI:
        return None
    return score.surplus_milli * 1_000 // score.outcomes


def _added(score: Score, found: Arrivals, sign: int) -> Score:
    rate = _cautious(found.expected, sign)
    moved = min(_MOST_RATE, max(_LEAST_RATE, rate + sign * STEP_PPM / PPM))
    failures = found.outcomes - found.successes
    nats = found.successes * natural_log(moved / rate) + failures * natural_log((1 - moved) / (1 - rate))
    surplus = found.successes * MILLI - found.outcomes * found.expected.success_ppm // 1_000
    return Score(score.milli + round(nats * MILLI), score.outcomes + found.outcomes, score.surplus_milli + surplus)


def _cautious(expected: Estimate, sign: int) -> float:
    """Expected success rate, one posterior standard deviation towards the move: a young cell's error is no move."""
    mean = expected.success_ppm / PPM
    deviation = sqrt(mean * (1 - mean) / (expected.strength_milli / MILLI + 1))
    return min(0.97, max(0.03, mean + sign * deviation))
