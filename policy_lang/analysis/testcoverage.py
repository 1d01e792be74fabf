"""Which rules the calls of some tests exercise, in both outcomes, and a call for every outcome they miss.

Exact: an outcome that no call whatever can show is not counted as missing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fractions import Fraction
from typing import Literal

from policy_lang.analysis.findings import Witness, witness
from policy_lang.analysis.may import Served, World, served_whole
from policy_lang.analysis.space import Call, Cells
from policy_lang.catalog import Catalog
from policy_lang.frozen import frozen
from policy_lang.ir import Policy

__all__ = ["Coverage", "Outcome", "RuleCoverage", "coverage"]

#: yes, no: seen in some call, or in none. impossible: no call there is can show it.
Outcome = Literal["yes", "no", "impossible"]


@frozen
class RuleCoverage:
    """One rule: a gate fires where it removes a candidate of the call, a route where it takes the call.

    `missing`: a call that would show the first outcome still unseen.
    """

    rule: str
    fired: Outcome
    spared: Outcome
    missing: Witness | None


@frozen
class Coverage:
    """All gates, then all routes, the default last. `share` of the possible outcomes that were seen."""

    rules: tuple[RuleCoverage, ...]
    share: Fraction


def coverage(policy: Policy, catalog: Catalog, calls: Iterable[Call]) -> Coverage | None:
    """Coverage of a policy by the calls of its tests; None where the policy exceeds the work budget."""
    served = served_whole(World(policy, catalog, {}))
    if served is None:
        return None
    seen = 0
    for call in calls:
        seen |= served.space.cell_of(call.facts())
    rules = tuple(_rule(rule, fires, seen, served) for rule, fires in _fires(served))
    outcomes = [outcome for rule in rules for outcome in (rule.fired, rule.spared) if outcome != "impossible"]
    return Coverage(rules, Fraction(outcomes.count("yes"), len(outcomes) or 1))


def _fires(served: Served) -> Iterator[tuple[str, Cells]]:
    for gate in served.world.policy.gates:
        cells = 0
        for arm in served.arms & served.world.catalog.models.keys():
            cells |= served.bars(gate, arm) & served.candidate(arm)
        yield gate.reason, cells
    for route, cells in zip(served.world.routes, served.taken, strict=True):
        yield f"route:{route.name}", cells


def _rule(rule: str, fires: Cells, seen: Cells, served: Served) -> RuleCoverage:
    spares = served.space.all & ~fires
    outcomes = [_outcome(cells, seen) for cells in (fires, spares)]
    lacking = next((c for c, outcome in zip((fires, spares), outcomes, strict=True) if outcome == "no"), None)
    return RuleCoverage(rule, outcomes[0], outcomes[1], witness(served.space, lacking) if lacking else None)


def _outcome(cells: Cells, seen: Cells) -> Outcome:
    return "impossible" if not cells else "yes" if cells & seen else "no"
