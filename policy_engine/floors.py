"""Floors: whether an arm has earned a shape. Three states, by posterior probability and evidence.

`proven N%` clears at P(metric >= floor) >= N and fails at P <= 100 - N. Without `proven` the floor steers: cleared at
seven in ten, failed at one in ten. Nothing is cleared or failed on the prior alone.
"""

from __future__ import annotations

from typing import Literal

from policy_engine.beta import tail_ppm
from policy_engine.estimate import Estimate
from policy_lang.ir import PPM, Floor

__all__ = ["MIN_EVIDENCE_MILLI", "FloorState", "floor_state"]

FloorState = Literal["cleared", "unproven", "failed", "none"]
#: Pseudo-outcomes (parents included) before a verdict other than `unproven`: more than other tasks can lend (10), so a
#: model is never cleared for analysis by labels alone.
MIN_EVIDENCE_MILLI = 12_000
_BADNESS: dict[FloorState, int] = {"none": 0, "cleared": 1, "unproven": 2, "failed": 3}
_STEERING_CLEAR_PPM = 700_000
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


def _one(floor: Floor, estimate: Estimate) -> tuple[FloorState, int]:
    alpha, beta = estimate.alpha_milli, estimate.beta_milli
    if floor.metric == "quality":
        alpha, beta = _of_quality(estimate.quality_ppm, alpha + beta)
    confidence = tail_ppm(alpha, beta, floor.at_least_ppm)
    if alpha + beta < MIN_EVIDENCE_MILLI:
        return "unproven", confidence
    proven = floor.proven_ppm
    if confidence >= (_STEERING_CLEAR_PPM if proven is None else proven):
        return "cleared", confidence
    return (
        "failed" if confidence <= (_STEERING_FAIL_PPM if proven is None else PPM - proven) else "unproven"
    ), confidence


def _of_quality(mean_ppm: int, strength: int) -> tuple[int, int]:
    """Beta parameters of a quality in 0..1, which has at most the variance of a success of equal mean."""
    alpha = max(1, strength * mean_ppm // PPM)
    return alpha, max(1, strength - alpha)
