"""What is believed of one arm in one cell, and how it is worked out from decayed sums: shrinkage towards a parent.

Everything is integers (milli-outcomes, ppm, tokens, ms), so an estimate is the same wherever it is computed.
"""

from __future__ import annotations

from collections.abc import Mapping
from operator import attrgetter
from typing import Any

from policy_engine.statistics import Sums
from policy_lang.frozen import frozen
from policy_lang.ir import PPM

__all__ = [
    "MILLI",
    "PRIOR",
    "Belief",
    "Estimate",
    "EstimateError",
    "Evidence",
    "estimate_from_row",
    "estimate_json",
    "estimate_row",
    "estimated",
    "evidence_of",
    "updated",
]

MILLI = 1_000
#: Pseudo-outcomes of the prior: what an arm is given that nobody has tried.
PRIOR_WEIGHT_MILLI = 4 * MILLI
PRIOR_MEAN_PPM = 700_000
#: Pseudo-calls with the parent's mean tokens in a cell's own mean.
_TOKEN_CALLS = 3
_FLOOR_PPM, _CEILING_PPM = 5_000, 995_000


class EstimateError(ValueError):
    """A stored estimate holds numbers that none can have."""


@frozen
class Estimate:
    """What is believed of one arm in one cell.

    alpha, beta: Beta posterior of success in milli-outcomes, parents included. n_milli: decayed own outcomes. count,
    wins: raw own outcomes and successes ever. quality_ppm: posterior mean of quality (success where none is reported).
    tokens: means per call, cached ones among the input, None while unseen. latency and ttft: p95 in ms, None while
    unseen.
    """

    alpha_milli: int
    beta_milli: int
    n_milli: int
    count: int
    quality_ppm: int
    tokens_in: int | None = None
    tokens_out: int | None = None
    latency_p95_ms: int | None = None
    ttft_p95_ms: int | None = None
    wins: int = 0
    tokens_cached_read: int | None = None
    tokens_cached_write: int | None = None

    @property
    def success_ppm(self) -> int:
        """Posterior mean of success."""
        return self.alpha_milli * PPM // (self.alpha_milli + self.beta_milli)

    @property
    def strength_milli(self) -> int:
        """Outcomes the posterior is worth."""
        return self.alpha_milli + self.beta_milli


@frozen
class Evidence:
    """Decayed to the snapshot's moment: outcomes and successes (milli), reported qualities (milli) and their sum."""

    n_milli: int = 0
    s_milli: int = 0
    q_milli: int = 0
    q_sum: int = 0

    def __add__(self, other: Evidence) -> Evidence:
        return Evidence(
            self.n_milli + other.n_milli,
            self.s_milli + other.s_milli,
            self.q_milli + other.q_milli,
            self.q_sum + other.q_sum,
        )

    def __sub__(self, other: Evidence) -> Evidence:
        return Evidence(
            self.n_milli - other.n_milli,
            self.s_milli - other.s_milli,
            self.q_milli - other.q_milli,
            self.q_sum - other.q_sum,
        )


@frozen
class Belief:
    """Posterior mean of success and quality, worth `weight_milli` outcomes."""

    success_ppm: int
    quality_ppm: int
    weight_milli: int

    def moved(self, ppm: int) -> Belief:
        """The same belief `ppm` higher, kept inside (0, 1)."""
        return Belief(_inside(self.success_ppm + ppm), _inside(self.quality_ppm + ppm), self.weight_milli)


PRIOR = Estimate(
    alpha_milli=PRIOR_WEIGHT_MILLI * PRIOR_MEAN_PPM // PPM,
    beta_milli=PRIOR_WEIGHT_MILLI * (PPM - PRIOR_MEAN_PPM) // PPM,
    n_milli=0,
    count=0,
    quality_ppm=PRIOR_MEAN_PPM,
)


def evidence_of(sums: Sums, now_weight: int) -> Evidence:
    """Sums scaled to the weight of this moment; impossible ones (negative, more successes than outcomes) are cut."""
    n_milli, s_milli, q_milli, q_sum = (
        max(0, sums.get(name, 0)) * MILLI // now_weight for name in ("n", "s", "qn", "q")
    )
    return Evidence(n_milli, min(n_milli, s_milli), q_milli, min(q_milli * PPM, q_sum))


def updated(evidence: Evidence, parent: Belief, most_milli: int) -> Belief:
    """`parent`, lending at most `most_milli` pseudo-outcomes, after `evidence` (Beta-Bernoulli with a capped prior)."""
    lent = min(most_milli, parent.weight_milli)
    weight = evidence.n_milli + lent
    success = (evidence.s_milli * PPM + parent.success_ppm * lent) // weight
    if evidence.q_milli:
        quality = (evidence.q_sum + parent.quality_ppm * lent) // (evidence.q_milli + lent)
    elif evidence.n_milli:
        quality = (evidence.s_milli * PPM + parent.quality_ppm * lent) // weight
    else:
        quality = parent.quality_ppm
    return Belief(min(PPM, success), min(PPM, quality), weight)


def estimated(
    belief: Belief,
    evidence: Evidence,
    own: Sums,
    sources: tuple[Mapping[str, int], ...] = (),
    sizes: Sums | None = None,
) -> Estimate:
    """The stored form of a belief, with latencies of the first of `sources` that has any and tokens of `sizes`.

    Latency is a property of the arm and may come from its other cells; the size of a call is one of the shape.
    """
    alpha = max(1, belief.weight_milli * belief.success_ppm // PPM)
    tokens_in, tokens_out, cached_read, cached_write = _tokens(sizes)
    return Estimate(
        alpha_milli=alpha,
        beta_milli=max(1, belief.weight_milli - alpha),
        n_milli=evidence.n_milli,
        count=own.get("c", 0),
        quality_ppm=belief.quality_ppm,
        tokens_in=tokens_in,
        tokens_out=tokens_out,
        latency_p95_ms=_first_p95(sources, "h"),
        ttft_p95_ms=_first_p95(sources, "g"),
        wins=own.get("w", 0),
        tokens_cached_read=cached_read,
        tokens_cached_write=cached_write,
    )


def estimate_row(estimate: Estimate) -> list[int | None]:
    """An estimate as the array of its fields, in field order."""
    return list(_FIELDS(estimate))


def estimate_json(estimate: Estimate) -> str:
    """The canonical JSON of `estimate_row`, in a third of the encoder's time."""
    return (_ROW % _FIELDS(estimate)).replace("None", "null")


def estimate_from_row(row: list[Any]) -> Estimate:
    """The inverse of `estimate_row`; EstimateError for numbers that no estimate can hold."""
    found = Estimate(*row)
    if not all(number is None or (type(number) is int and 0 <= number < _TOO_LARGE) for number in row):
        raise EstimateError("an estimate holds whole numbers from 0 to below 10^15")
    if found.alpha_milli < 1 or found.beta_milli < 1 or found.quality_ppm > PPM:
        raise EstimateError("an estimate needs alpha and beta of at least 1 and a quality of at most 1,000,000")
    return found


_TOO_LARGE = 10**15
_FIELDS = attrgetter(*Estimate.__match_args__)
_ROW = f"[{','.join(['%s'] * len(Estimate.__match_args__))}]"


def _inside(ppm: int) -> int:
    return min(_CEILING_PPM, max(_FLOOR_PPM, ppm))


def _tokens(sums: Mapping[str, int] | None) -> tuple[int | None, int | None, int | None, int | None]:
    """Mean input, output, cached reads and cached writes a call; None where no tokens were reported."""
    if sums is None or (weight := sums.get("tn", 0)) <= 0:
        return None, None, None, None
    fresh, output, read, write = ((sums.get(name, 0) + weight // 2) // weight for name in ("ti", "to", "tr", "tw"))
    return fresh, output, read, write


def _first_p95(sources: tuple[Mapping[str, int], ...], prefix: str) -> int | None:
    for sums in sources:
        if (found := _p95(sums, prefix)) is not None:
            return found
    return None


def _p95(sums: Mapping[str, int], prefix: str) -> int | None:
    """95th percentile from log2 buckets, linear inside the bucket that holds it."""
    buckets = sorted((int(name[1:]), value) for name, value in sums.items() if name[0] == prefix and name[1:].isdigit())
    total = sum(value for _, value in buckets)
    if total <= 0:
        return None
    target, below = total * 95 // 100, 0
    for bits, value in buckets:
        if value and below + value >= target:
            low, high = (1 << bits) >> 1, 1 << bits
            return low + (high - low) * (target - below) // value
        below += value
    return (1 << buckets[-1][0]) - 1
