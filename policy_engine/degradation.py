"""Has an arm become worse than its own record? Page's CUSUM on the outcomes that arrived since the last snapshot.

Each arm's score adds ln(likelihood if the success rate had dropped by DROP / likelihood as estimated), never below
zero (Page, "Continuous Inspection Schemes", Biometrika 1954; optimal for a given false-alarm rate, Moustakides 1986).
Scores live in the snapshot; raw counters of two successive snapshots say what is new, so seeing the same statistics
twice changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from policy_engine.beta import natural_log
from policy_engine.estimate import MILLI, Estimate
from policy_lang.ir import PPM

__all__ = ["CALM", "DROP_PPM", "THRESHOLD_MILLI", "Arrivals", "Watch", "advanced", "fallen"]

#: The fall in success rate the score is tuned to; a fall of half of it still adds up.
DROP_PPM = 150_000
#: Nats. e^9 = 8,100 times likelier to have fallen than not.
THRESHOLD_MILLI = 9_000
#: Posterior strength below which an expectation is no expectation.
_LEAST_STRENGTH_MILLI = 15_000


@dataclass(frozen=True, slots=True)
class Watch:
    """One arm's score in milli-nats, and what was counted since it last stood at zero: outcomes, missing successes."""

    score_milli: int = 0
    outcomes: int = 0
    missing_milli: int = 0

    @property
    def drop_ppm(self) -> int:
        """How far below expectation the arm has been since then."""
        return max(0, self.missing_milli * 1_000 // self.outcomes) if self.outcomes else 0


CALM = Watch()


@dataclass(frozen=True, slots=True)
class Arrivals:
    """Outcomes of one arm in one cell since the last snapshot, beside what that snapshot expected."""

    expected: Estimate
    outcomes: int
    successes: int


def advanced(watch: Watch, arrivals: Iterable[Arrivals]) -> Watch:
    """The watch after what arrived; back to calm whenever the record is borne out."""
    score, outcomes, missing = watch.score_milli, watch.outcomes, watch.missing_milli
    for found in arrivals:
        if found.outcomes <= 0 or found.expected.strength_milli < _LEAST_STRENGTH_MILLI:
            continue
        rate = _cautious(found.expected)
        fallen_rate = max(0.01, rate - DROP_PPM / PPM)
        failures = found.outcomes - found.successes
        nats = found.successes * natural_log(fallen_rate / rate)
        nats += failures * natural_log((1 - fallen_rate) / (1 - rate))
        score += round(nats * MILLI)
        outcomes += found.outcomes
        missing += found.outcomes * found.expected.success_ppm // 1_000 - found.successes * MILLI
    return Watch(score, outcomes, missing) if score > 0 else CALM


def fallen(watch: Watch) -> bool:
    """Whether the arm's record no longer describes it."""
    return watch.score_milli >= THRESHOLD_MILLI


def _cautious(expected: Estimate) -> float:
    """Expected success rate less one posterior standard deviation: a young cell's optimism is not a fall."""
    mean = expected.success_ppm / PPM
    deviation = (mean * (1 - mean) / (expected.strength_milli / MILLI + 1)) ** 0.5
    return min(0.97, max(0.05, mean - deviation))
