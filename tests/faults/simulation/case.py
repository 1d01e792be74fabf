"""What goes wrong in a run: the fault model, and the cases of `cases.toml`."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path

CASES = {
    case.pop("name"): case for case in tomllib.loads((Path(__file__).parents[1] / "cases.toml").read_text())["case"]
}


@dataclass(frozen=True)
class Case:
    """What goes wrong, and how often. Chances are per call or message; outages are shares of the run.

    burst: decisions of one tenant in one millisecond, to begin with. copies: how often a message is delivered at most.
    late: reports that arrive a day and more after their decision.
    """

    burst: int = 0
    copies: int = 1
    shuffled: bool = False
    lost: float = 0.0
    throttled: float = 0.0
    conflicts: float = 0.0
    outages: tuple = ()
    poison: float = 0.0
    late: float = 0.0
    jumps: float = 0.0
    cold: float = 0.0
    carry: bool = False
    shows: tuple[str, ...] = ()
