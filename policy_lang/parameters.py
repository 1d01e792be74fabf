"""The parameters of a call that a policy may change, the checks a cascade may run, and what each takes."""

from __future__ import annotations

from policy_lang.frozen import frozen
from policy_lang.vocabulary import OUTCOMES

__all__ = ["CHECKS", "EFFORTS", "HANDLED_OUTCOMES", "NUMERIC_PARAMETERS", "PARAMETERS", "PATTERNS", "Range"]


@frozen
class Range:
    """Least and greatest value in thousandths; `whole` where only whole numbers make sense."""

    low: int
    high: int
    whole: bool = False

    def holds(self, milli: int) -> bool:
        """Whether a value in thousandths is one of these."""
        return self.low <= milli <= self.high and not (self.whole and milli % 1_000)

    def __str__(self) -> str:
        sort = "a whole number" if self.whole else "a number"
        return f"{sort} from {self.low / 1_000:g} to {self.high // 1_000}"


NUMERIC_PARAMETERS = {
    "frequency_penalty": Range(-2_000, 2_000),
    "max_tokens": Range(1_000, 1_000_000_000, whole=True),
    "presence_penalty": Range(-2_000, 2_000),
    "seed": Range(0, (2**31 - 1) * 1_000, whole=True),
    "temperature": Range(0, 2_000),
    "top_p": Range(0, 1_000),
}
EFFORTS = ("minimal", "low", "medium", "high")
PARAMETERS = tuple(sorted((*NUMERIC_PARAMETERS, "reasoning_effort")))

#: Check of a cascade -> what follows it: a least share, nothing, a name, a kind of PATTERNS, a SHA-256 in hex.
CHECKS = {
    "consistency": "share",
    "hash": "sha256",
    "json_valid": "nothing",
    "judge": "share",
    "pattern": "pattern",
    "schema": "name",
    "self_rating": "share",
}
PATTERNS = ("email", "integer", "iso-date", "number", "url", "uuid")

#: What `on` may react to: what a model or a provider is to blame for.
HANDLED_OUTCOMES = tuple(name for name, fault in OUTCOMES.items() if fault in ("model", "provider"))
