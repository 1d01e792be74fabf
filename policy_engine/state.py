"""Route state: all that `route` must know of a tenant, as one value that travels as one blob.

Policies are kept by fingerprint and only while an alias leads to them; the stored form is trusted, its bytes are
addressed by their hash.

    StateError    a blob is not a route state that this version reads
"""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import astuple, field, replace
from hashlib import sha256
from typing import Any

from policy_engine.accounts import read_key
from policy_engine.aliases import Alias, alias_of
from policy_engine.breakers import Breaker, Counts, Pulse, advanced, totals
from policy_engine.estimate import Belief
from policy_engine.limits import DEFAULT_LIMITS, Limits, limits_document, limits_from_document
from policy_engine.pacing import advanced_paces
from policy_engine.packing import WIDEST, packing_for
from policy_engine.snapshot import EMPTY, Snapshot, build_snapshot, snapshot_document, snapshot_from_document
from policy_engine.statistics import CellRow
from policy_engine.stop_loss import compared
from policy_engine.trials import MAIN, Tally, TrialLane, stop_losses
from policy_lang.admission import policy_from_document
from policy_lang.canonical import canonical
from policy_lang.catalog import Catalog, Model, default_catalog, model_document, model_from_document
from policy_lang.fingerprint import ir_document
from policy_lang.frozen import frozen
from policy_lang.ir import Canary, Policy

__all__ = [
    "PublishedPolicy",
    "RouteState",
    "StateError",
    "named_arms",
    "pack_state",
    "state_catalog",
    "state_document",
    "state_from_document",
    "unpack_state",
    "watched_trials",
    "with_accounts",
    "with_alias",
    "with_overlay",
    "with_policy",
    "with_snapshot",
    "with_statistics",
    "with_tallies",
]

_FORMAT = 1
#: A snapshot this much older than the one it meets is not late: the clock that made the other one had jumped ahead.
_JUMPED_MS = 2 * 86_400_000


class StateError(ValueError):
    """The blob is damaged, or of a newer version; what was read before it still holds."""


@frozen
class PublishedPolicy:
    """A policy and the source lines (from 1) of its gates and routes, as they were first published."""

    policy: Policy
    lines: Mapping[str, int]


@frozen
class RouteState:
    """The state of one tenant. `aliases`: fingerprints and shares by policy name. `overlay`: its own catalog rows.
    `settled`: what telemetry found decisions to have used beyond what was expected, by account and running period.
    `paces`: by how much a dollar of a budget counts for more than itself (ppm), as of `paced_ms`.

    `breakers` of arms that are open or half open, `pulses` the counters they were judged by. `stopped`: when each
    canary lane was stopped for its losses, by the lane's key. `packing`: of new decision ids (`packing.py`). `version`
    counts revisions from 1; 0 is the state of a tenant that never published anything.
    """

    tenant: str
    version: int = 0
    policies: Mapping[str, PublishedPolicy] = field(default_factory=dict)
    aliases: Mapping[str, Alias] = field(default_factory=dict)
    overlay: tuple[Model, ...] = ()
    snapshot: Snapshot = EMPTY
    breakers: Mapping[str, Breaker] = field(default_factory=dict)
    pulses: Mapping[str, Pulse] = field(default_factory=dict)
    stopped: Mapping[str, int] = field(default_factory=dict)
    settled: Mapping[str, int] = field(default_factory=dict)
    limits: Limits = DEFAULT_LIMITS
    paces: Mapping[str, int] = field(default_factory=dict)
    paced_ms: int = 0
    packing: int = WIDEST


def with_policy(state: RouteState, fingerprint: str, published: PublishedPolicy) -> RouteState:
    """Move the alias of the policy's name to it alone."""
    return with_alias(state, published.policy.name, alias_of(fingerprint), {fingerprint: published})


def with_alias(state: RouteState, name: str, alias: Alias, published: Mapping[str, PublishedPolicy]) -> RouteState:
    """Move an alias. `published` holds at least those of its policies that the state has not; a policy that no alias
    leads to any more leaves the state, and with it what was stopped of its canaries.
    """
    if state.aliases.get(name) == alias:
        return state
    aliases = {**state.aliases, name: alias}
    known = {**state.policies, **published}
    policies = {fingerprint: known[fingerprint] for led in aliases.values() for fingerprint, _ in led}
    moved = replace(state, policies=policies, aliases=aliases)
    current = {lane.key for lane, _ in watched_trials(moved, 0)}
    return replace(moved, stopped={key: at_ms for key, at_ms in state.stopped.items() if key in current})


def with_snapshot(state: RouteState, snapshot: Snapshot) -> RouteState:
    """Take over a newer snapshot; an older one, or one that differs in nothing but its time, changes nothing.

    One older by more than two days is taken over: no delivery is that late, so the other one's clock was wrong.
    """
    ahead = state.snapshot.made_ms - snapshot.made_ms
    if 0 <= ahead <= _JUMPED_MS or (ahead < 0 and _estimates(snapshot) == _estimates(state.snapshot)):
        return state
    return replace(state, snapshot=snapshot)


def with_accounts(
    state: RouteState, taken: Mapping[str, int], settled: Mapping[str, int], limits: Limits, now_ms: int
) -> RouteState:
    """Take over what was settled in the periods of `now_ms` or later, and the tenant's limits; pace its budgets by what
    they have used, which is what was `taken` and what was settled.

    A look older than the last one that changed anything changes nothing: it was slower, and what it read has moved on.
    As with snapshots, one older by more than two days says that the other one's clock was wrong.
    """
    if 0 < state.paced_ms - now_ms <= _JUMPED_MS:
        return state
    running = {key: amount for key, amount in sorted(settled.items()) if amount and _running(key, now_ms)}
    budgets = [budget for published in state.policies.values() for budget in published.policy.budgets]
    used = {key: amount + running.get(key, 0) for key, amount in taken.items()}
    paces = advanced_paces(state.paces, budgets, used, state.paced_ms, now_ms)
    if running == state.settled and limits == state.limits and paces == state.paces:
        return state
    return replace(state, settled=running, limits=limits, paces=paces, paced_ms=now_ms)


def with_statistics(
    state: RouteState,
    rows: Iterable[CellRow],
    now_ms: int,
    spent_nanodollars: Mapping[str, int],
    shared: Mapping[str, Belief] | None = None,
) -> RouteState:
    """Renew snapshot, breakers and packing from the stored sums: what moved since the last one is noticed, what nobody
    has tried starts from what other tenants `shared` of it, else from its catalog neighbours among the arms that the
    tenant's policies name.
    """
    rows = list(rows)
    catalog = state_catalog(state).models
    named = {arm for published in state.policies.values() for arm in named_arms(published.policy)}
    models = [catalog[arm] for arm in sorted(named) if arm in catalog]
    shared = {arm: belief for arm, belief in (shared or {}).items() if arm in named}
    snapshot = build_snapshot(
        rows, now_ms, spent_nanodollars=spent_nanodollars, previous=state.snapshot, models=models, shared=shared
    )
    return _with_packing(_with_breakers(with_snapshot(state, snapshot), rows, now_ms), state, now_ms)


def with_tallies(state: RouteState, tallies: Mapping[TrialLane, Tally], now_ms: int) -> RouteState:
    """Stop the canaries that lose more than their policies allow; one that is stopped stays so until either policy is
    published anew.
    """
    stopped = dict(state.stopped)
    for lane, canary in watched_trials(state, now_ms):
        if lane.key not in stopped:
            main = tallies.get(TrialLane(lane.trial, MAIN), {})
            verdict = compared(main, tallies.get(lane, {}), canary)
            if verdict is not None and verdict.stop:
                stopped[lane.key] = now_ms
    return state if stopped == dict(state.stopped) else replace(state, stopped=stopped)


def watched_trials(state: RouteState, now_ms: int) -> list[tuple[TrialLane, Canary]]:
    """The canaries of a state that a stop-loss watches, until their day."""
    policies = {fingerprint: published.policy for fingerprint, published in state.policies.items()}
    return list(stop_losses(policies, state.aliases, now_ms))


def named_arms(policy: Policy) -> frozenset[str]:
    """Every arm a policy can serve."""
    routes = (*policy.routes, policy.default)
    reserves = (route.until_proven for route in routes if route.until_proven)
    return frozenset((*policy.fallback, *reserves, *(arm for tier in policy.tiers for arm in tier.arms)))


def with_overlay(state: RouteState, overlay: tuple[Model, ...]) -> RouteState:
    """Replace the tenant's catalog rows."""
    return state if overlay == state.overlay else replace(state, overlay=overlay)


def state_catalog(state: RouteState) -> Catalog:
    """The catalog as this tenant sees it."""
    catalog = default_catalog()
    return catalog.overlaid(state.overlay) if state.overlay else catalog


def pack_state(state: RouteState) -> tuple[str, bytes]:
    """SHA-256 of the state's canonical JSON, and that JSON compressed."""
    body = canonical(state_document(state))
    return sha256(body).hexdigest(), gzip.compress(body, compresslevel=6, mtime=0)


def unpack_state(blob: bytes) -> RouteState:
    """The inverse of `pack_state`; StateError when the blob is not a state that this version reads."""
    try:
        return state_from_document(json.loads(gzip.decompress(blob)))
    except StateError:
        raise
    except (ValueError, KeyError, TypeError, AttributeError, OSError, EOFError, zlib.error) as problem:
        raise StateError(f"the blob is not a route state: {problem!r}") from problem


def state_document(state: RouteState) -> dict[str, Any]:
    """A state as JSON values."""
    return {
        "aliases": {name: [list(share) for share in alias] for name, alias in state.aliases.items()},
        "breakers": {arm: list(astuple(breaker)) for arm, breaker in state.breakers.items()},
        "format": _FORMAT,
        "limits": limits_document(state.limits),
        "paced_ms": state.paced_ms,
        "paces": dict(state.paces),
        "packing": state.packing,
        "overlay": [model_document(model) for model in state.overlay],
        "policies": {
            fingerprint: {"ir": ir_document(published.policy), "lines": dict(published.lines)}
            for fingerprint, published in state.policies.items()
        },
        "pulses": {
            arm: [*astuple(pulse.seen), *astuple(pulse.recent), pulse.at_ms] for arm, pulse in state.pulses.items()
        },
        "settled": dict(state.settled),
        "snapshot": snapshot_document(state.snapshot),
        "stopped": dict(state.stopped),
        "tenant": state.tenant,
        "version": state.version,
    }


def state_from_document(document: Mapping[str, Any]) -> RouteState:
    """The inverse of `state_document`; StateError for another format."""
    if document["format"] != _FORMAT:
        raise StateError(f"the route state is in format {document['format']}; this version reads {_FORMAT}")
    return RouteState(
        tenant=document["tenant"],
        version=document["version"],
        policies={
            fingerprint: PublishedPolicy(policy_from_document(stored["ir"]), stored["lines"])
            for fingerprint, stored in document["policies"].items()
        },
        aliases={
            name: tuple((fingerprint, share) for fingerprint, share in alias)
            for name, alias in document["aliases"].items()
        },
        overlay=tuple(model_from_document(row) for row in document["overlay"]),
        snapshot=snapshot_from_document(document["snapshot"]),
        breakers={arm: Breaker(*row) for arm, row in document["breakers"].items()},
        pulses={arm: Pulse(Counts(*row[:3]), Counts(*row[3:6]), row[6]) for arm, row in document["pulses"].items()},
        stopped=document["stopped"],
        settled=document["settled"],
        limits=limits_from_document(document["limits"]),
        paces=document["paces"],
        paced_ms=document["paced_ms"],
        packing=document["packing"],
    )


def _running(key: str, now_ms: int) -> bool:
    account, index = read_key(key)
    return index >= account.period_at(now_ms)


def _with_breakers(state: RouteState, rows: Iterable[CellRow], now_ms: int) -> RouteState:
    pulses, breakers = advanced(state.pulses, state.breakers, totals(rows), now_ms)
    if pulses == dict(state.pulses) and breakers == dict(state.breakers):
        return state
    return replace(state, pulses=pulses, breakers=breakers)


def _with_packing(state: RouteState, before: RouteState, now_ms: int) -> RouteState:
    """The packing for the rate at which calls were counted since the snapshot before. It stays where none was, and for
    a look that is older than that snapshot: the schedule's may come late, and then there is no time to divide by.
    """
    counted, known = (sum(pulse.seen.calls for pulse in each.pulses.values()) for each in (state, before))
    elapsed_ms = now_ms - before.snapshot.made_ms
    if counted == known or elapsed_ms <= 0:
        return state
    return replace(state, packing=packing_for(counted - known, elapsed_ms))


def _estimates(snapshot: Snapshot) -> dict[str, Any]:
    document = snapshot_document(snapshot)
    del document["made_ms"]
    return document
