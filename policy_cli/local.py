"""A decision made here, from a policy file: the same `decide`, no service, no statistics but those one hands it."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from policy_engine.decision import Circumstances, decide, decision_id_for
from policy_engine.declared import check_attributes
from policy_engine.receipt import reply
from policy_engine.snapshot import EMPTY, Snapshot
from policy_engine.table import compile_table
from policy_engine.wire import RouteRequest, parse_route
from policy_lang.canonical import canonical
from policy_lang.catalog import Catalog
from policy_lang.ir import Policy

if TYPE_CHECKING:
    from policy_lang.compiler import Compilation

__all__ = ["NOW_MS", "admitted", "decide_locally"]

#: When local decisions are made: 2026-01-01T00:00:00Z, so that the same files give the same answer every day.
NOW_MS = 1_767_225_600_000


def decide_locally(
    compilation: Compilation,
    catalog: Catalog,
    document: dict[str, Any],
    snapshot: Snapshot = EMPTY,
    *,
    drawn: bool = True,
) -> dict[str, Any]:
    """The route reply to a request document without its policy. RequestError when the request is not admitted.

    The draw follows from the request alone: another `idempotency_key` draws anew. Without it nothing is explored and
    no canary serves, so that the answer is what the policy picks.
    """
    assert compilation.policy is not None
    policy = compilation.policy if drawn else _undrawn(compilation.policy)
    request = admitted(policy, document)
    decision_id = decision_id_for(NOW_MS, canonical(request.document()))
    table = compile_table(policy, catalog, compilation.lines)
    decision = decide(request, table, snapshot, Circumstances("local", decision_id, NOW_MS))
    found: dict[str, Any] = json.loads(reply(decision, ""))
    found["fingerprints"]["policy"] = compilation.fingerprint
    return found


def admitted(policy: Policy, document: dict[str, Any]) -> RouteRequest:
    """A request document without its policy, as the service would admit it; RequestError where it would not."""
    request = parse_route(canonical({**document, "policy": policy.name}))
    check_attributes(request, policy)
    return request


def _undrawn(policy: Policy) -> Policy:
    routes = tuple(replace(route, explore=None) for route in policy.routes)
    return replace(policy, routes=routes, default=replace(policy.default, explore=None), audit="on")
