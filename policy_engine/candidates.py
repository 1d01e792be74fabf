"""A candidate and why it may not serve, with the JSON that receipts and replies keep of both."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, NamedTuple

from policy_lang.canonical import canonical_text
from policy_lang.catalog import Model
from policy_lang.gates import FactValue

__all__ = ["Candidate", "Reason"]


@dataclass(frozen=True)
class Reason:
    """Why a candidate may not serve: the rule, its source line, what was read. unknown: a field could not be read."""

    rule: str
    verdict: Literal["violated", "unknown", "absent"]
    line: int | None
    operands: tuple[tuple[str, FactValue], ...]

    @cached_property
    def json(self) -> str:
        """Canonical; candidates that failed alike share one reason, so it is rendered once."""
        row: dict[str, Any] = {"operands": dict(self.operands), "rule": self.rule, "verdict": self.verdict}
        if self.line is not None:
            row["line"] = self.line
        if self.verdict == "unknown":
            row["unknown"] = [name for name, value in self.operands if value is None]
        return canonical_text(row)


class Candidate(NamedTuple):
    """One arm under one shape. `tier` is None for arms that only `until proven` or `fallback` name.

    `barred`: outside the gates, so not even a fallback. An arm that only the route's `where` turned away is not barred.
    `model_json`: its catalog row, canonical. A tuple, because a new shape makes one for every arm that fails.
    """

    model: Model
    tier: str | None
    reasons: tuple[Reason, ...]
    barred: bool
    model_json: str
