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
from policy_engine.declared import check_attributes
from policy_engine.lanes import LIVE, Lane, assign, gated
from policy_engine.state import named_arms
from policy_engine.table import Table, compile_table
from policy_engine.trials import MAIN, TrialLane, lane_of, trial_of
from policy_engine.wire import RequestError, RouteRequest
from policy_lang.admission import AdmissionError, admit
from policy_lang.fingerprint import ir_document
from policy_lang.frozen import frozen
from policy_lang.guarding import narrowed
from policy_lang.ir import PPM, Guard, Policy

__all__ = ["Assigned", "Tables"]

_NAMED_TABLES = 512
# Inline policies have a memory of their own: a caller who sends ever new ones cannot push the published ones out.
_INLINE_TABLES = 32


@frozen
class Assigned:
    """How one call is decided: the request as it may be decided, the table that decides it, its lane, and the table of
    the policy that was asked for.
    """

    wanted: RouteRequest
    table: Table
    lane: Lane
    asked: Table


@frozen
class _Canary:
    """A canary as it may serve one call. `arms`: those inside the gates, None where that is all of its own."""

    fingerprint: str
    share_ppm: int
    lane: TrialLane
    arms: tuple[str, ...] | None


class Tables:
    """Memo of compiled policies; what it holds follows from the state alone."""

    def __init__(self) -> None:
        self._named: Recent[tuple[str, str], Table] = Recent(_NAMED_TABLES)
        self._inline: Recent[tuple[str, ...], Table] = Recent(_INLINE_TABLES)
        self._inside: Recent[tuple[object, ...], tuple[tuple[str, ...] | None]] = Recent(_NAMED_TABLES)

    def deciding(
        self, wanted: RouteRequest, view: View, decision_id: str, now_ms: int, *, canaries: bool = True
    ) -> Assigned:
        """What decides a call; no canary does where `canaries` forbids it.

        An inline policy is first narrowed by the guards of the tenant's published ones, and the request carries it as
        narrowed from there on, so that its receipt replays alone. The lane is a canary's where the draw says so, that
        policy is published and it was not stopped for its losses; then the request carries as candidates what the gates
        of the policy asked for leave of the canary's arms.
        """
        if wanted.inline is not None:
            sent = self._from_request(wanted.inline, view)
            check_attributes(wanted, sent.policy)
            return Assigned(replace(wanted, inline=ir_document(sent.policy)), sent, LIVE, sent)
        assert wanted.policy is not None
        alias = view.state.aliases.get(wanted.policy)
        if alias is None:
            known = "a new name is known everywhere a second after it is published"
            raise RequestError(404, "unknown_policy", f"no policy `{wanted.policy}` is published; {known}")
        fingerprint, share = drawn(alias, wanted.policy, wanted, decision_id)
        table = self._published(fingerprint, view)
        # The policy that was asked for says what may be said: a caller cannot know its canaries and what they declare.
        check_attributes(wanted, table.policy)
        if not (canaries and table.policy.canaries):
            return Assigned(wanted, table, LIVE if share == PPM else Lane(None, share, share), table)
        standing = self._standing(fingerprint, table, wanted, view, decision_id)
        lane = _lane(table.policy, fingerprint, share, standing, wanted, decision_id, now_ms)
        if lane.policy is not None:
            canary = standing[lane.policy]
            wanted = wanted if canary.arms is None else replace(wanted, candidates=canary.arms)
            return Assigned(wanted, self._published(canary.fingerprint, view), lane, table)
        return Assigned(wanted, table, lane, table)

    def _standing(
        self, fingerprint: str, table: Table, wanted: RouteRequest, view: View, decision_id: str
    ) -> dict[str, _Canary]:
        """The canaries that may serve this call, by name: published, not stopped, with an arm inside the gates."""
        found = {}
        for name in (canary.policy for canary in table.policy.canaries):
            if (alias := view.state.aliases.get(name)) is None:
                continue
            lane = TrialLane(trial_of(fingerprint), lane_of(name, alias))
            if lane.key in view.state.stopped:
                continue
            version, share = drawn(alias, name, wanted, decision_id)
            arms = self._gated(table, version, wanted, view)
            if arms is None or arms:
                found[name] = _Canary(version, share, lane, arms)
        return found

    def _gated(self, table: Table, canary: str, wanted: RouteRequest, view: View) -> tuple[str, ...] | None:
        asks = (wanted.envelope, wanted.org, wanted.team, wanted.product, wanted.attributes, wanted.candidates)
        key = (table.policy_fingerprint, canary, view.catalog.fingerprint, asks)
        found = self._inside.get(key)
        if found is None:
            arms = named_arms(view.state.policies[canary].policy)
            found = self._inside.put(key, (gated(table.policy, view.catalog, arms, wanted),))
        return found[0]

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
    policy: Policy,
    fingerprint: str,
    share_ppm: int,
    standing: Mapping[str, _Canary],
    wanted: RouteRequest,
    decision_id: str,
    now_ms: int,
) -> Lane:
    """The lane of a call. Its odds count the shares that the deciding versions have in their aliases."""
    lane = assign(policy, wanted, decision_id, now_ms, {c.policy for c in policy.canaries} - standing.keys())
    watched = any(canary.metric is not None and canary.policy in standing for canary in policy.canaries)
    trial = TrialLane(trial_of(fingerprint), MAIN)
    if lane.policy is not None:
        trial, share_ppm = standing[lane.policy].lane, share_ppm * standing[lane.policy].share_ppm // PPM
    odds = max(1, lane.propensity_ppm * share_ppm // PPM)
    return Lane(lane.policy, odds, max(1, share_ppm), trial if watched else None)


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
