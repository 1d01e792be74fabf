"""Lanes: which of a tenant's policies decides a call.

Canaries are drawn per unit, so a session or org stays in its lane.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

from policy_engine.draws import draw_ppm
from policy_engine.trials import TrialLane
from policy_engine.wire import RouteRequest
from policy_lang.catalog import Catalog
from policy_lang.frozen import frozen
from policy_lang.gates import FactValue, evaluate
from policy_lang.ir import PPM, Canary, Policy
from policy_lang.vocabulary import OTHER_TASK

__all__ = ["LIVE", "Lane", "assign", "gated", "lane_from_document"]

_DAY_MS = 86_400_000


@frozen
class Lane:
    """The policy that decides (None: the one asked for) and the probability of that, over the draws of the units; at
    least 1 ppm, for it has happened.

    `share_ppm`: what the weights of aliases left of it. `trial`: the lane that a stop-loss counts the call in.
    """

    policy: str | None = None
    propensity_ppm: int = PPM
    share_ppm: int = PPM
    trial: TrialLane | None = None

    def document(self) -> dict[str, Any]:
        """For receipts; empty in the ordinary lane."""
        found: dict[str, Any] = {}
        if self.policy is not None or self.propensity_ppm != PPM:
            found = {"policy": self.policy, "propensity_ppm": self.propensity_ppm}
        if self.share_ppm != PPM:
            found["share_ppm"] = self.share_ppm
        if self.trial is not None:
            found |= {"trial": [self.trial.trial, self.trial.lane]}
        return found


def lane_from_document(document: Mapping[str, Any]) -> Lane:
    """The inverse of `Lane.document`."""
    trial = TrialLane(*document["trial"]) if "trial" in document else None
    share = document.get("share_ppm", PPM)
    return Lane(document.get("policy"), document.get("propensity_ppm", PPM), share, trial)


LIVE = Lane()


def assign(policy: Policy, request: RouteRequest, decision_id: str, now_ms: int, stopped: Collection[str]) -> Lane:
    """The lane of one call: the first canary whose draw falls inside its share.

    No canary in audit mode, after its date, once stopped for a loss, or for a call that lacks the canary's unit.
    The draw hashes the unit (the call's id, its session or its org), never the time, so it is the same on every turn.
    """
    if policy.audit == "on":
        return LIVE
    left = PPM
    for canary in policy.canaries:
        unit = _unit(canary, request, decision_id)
        if unit is None or now_ms // _DAY_MS > canary.until_day or canary.policy in stopped:
            continue
        # What one lane takes the next does not have, so the lanes of a policy sum to 1,000,000.
        taken = max(1, left * canary.share_ppm // PPM)
        if draw_ppm(unit, f"canary {canary.policy}") < canary.share_ppm:
            return Lane(canary.policy, taken)
        if canary.share_ppm:
            left = max(1, left - taken)
    return Lane(None, left)


def gated(policy: Policy, catalog: Catalog, arms: Collection[str], request: RouteRequest) -> tuple[str, ...] | None:
    """Those of a canary's `arms` that every gate of the policy it is drawn from lets through for this request, sorted;
    None where that is all of them. A canary obeys those gates beside its own.
    """
    if not policy.gates:
        return None
    task = request.envelope.task_type
    envelope = request.envelope if task in policy.tasks else replace(request.envelope, task_type=OTHER_TASK)
    facts: dict[str, FactValue] = {**envelope.facts(), "org": request.org, "team": request.team}
    facts |= {"product": request.product, **{f"attribute.{name}": word for name, word in request.attributes}}
    asked = sorted(arms if request.candidates is None else set(arms).intersection(request.candidates))
    left = tuple(arm for arm in asked if _passes(policy, catalog, arm, facts))
    return None if len(left) == len(arms) else left


def _passes(policy: Policy, catalog: Catalog, arm: str, facts: Mapping[str, FactValue]) -> bool:
    """An arm that the catalog lacks is the canary's own to report."""
    model = catalog.models.get(arm)
    if model is None:
        return True
    known = {**facts, **model.facts()}
    return all(evaluate(gate.violation, known) is False for gate in policy.gates)


def _unit(canary: Canary, request: RouteRequest, decision_id: str) -> str | None:
    return decision_id if canary.unit == "call" else request.session if canary.unit == "session" else request.org
