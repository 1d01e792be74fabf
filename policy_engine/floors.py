"""Floors: whether an arm has earned a shape. Three states, by posterior probability and evidence.

`proven N%` clears at P(metric >= floor) >= N and fails at P <= 100 - N. Without `proven` the floor steers by expected
shortfall: cleared where an arm is expected to miss it by half a point at most, failed at one chance in ten. Nothing is
cleared or failed on the prior alone.
"""

from __future__ import annotations

from typing import Literal

from policy_engine.beta import tail_ppm
from policy_engine.estimate import Estimate
from policy_lang.ir import PPM, Floor

__all__ = ["MIN_EVIDENCE_MILLI", "FloorState", "expected_shortfall", "floor_state"]

FloorState = Literal["cleared", "unproven", "failed", "none"]
#: Pseudo-outcomes (parents included) before a verdict other than `unproven`: more than other tasks can lend (10), so a
#: model is never cleared for analysis by labels alone.
MIN_EVIDENCE_MILLI = 12_000
_BADNESS: dict[FloorState, int] = {"none": 0, "cleared": 1, "unproven": 2, "failed": 3}
#: With little evidence half a point asks for more confidence (0.86 at 30 outcomes and a floor of 80 %) than with much
#: (0.73 at 200, 0.5 at 1,000): being a little under is worth little, being far under is what a floor is against.
_STEERING_CLEAR_PPM = 5_000
_STEERING_FAIL_PPM = 100_000


def floor_state(floors: tuple[Floor, ...], estimate: Estimate) -> tuple[FloorState, int]:
    """The worst state over `floors` and the least P(floor holds), ppm; (`none`, 1,000,000) without floors."""
    if not floors:
        return "none", PPM
    worst, least = _one(floors[0], estimate)
    for floor in floors[1:]:
        state, confidence = _one(floor, estimate)
        worst, least = max(worst, state, key=_BADNESS.__getitem__), min(least, confidence)
    return worst, least


def expected_shortfall(floors: tuple[Floor, ...], estimate: Estimate) -> int:
    """What a call served by the arm is expected to miss the worst of `floors` by: E[max(0, floor - metric)], ppm."""
    return max((_shortfall(*_posterior(floor, estimate), floor.at_least_ppm) for floor in floors), default=0)


def _one(floor: Floor, estimate: Estimate) -> tuple[FloorState, int]:
    alpha, beta = _posterior(floor, estimate)
    confidence = tail_ppm(alpha, beta, floor.at_least_ppm)
    if alpha + beta < MIN_EVIDENCE_MILLI:
        return "unproven", confidence
    if (proven := floor.proven_ppm) is None:
        cleared = _shortfall(alpha, beta, floor.at_least_ppm) <= _STEERING_CLEAR_PPM
        failed = confidence <= _STEERING_FAIL_PPM
    else:
        cleared, failed = confidence >= proven, confidence <= PPM - proven
    return "cleared" if cleared else "failed" if failed else "unproven", confidence


def _shortfall(alpha: int, beta: int, floor_ppm: int) -> int:
    """E[max(0, floor - X)] in ppm, X ~ Beta: floor P(X < floor) - E[X] P(X' < floor), X' with one more success."""
    mean = alpha * PPM // (alpha + beta)
    below, weighted = PPM - tail_ppm(alpha, beta, floor_ppm), PPM - tail_ppm(alpha + 1_000, beta, floor_ppm)
    return max(0, (floor_ppm * below - mean * weighted) // PPM)


def _posterior(floor: Floor, estimate: Estimate) -> tuple[int, int]:
    """Beta parameters of the floor's metric, milli-outcomes."""
    if floor.metric != "quality":
        return estimate.alpha_milli, estimate.beta_milli
    return _of_quality(estimate.quality_ppm, estimate.quality_strength_milli)


def _of_quality(mean_ppm: int, strength: int) -> tuple[int, int]:
    """Beta parameters of a quality in 0..1, which has at most the variance of a success of equal mean."""
    alpha = max(1, strength * mean_ppm // PPM)
    return alpha, max(1, strength - alpha)
