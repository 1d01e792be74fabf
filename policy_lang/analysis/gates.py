"""Gates without an effect of their own: nothing is lost with the gate, or another gate removes it anyway."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from policy_lang.analysis.findings import Finding
from policy_lang.analysis.may import Served, World, arms_of
from policy_lang.analysis.words import listed
from policy_lang.ir import Gate

__all__ = ["idle_gates"]


@dataclass(slots=True)
class _Tally:
    """What is known of one gate: whether it removes anything, anything alone, and which gates cover all it removes."""

    fires: bool = False
    alone: bool = False
    covered_by: set[int] = field(default_factory=set)


def idle_gates(world: World, parts: Sequence[Served]) -> Iterator[Finding]:
    """P521 for a gate that removes no candidate, P522 for one that removes none alone; only where that is proved.

    A candidate is an arm on a call whose route turns to it. Of two gates that remove the same, the later is reported.
    """
    gates = world.policy.gates
    tallies = [_Tally(covered_by=set(range(len(gates))) - {index}) for index in range(len(gates))]
    for part in parts:
        for arm in part.arms:
            _count(part, arm, gates, tallies)
    if frozenset().union(*(part.arms for part in parts)) != arms_of(world):
        return
    for index, (gate, tally) in enumerate(zip(gates, tallies, strict=True)):
        if not tally.fires:
            message = f'"{gate.reason}" removes no candidate of this policy'
            help_text = "no model it names breaks it with this catalog; keep it if others may join"
            yield Finding("P521", gate.reason, "note", message, help_text)
        elif not tally.alone:
            equals = {i for i in tally.covered_by if index in tallies[i].covered_by}
            if not tally.covered_by - equals and equals and min(equals) > index:
                continue
            yield Finding("P522", gate.reason, "warning", *_redundant(gates, index, tally))


def _count(part: Served, arm: str, gates: Sequence[Gate], tallies: Sequence[_Tally]) -> None:
    candidate = part.candidate(arm) if arm in part.world.catalog.models else 0
    if not candidate:
        return
    barred = [part.bars(gate, arm) & candidate for gate in gates]
    once = twice = 0
    for cells in barred:
        twice |= once & cells
        once |= cells
    for cells, tally in zip(barred, tallies, strict=True):
        if not cells:
            continue
        tally.fires = True
        tally.alone = tally.alone or bool(cells & ~twice)
        tally.covered_by = {other for other in tally.covered_by if not cells & ~barred[other]}


def _redundant(gates: Sequence[Gate], index: int, tally: _Tally) -> tuple[str, str]:
    message = f'"{gates[index].reason}" removes nothing that other gates leave'
    if not tally.covered_by:
        return message, "several gates together remove all that it removes"
    return message, f"shadowed by {listed(gates[other].reason for other in sorted(tally.covered_by))}"
