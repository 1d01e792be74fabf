"""How a canary fares beside the policy it is drawn from: decisions and how they ended, counted lane by lane.

A trial is one version of a policy that has canaries with a stop-loss; its lanes are the policy itself and each canary
as published. Another version of either is another trial or lane, so what was counted before says nothing of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from hashlib import sha256

from policy_engine.aliases import Alias
from policy_engine.wire import TelemetryRecord
from policy_lang.canonical import canonical
from policy_lang.frozen import frozen
from policy_lang.ir import Canary, Policy
from policy_lang.vocabulary import OUTCOMES

__all__ = ["MAIN", "Tally", "TrialLane", "lane_of", "outcome_tally", "quality_tally", "stop_losses", "trial_of"]

#: The lane of the policy itself, to which its canaries are compared.
MAIN = "main"
_ID_LENGTH = 16

#: Attribute name -> integer increment, all raw: n decisions, s of them that ended well, qn rated answers, q and qq sums
#: of their qualities (ppm) and of the squares.
Tally = Mapping[str, int]


@frozen
class TrialLane:
    """One lane of one trial; both are ids of 16 hexadecimal digits, or `main`."""

    trial: str
    lane: str

    @property
    def key(self) -> str:
        return f"{self.trial}/{self.lane}"


def trial_of(fingerprint: str) -> str:
    """The trial of a version of a policy."""
    return fingerprint[:_ID_LENGTH]


def lane_of(name: str, alias: Alias) -> str:
    """The lane of a canary as published: moving its alias makes it another one."""
    return sha256(canonical([name, [list(share) for share in alias]])).hexdigest()[:_ID_LENGTH]


def stop_losses(
    policies: Mapping[str, Policy], aliases: Mapping[str, Alias], now_ms: int
) -> Iterator[tuple[TrialLane, Canary]]:
    """Every canary with a stop-loss that can be drawn now; `policies` by fingerprint."""
    for alias in aliases.values():
        for fingerprint, _ in alias:
            for canary in policies[fingerprint].canaries:
                due = canary.metric is not None and now_ms // 86_400_000 <= canary.until_day
                if due and canary.policy in aliases:
                    yield TrialLane(trial_of(fingerprint), lane_of(canary.policy, aliases[canary.policy])), canary


def outcome_tally(record: TelemetryRecord) -> dict[str, int]:
    """What the outcome of one hop adds: a decision with its first call, its success with whichever call succeeded.

    Decisions and not calls, so that a lane that escalates or fails over well is not worse for its first attempts.
    """
    assert record.outcome is not None
    fault = OUTCOMES[record.outcome]
    if fault == "caller":
        return {}
    found = {"n": 1} if record.hop == 0 else {}
    return found | ({"s": 1} if fault == "none" else {})


def quality_tally(quality_ppm: int) -> dict[str, int]:
    """What a reported quality adds."""
    return {"qn": 1, "q": quality_ppm, "qq": quality_ppm * quality_ppm}
