"""What a proof says: findings with a stable code, the rule they are about and a concrete call that shows them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from policy_lang.analysis.space import Box, Call, Cells, Space
from policy_lang.frozen import frozen

__all__ = ["Finding", "Severity", "Verdict", "Witness", "witness"]

Severity = Literal["error", "warning", "note"]
#: `not proved`: the work budget did not reach. It blocks an assert as a refutation does.
Verdict = Literal["proved", "refuted", "not proved"]


@dataclass(frozen=True, slots=True)
class Witness:
    """A concrete call and, where it matters, a model. `given`: the few values of the call that the finding hangs on."""

    call: Call
    given: Box = field(hash=False)
    arm: str | None = None


@frozen
class Finding:
    """One thing proved about a policy.

    rule: a gate's reason, `route:NAME`, `tier:NAME`, `model:ARM`, `assert:REASON`, `budget:SCOPE[:NAME]`,
    `canary:POLICY`, `fallback` or `guard`: what `Compilation.lines` is asked for the line.
    """

    code: str
    rule: str
    severity: Severity
    message: str
    help: str | None = None
    witness: Witness | None = None


def witness(space: Space, cells: Cells, arm: str | None = None) -> Witness:
    """A call from a set of cells that is not empty."""
    return Witness(space.call(cells), space.box(cells), arm)
