"""The compiled policies of an environment: published ones by fingerprint, inline ones by content."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from hashlib import sha256
from typing import Any

from functions.caching import Recent
from functions.route.states import View
from policy_engine.aliases import drawn
from policy_engine.lanes import LIVE, Lane, assign
from policy_engine.table import Table, compile_table
from policy_engine.trials import MAIN, TrialLane, lane_of, trial_of
from policy_engine.wire import RequestError, RouteRequest
from policy_lang.admission import AdmissionError, admit
from policy_lang.fingerprint import ir_document
from policy_lang.guarding import narrowed
from policy_lang.ir import PPM, Guard, Policy

__all__ = ["Tables"]

_NAMED_TABLES = 512
# Inline policies have a memory of their own: a caller who sends ever new ones cannot push the published ones out.
_INLINE_TABLES = 32


class Tables:
    """Memo of compiled policies; what it holds follows from the state alone."""

    def __init__(self) -> None:
        self._named: Recent[tuple[str, str], Table] = Recent(_NAMED_TABLES)
        self._inline: Recent[tuple[str, ...], Table] = Recent(_INLINE_TABLES)

    def deciding(
        self, wanted: RouteRequest, view: View, decision_id: str, now_ms: int
    ) -> tuple[RouteRequest, Table, Lane]:
        """The request as it may be decided, the table that decides it, and its lane.

        An inline policy is first narrowed by the guards of the tenant's published ones, and the request carries it as
        narrowed from there on, so that its receipt replays alone. The lane is a canary's where the draw says so, that
        policy is published and it was not stopped for its losses.
        """
        if wanted.inline is not None:
            sent = self._from_request(wanted.inline, view)
            _check_attributes(wanted, sent)
            return replace(wanted, inline=ir_document(sent.policy)), sent, LIVE
        assert wanted.policy is not None
        alias = view.state.aliases.get(wanted.policy)
        if alias is None:
            message = f"no policy `{wanted.policy}` is published; POST it to /v1/policies/{wanted.policy}"
            raise RequestError(404, "unknown_policy", message)
        fingerprint, share = drawn(alias, wanted.policy, wanted, decision_id)
        table = self._published(fingerprint, view)
        lane = _lane(table.policy, fingerprint, share, wanted, view, decision_id, now_ms)
        if lane.policy is not None:
            fingerprint, share = drawn(view.state.aliases[lane.policy], lane.policy, wanted, decision_id)
            table = self._published(fingerprint, view)
            odds = lane.propensity_ppm * share // PPM
            lane = replace(lane, propensity_ppm=odds, share_ppm=lane.share_ppm * share // PPM)
        _check_attributes(wanted, table)
        return wanted, table, lane

    def _published(self, fingerprint: str, view: View) -> Table:
        key = (fingerprint, view.catalog.fingerprint)
        found = self._named.get(key)
        if found is None:
            published = view.state.policies[fingerprint]
            found = self._named.put(key, compile_table(published.policy, view.catalog, published.lines))
        return found

    def _from_request(self, document: Mapping[str, Any], view: View) -> Table:
        digest = sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()
        key = (digest, view.catalog.fingerprint, *sorted(view.state.policies))
        found = self._inline.get(key)
        if found is None:
            policy = _guarded(_admitted(document), view)
            found = self._inline.put(key, compile_table(policy, view.catalog, inline=True))
        return found


def _lane(
    policy: Policy, fingerprint: str, share_ppm: int, wanted: RouteRequest, view: View, decision_id: str, now_ms: int
) -> Lane:
    """The lane of a call among the canaries that stand; its odds count the share of `fingerprint` in its alias too."""
    if not policy.canaries:
        return LIVE if share_ppm == PPM else Lane(None, share_ppm, share_ppm)
    aliases, trial = view.state.aliases, trial_of(fingerprint)
    lanes = {
        c.policy: TrialLane(trial, lane_of(c.policy, aliases[c.policy])) for c in policy.canaries if c.policy in aliases
    }
    out = {c.policy for c in policy.canaries if c.policy not in lanes or lanes[c.policy].key in view.state.stopped}
    lane = assign(policy, wanted, decision_id, now_ms, out)
    watched = any(c.metric is not None and c.policy not in out for c in policy.canaries)
    counted = lanes[lane.policy] if lane.policy else TrialLane(trial, MAIN)
    odds = lane.propensity_ppm * share_ppm // PPM
    return Lane(lane.policy, odds, share_ppm, counted if watched else None)


def _admitted(document: Mapping[str, Any]) -> Policy:
    try:
        return admit(document)
    except AdmissionError as problem:
        raise RequestError(400, "invalid_ir", str(problem)) from None


def _guarded(policy: Policy, view: View) -> Policy:
    """`policy` under the guard of every policy that a name leads to, by name; RequestError where it goes beyond."""
    guarded = replace(policy, guard=None)
    for fingerprint in (led for _, alias in sorted(view.state.aliases.items()) for led, _ in alias):
        owner = view.state.policies[fingerprint].policy
        if owner.guard is None:
            continue
        found = narrowed(guarded, owner)
        if not isinstance(found, Policy):
            beyond = "; ".join(f"{path}: {accepted}" for path, accepted in found)
            raise RequestError(403, "beyond_guard", f"the guard of `{owner.name}` does not allow this policy: {beyond}")
        costs = [guard.cost_nanodollars for guard in (guarded.guard, found.guard) if guard is not None]
        least = min((cost for cost in costs if cost is not None), default=None)
        guarded = replace(found, guard=Guard(cost_nanodollars=least))
    return guarded


def _check_attributes(wanted: RouteRequest, table: Table) -> None:
    declared = {attribute.name: attribute.values for attribute in table.policy.attributes}
    for name, value in wanted.attributes:
        if value not in declared.get(name, ()):
            accepted = ", ".join(f"{known} in [{', '.join(values)}]" for known, values in declared.items())
            message = f"`{name}: {value}` is not an attribute this policy declares; it declares {accepted or 'none'}"
            raise RequestError(400, "invalid_attribute", message)
