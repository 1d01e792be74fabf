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
_STEERING_CLEAR_PPM = 700_000
_STEERING_FAIL_PPM = 100_000


def floor_state(floors: tuple[Floor, ...], estimate: Estimate) -> tuple[FloorState, int]:
    """The worst state over `floors` and the least P(floor holds), ppm; (`none`, 1,000,000) without floors."""
    if not floors:
        return "none", PPM
    states = [_one(floor, estimate) for floor in floors]
    confidence = min(confidence for _, confidence in states)
    for worst in ("failed", "unproven"):
        if any(state == worst for state, _ in states):
            return worst, confidence
    return "cleared", confidence


def _one(floor: Floor, estimate: Estimate) -> tuple[FloorState, int]:
    alpha, beta = _posterior(floor, estimate)
    confidence = tail_ppm(alpha, beta, floor.at_least_ppm)
    clear, fail = _STEERING_CLEAR_PPM, _STEERING_FAIL_PPM
    if floor.proven_ppm is not None:
        clear, fail = floor.proven_ppm, PPM - floor.proven_ppm
    if alpha + beta < MIN_EVIDENCE_MILLI:
        return "unproven", confidence
    if confidence >= clear:
        return "cleared", confidence
    return ("failed" if confidence <= fail else "unproven"), confidence


def _posterior(floor: Floor, estimate: Estimate) -> tuple[int, int]:
    """Beta parameters of the floor's metric; a quality in 0..1 has at most the variance of a success of equal mean."""
    if floor.metric == "success":
        return estimate.alpha_milli, estimate.beta_milli
    strength = estimate.alpha_milli + estimate.beta_milli
    alpha = max(1, strength * estimate.quality_ppm // PPM)
    return alpha, max(1, strength - alpha)
