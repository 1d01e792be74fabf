"""A policy at a glance, as JSON values: its names, who may serve where, what that costs, what speaks against it."""

from __future__ import annotations

from collections import Counter
from typing import Any

from policy_lang.analysis.analyse import Analysis, analyse
from policy_lang.analysis.may import Served, World, served_whole
from policy_lang.analysis.words import expr_text
from policy_lang.catalog import Catalog
from policy_lang.compiler import Compilation
from policy_lang.fingerprint import ir_document
from policy_lang.ir import Route
from policy_lang.lint import lint
from policy_lang.normal import ALWAYS

__all__ = ["summary"]


def summary(compilation: Compilation, catalog: Catalog) -> dict[str, Any]:
    """The summary of a policy that compiles. What the work budget did not reach is None."""
    policy = compilation.policy
    assert policy is not None
    served = served_whole(World(policy, catalog, {}))
    analysis = analyse(policy, catalog)
    severities = Counter(finding.severity for finding in lint(compilation, catalog))
    return {
        "name": policy.name,
        "fingerprint": compilation.fingerprint,
        "source": compilation.source_hash,
        "catalog": catalog.fingerprint,
        "mode": policy.mode,
        "audit": policy.audit,
        "tasks": list(policy.tasks),
        "tiers": {tier.name: list(tier.arms) for tier in policy.tiers},
        "gates": sorted(
            ({"reason": gate.reason, "line": compilation.lines[gate.reason]} for gate in policy.gates),
            key=lambda gate: gate["line"],
        ),
        "routes": [
            _route(route, index, compilation, analysis, served)
            for index, route in enumerate((*policy.routes, policy.default))
        ],
        "fallback": list(policy.fallback),
        "baseline": policy.baseline,
        "budgets": [ir_document(budget) for budget in policy.budgets],
        "canaries": [ir_document(canary) for canary in policy.canaries],
        "assertions": {proof.assertion.reason: proof.verdict for proof in analysis.proofs},
        "tests": len(compilation.tests),
        "shapes": analysis.shapes,
        "findings": dict(severities),
    }


def _route(
    route: Route, index: int, compilation: Compilation, analysis: Analysis, served: Served | None
) -> dict[str, Any]:
    cost = next((cost for cost in analysis.costs if cost.route == route.name), None)
    return {
        "name": route.name,
        "line": compilation.lines.get(f"route:{route.name}"),
        "when": None if route.when == ALWAYS else expr_text(route.when),
        "use": list(route.use),
        "cascade": list(route.cascade.tiers) if route.cascade else None,
        "pick": [term.rule for term in route.pick],
        "floors": [ir_document(floor) for floor in route.floors],
        "may": _may(index, served),
        "share": None if cost is None else round(float(cost.share), 6),
        "cost_nanodollars": None
        if cost is None
        else {"typical": cost.typical_nanodollars, "once": cost.once_nanodollars, "worst": cost.worst_nanodollars},
        "gaps": {gap.left: round(float(gap.share), 6) for gap in analysis.gaps if gap.route == route.name},
    }


def _may(index: int, served: Served | None) -> list[str] | None:
    """The models that could serve some call of the route."""
    if served is None:
        return None
    return [arm for arm in sorted(served.arms) if served.may(arm) & served.taken[index]]
