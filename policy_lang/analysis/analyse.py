"""Every proof about one policy in one go, for publish, check, lint and inspect."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from policy_lang.analysis.assertions import Proof, assertion_findings, prove
from policy_lang.analysis.budgets import budget_limits, degraded_to_nothing, exploration_limits
from policy_lang.analysis.cost import RouteCost, route_costs
from policy_lang.analysis.coverage import Gap, gaps, unserved_calls, unserved_models
from policy_lang.analysis.findings import Finding
from policy_lang.analysis.floors import unprovable_floors, untried_arms
from policy_lang.analysis.gates import idle_gates
from policy_lang.analysis.may import Served, World, arms_of, serve, served_whole
from policy_lang.analysis.routes import unreachable_routes
from policy_lang.analysis.traffic import Traffic
from policy_lang.catalog import Catalog
from policy_lang.frozen import frozen
from policy_lang.ir import Policy

__all__ = ["Analysis", "analyse", "prove_asserts"]


@frozen
class Analysis:
    """What is proved of a policy under a catalog.

    shapes: concrete shapes that were covered, each class of org, team and product counted as one; cells: combinations
    of classes. Both None, `gaps` and `costs` empty, where the whole space exceeds the work budget (finding P571).
    """

    findings: tuple[Finding, ...]
    proofs: tuple[Proof, ...]
    gaps: tuple[Gap, ...]
    costs: tuple[RouteCost, ...]
    shapes: int | None
    cells: int | None

    @property
    def holds(self) -> bool:
        """Whether nothing blocks: every assert is proved and no finding is an error."""
        return all(finding.severity != "error" for finding in self.findings)


def analyse(
    policy: Policy,
    catalog: Catalog,
    traffic: Traffic | None = None,
    *,
    published: Mapping[str, Policy] | None = None,
) -> Analysis:
    """Run every proof. `published`: the policies that canaries name; an unknown one may choose any model of the
    catalog that passes the gates.
    """
    world = World(policy, catalog, published or {})
    claimed = _claimed(world)
    whole = claimed or served_whole(world)
    parts = [whole] if whole else serve(world)
    proofs = _proofs(world, claimed)
    found_gaps = gaps(whole) if whole else []
    costs = route_costs(whole, traffic) if whole else None
    findings = [
        *unreachable_routes(policy),
        *idle_gates(world, parts),
        *unserved_calls(found_gaps),
        *unserved_models(world, parts),
        *assertion_findings(proofs),
        *budget_limits(policy),
        *exploration_limits(policy),
        *(degraded_to_nothing(whole) if whole else ()),
        *untried_arms(policy),
        *(unprovable_floors(world, traffic, whole) if traffic else ()),
        *_incomplete(world, whole, parts, costs),
    ]
    size = (whole.space.total, whole.space.size) if whole else (None, None)
    return Analysis(tuple(findings), proofs, tuple(found_gaps), tuple(costs or ()), *size)


def prove_asserts(policy: Policy, catalog: Catalog) -> tuple[Proof, ...]:
    """The asserts alone, in their order; a canary may choose any model of the catalog that passes the gates."""
    if not policy.assertions:
        return ()
    world = World(policy, catalog, {})
    return _proofs(world, _claimed(world))


def _claimed(world: World) -> Served | None:
    """All that is served, together with what the asserts speak of; None where that exceeds the work budget."""
    return served_whole(world, [expr for each in world.policy.assertions for expr in (each.given, each.claim)])


def _proofs(world: World, claimed: Served | None) -> tuple[Proof, ...]:
    return tuple(
        prove(world, each, [claimed] if claimed else serve(world, (each.given, each.claim)))
        for each in world.policy.assertions
    )


def _incomplete(
    world: World, whole: Served | None, parts: Sequence[Served], costs: Sequence[RouteCost] | None
) -> Iterable[Finding]:
    """P571: what the work budget did not reach. An analysis never passes over anything in silence."""
    missing = []
    if arms_of(world) != frozenset().union(*(part.arms for part in parts)):
        missing.append("idle gates and models that never serve")
    if whole is None:
        missing.append("calls left with a fallback only")
    if costs is None:
        missing.append("costs")
    if missing:
        message = f"not proved, too much work: {', '.join(missing)}"
        help_text = "gates and routes together name too many values"
        yield Finding("P571", f"route:{world.policy.default.name}", "warning", message, help_text)
