"""What another policy would have been worth on the decisions this one logged (off-policy evaluation).

Three estimates of a target policy's mean reward, from the logged propensity p of the arm that served, w = target / p:

- inverse propensity (Horvitz and Thompson 1952): mean of w r. Unbiased; wide where p is small.
- self-normalised (Swaminathan and Joachims, NeurIPS 2015): sum w r / sum w. Bounded by the rewards; variance by the
  delta method.
- doubly robust (Dudik, Langford and Li, ICML 2011): mean of sum_a target(a) m(a) + w (r - m(served)), m = what the
  receipt expected of the arm before it served. Unbiased whatever m is, narrow where m is good.

Intervals are 95 %, normal; below 200 effective outcomes (Kish 1965: (sum w)^2 / sum w^2) there is a refusal instead.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from math import sqrt
from typing import Any, Literal

from policy_lang.frozen import frozen
from policy_lang.ir import PPM

__all__ = [
    "LEAST_EFFECTIVE",
    "MOST_UNSUPPORTED",
    "Evaluation",
    "EvaluationError",
    "Figure",
    "Logged",
    "Refusal",
    "Worth",
    "evaluated",
    "logged",
]

LEAST_EFFECTIVE = 200
#: Share of the target's decisions that may go to arms the log could not have served: what they bring is not in the log,
#: so an estimate is off by up to that share of the reward's range.
MOST_UNSUPPORTED = 0.01
_Z = 1.959964

#: Reward of a call from its quality (ppm) and its cost (nano-dollars).
Worth = Callable[[int, int], float]


class EvaluationError(ValueError):
    """A log entry or a target's propensities that cannot be."""


@frozen
class Logged:
    """One decision and what came of it.

    odds: P(arm serves) under the policy that logged, ppm, of every arm that could; reward: in the unit of `expected`,
    which is what was expected of each arm before any served.
    """

    arm: str
    odds: Mapping[str, int]
    reward: float
    expected: Mapping[str, float]

    def __post_init__(self) -> None:
        if not self.odds.get(self.arm, 0) > 0:
            raise EvaluationError(f"`{self.arm}` served with a propensity of 0")
        if missing := sorted(self.odds.keys() - self.expected.keys()):
            raise EvaluationError(f"nothing is expected of `{missing[0]}`, which could have served")


@frozen
class Figure:
    """An estimate and its 95 % interval."""

    mean: float
    low: float
    high: float


@frozen
class Evaluation:
    """Mean reward of the target on `decisions`; `effective` outcomes carry the two weighted estimates.

    mean_weight: 1 in expectation; far from it, the logged propensities are not those that were drawn from.
    """

    inverse_propensity: Figure
    self_normalised: Figure
    doubly_robust: Figure
    decisions: int
    effective: float
    mean_weight: float
    unsupported: float


@frozen
class Refusal:
    """Why there is no estimate; the figures it was refused for."""

    reason: Literal["too_few", "unsupported"]
    decisions: int
    effective: float
    unsupported: float

    def __str__(self) -> str:
        if self.reason == "unsupported":
            return (
                f"{self.unsupported:.1%} of the target's decisions go to models that the log could not have served"
                f" (at most {MOST_UNSUPPORTED:.0%}): allow them in the logging policy, or log with exploration"
            )
        return (
            f"{self.decisions} decisions are worth {self.effective:.0f} for this target (at least {LEAST_EFFECTIVE}):"
            " log for longer, or with more exploration"
        )


def evaluated(pairs: Iterable[tuple[Logged, Mapping[str, int]]]) -> Evaluation | Refusal:
    """Each logged decision beside the target's propensities for it (ppm, summing to 1,000,000)."""
    entries = list(pairs)
    weights, direct, outside = [], [], 0.0
    for entry, target in entries:
        _check(target)
        weights.append(target.get(entry.arm, 0) / entry.odds[entry.arm])
        direct.append(sum(odds * entry.expected[arm] for arm, odds in target.items() if entry.odds.get(arm)) / PPM)
        outside += sum(odds for arm, odds in target.items() if not entry.odds.get(arm)) / PPM
    effective = _effective(weights)
    unsupported = outside / len(entries) if entries else 0.0
    if unsupported > MOST_UNSUPPORTED:
        return Refusal("unsupported", len(entries), effective, unsupported)
    if effective < LEAST_EFFECTIVE:
        return Refusal("too_few", len(entries), effective, unsupported)
    rewards = [entry.reward for entry, _ in entries]
    errors = [entry.reward - entry.expected[entry.arm] for entry, _ in entries]
    return Evaluation(
        inverse_propensity=_mean([w * r for w, r in zip(weights, rewards, strict=True)]),
        self_normalised=_self_normalised(weights, rewards),
        doubly_robust=_mean([d + w * e for d, w, e in zip(direct, weights, errors, strict=True)]),
        decisions=len(entries),
        effective=effective,
        mean_weight=sum(weights) / len(weights),
        unsupported=unsupported,
    )


def logged(receipt: Mapping[str, Any], quality_ppm: int, cost_nanodollars: int, worth: Worth) -> Logged | None:
    """The log entry of a receipt whose call came to this quality and cost; None where chance had no part in that.

    Those are refusals, pinned calls, whose arm an earlier decision chose, and shadows, where another one served. Odds
    are those within the decision's lane and after its draws over half-open breakers, which hang on hashes alone.
    """
    steps = receipt["decision"].get("plan") or ()
    if not steps or steps[0]["role"] == "pinned" or receipt.get("mode") == "shadow":
        return None
    able = [row for row in receipt["candidates"] if row["odds_ppm"] > 0]
    return Logged(
        arm=steps[0]["arm"],
        odds={row["arm"]: row["odds_ppm"] for row in able},
        reward=worth(quality_ppm, cost_nanodollars),
        expected={row["arm"]: worth(row["estimate"][_QUALITY], row["cost_nanodollars"]) for row in able},
    )


#: Place of the mean quality in a receipt's estimate (`estimate_row`).
_QUALITY = 4


def _check(target: Mapping[str, int]) -> None:
    if sum(target.values()) != PPM or min(target.values(), default=0) < 0:
        raise EvaluationError("a target's propensities are whole ppm from 0 that sum to 1,000,000")


def _effective(weights: Sequence[float]) -> float:
    squares = sum(weight * weight for weight in weights)
    return sum(weights) ** 2 / squares if squares else 0.0


def _mean(values: Sequence[float]) -> Figure:
    mean = sum(values) / len(values)
    variance = sum((value - mean) ** 2 for value in values) / max(1, len(values) - 1)
    return _figure(mean, sqrt(variance / len(values)))


def _self_normalised(weights: Sequence[float], rewards: Sequence[float]) -> Figure:
    total = sum(weights)
    mean = sum(weight * reward for weight, reward in zip(weights, rewards, strict=True)) / total
    squares = sum((weight * (reward - mean)) ** 2 for weight, reward in zip(weights, rewards, strict=True))
    return _figure(mean, sqrt(squares) / total)


def _figure(mean: float, error: float) -> Figure:
    return Figure(mean, mean - _Z * error, mean + _Z * error)
