"""Route state: all that `route` must know of a tenant, as one value that travels as one blob.

Policies are kept by fingerprint and only while an alias names them; the stored form is trusted, its bytes are addressed
by their hash.

    StateError    a blob is not a route state that this version reads
"""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import Any

from policy_engine.accounts import read_key
from policy_engine.limits import DEFAULT_LIMITS, Limits, limits_document, limits_from_document
from policy_engine.snapshot import EMPTY, Snapshot, build_snapshot, snapshot_document, snapshot_from_document
from policy_engine.statistics import CellRow
from policy_lang.admission import policy_from_document
from policy_lang.canonical import canonical
from policy_lang.catalog import Catalog, Model, default_catalog, model_document, model_from_document
from policy_lang.fingerprint import ir_document
from policy_lang.ir import Policy

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
    "with_accounts",
    "with_overlay",
    "with_policy",
    "with_snapshot",
    "with_statistics",
]

_FORMAT = 1
#: A snapshot this much older than the one it meets is not late: the clock that made the other one had jumped ahead.
_JUMPED_MS = 2 * 86_400_000


class StateError(ValueError):
    """The blob is damaged, or of a newer version; what was read before it still holds."""


@dataclass(frozen=True, slots=True)
class PublishedPolicy:
    """A policy and the source lines (from 1) of its gates and routes, as they were first published."""

    policy: Policy
    lines: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class RouteState:
    """The state of one tenant. `aliases`: fingerprint by policy name. `overlay`: the tenant's own catalog rows.
    `settled`: what telemetry found decisions to have used beyond what was expected, by account and running period.

    `version` counts revisions from 1; 0 is the state of a tenant that never published anything.
    """

    tenant: str
    version: int = 0
    policies: Mapping[str, PublishedPolicy] = field(default_factory=dict)
    aliases: Mapping[str, str] = field(default_factory=dict)
    overlay: tuple[Model, ...] = ()
    snapshot: Snapshot = EMPTY
    breakers: frozenset[str] = frozenset()
    settled: Mapping[str, int] = field(default_factory=dict)
    limits: Limits = DEFAULT_LIMITS


def with_policy(state: RouteState, fingerprint: str, published: PublishedPolicy) -> RouteState:
    """Move the alias of the policy's name to it; a policy that no alias names any more leaves the state."""
    name = published.policy.name
    if state.aliases.get(name) == fingerprint:
        return state
    aliases = {**state.aliases, name: fingerprint}
    named = set(aliases.values())
    policies = {kept: policy for kept, policy in state.policies.items() if kept in named}
    policies[fingerprint] = published
    return replace(state, policies=policies, aliases=aliases)


def with_snapshot(state: RouteState, snapshot: Snapshot) -> RouteState:
    """Take over a newer snapshot; an older one, or one that differs in nothing but its time, changes nothing.

    One older by more than two days is taken over: no delivery is that late, so the other one's clock was wrong.
    """
    ahead = state.snapshot.made_ms - snapshot.made_ms
    if 0 <= ahead <= _JUMPED_MS or (ahead < 0 and _estimates(snapshot) == _estimates(state.snapshot)):
        return state
    return replace(state, snapshot=snapshot)


def with_accounts(state: RouteState, settled: Mapping[str, int], limits: Limits, now_ms: int) -> RouteState:
    """Take over what was settled in the periods of `now_ms` or later, and the tenant's limits."""
    running = {key: amount for key, amount in sorted(settled.items()) if amount and _running(key, now_ms)}
    if running == state.settled and limits == state.limits:
        return state
    return replace(state, settled=running, limits=limits)


def with_statistics(
    state: RouteState, rows: Iterable[CellRow], now_ms: int, spent_nanodollars: Mapping[str, int]
) -> RouteState:
    """Renew the snapshot from the stored sums: what moved since the last one is noticed, what nobody has tried starts
    from its catalog neighbours among the arms that the tenant's policies name.
    """
    catalog = state_catalog(state).models
    named = {arm for published in state.policies.values() for arm in named_arms(published.policy)}
    models = [catalog[arm] for arm in sorted(named) if arm in catalog]
    snapshot = build_snapshot(rows, now_ms, spent_nanodollars=spent_nanodollars, previous=state.snapshot, models=models)
    return with_snapshot(state, snapshot)


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
        "aliases": dict(state.aliases),
        "breakers": sorted(state.breakers),
        "format": _FORMAT,
        "limits": limits_document(state.limits),
        "overlay": [model_document(model) for model in state.overlay],
        "policies": {
            fingerprint: {"ir": ir_document(published.policy), "lines": dict(published.lines)}
            for fingerprint, published in state.policies.items()
        },
        "settled": dict(state.settled),
        "snapshot": snapshot_document(state.snapshot),
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
        aliases=document["aliases"],
        overlay=tuple(model_from_document(row) for row in document["overlay"]),
        snapshot=snapshot_from_document(document["snapshot"]),
        breakers=frozenset(document["breakers"]),
        settled=document["settled"],
        limits=limits_from_document(document["limits"]),
    )


def _running(key: str, now_ms: int) -> bool:
    account, index = read_key(key)
    return index >= account.index(now_ms)


def _estimates(snapshot: Snapshot) -> dict[str, Any]:
    document = snapshot_document(snapshot)
    del document["made_ms"]
    return document
