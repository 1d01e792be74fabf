"""`POST /v1/route`: authenticate, decide, make the receipt durable, reply: in this order, never without a receipt."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from typing import Any

from functions.auth import Authenticator
from functions.caching import Recent
from functions.function_url import Reply, Request, refusal, serve
from functions.route.states import States, View
from functions.settings import RouteSettings, load, running_in_lambda
from functions.stores import clients
from functions.stores.errors import StoreError
from functions.stores.messages import RecordLines, pack_lines
from functions.stores.queues import Queue
from functions.stores.records import Spool
from functions.stores.registry import Registry
from functions.stores.secrets import KeyRing
from functions.stores.state import StateStore
from policy_engine.decision import Circumstances, Decision, decide, decision_id_for
from policy_engine.receipt import receipt_body, reply, seal
from policy_engine.table import Table, compile_table
from policy_engine.token import mint
from policy_engine.wire import RequestError, RouteRequest, parse_route
from policy_lang.admission import AdmissionError, admit
from policy_lang.catalog import default_catalog

__all__ = ["RouteStores", "Router", "handler"]

PATH = "/v1/route"
_NAMED_TABLES = 512
# Inline policies have a memory of their own: a caller who sends ever new ones cannot push the published ones out.
_INLINE_TABLES = 32


@dataclass(frozen=True, slots=True)
class RouteStores:
    """Everything that `route` reads from or writes to."""

    registry: Registry
    state: StateStore
    receipts: Queue
    spool: Spool
    keys: KeyRing


class Router:
    """Answers route requests; holds caches only, so that any environment gives the same answer to the same event."""

    def __init__(self, stores: RouteStores, state_max_age_ms: int) -> None:
        self._stores = stores
        self._authenticator = Authenticator(stores.registry)
        self._states = States(stores.state, state_max_age_ms)
        self._named: Recent[tuple[str, str], Table] = Recent(_NAMED_TABLES)
        self._inline: Recent[tuple[str, str], Table] = Recent(_INLINE_TABLES)

    def answer(self, request: Request) -> Reply:
        """The reply to one request; RequestError and StoreError where there is none."""
        if request.path != PATH:
            raise RequestError(404, "unknown_path", f"routing is `POST {PATH}`")
        if request.method != "POST":
            raise RequestError(405, "method_not_allowed", f"routing is `POST {PATH}`")
        tenant = self._authenticator.tenant_of(request)
        wanted = parse_route(request.body)
        view = self._states.view(tenant, request.now_ms)
        table = self._table(wanted, view)
        keys = self._stores.keys.at(request.now_ms)
        decision = decide(wanted, table, view.state.snapshot, _circumstances(request, tenant, wanted, view))
        self._keep(wanted, decision, view)
        if decision.status == "no_candidates":
            return _nobody(decision)
        token = mint(decision.claims(), keys)
        return Reply(200, reply(decision, token), _facts(decision), _counts(decision))

    def _table(self, wanted: RouteRequest, view: View) -> Table:
        if wanted.inline is not None:
            return self._inline_table(wanted.inline, view)
        assert wanted.policy is not None
        fingerprint = view.state.aliases.get(wanted.policy)
        if fingerprint is None:
            message = f"no policy `{wanted.policy}` is published; POST it to /v1/policies/{wanted.policy}"
            raise RequestError(404, "unknown_policy", message)
        key = (fingerprint, view.catalog.fingerprint)
        table = self._named.get(key)
        if table is None:
            published = view.state.policies[fingerprint]
            table = self._named.put(key, compile_table(published.policy, view.catalog, published.lines))
        return table

    def _inline_table(self, document: Mapping[str, Any], view: View) -> Table:
        digest = sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()
        key = (digest, view.catalog.fingerprint)
        table = self._inline.get(key)
        if table is None:
            try:
                policy = admit(document)
            except AdmissionError as problem:
                raise RequestError(400, "invalid_ir", str(problem)) from None
            table = self._inline.put(key, compile_table(policy, view.catalog))
        return table

    def _keep(self, wanted: RouteRequest, decision: Decision, view: View) -> None:
        """Make the receipt durable: in the queue, or else in the spool that `watch` empties into the queue."""
        now = decision.circumstances
        line = seal(receipt_body(wanted, decision, view.state.snapshot))
        message = pack_lines(RecordLines(now.tenant, "receipt", now.now_ms, (line,)))
        try:
            self._stores.receipts.send(message)
        except StoreError:
            self._stores.spool.put(now.tenant, now.decision_id, message)


def handler(event: Mapping[str, Any], _context: object) -> dict[str, Any]:
    """Function URL entry."""
    return serve("route", event, router().answer)


@cache
def router() -> Router:
    """The environment's router, built from its settings."""
    settings = load(RouteSettings)
    default_catalog()  # read now, so that it is part of what SnapStart restores
    dynamodb, s3, sqs = (clients.impatient(service) for service in ("dynamodb", "s3", "sqs"))
    stores = RouteStores(
        registry=Registry(dynamodb, settings.state_table),
        state=StateStore(dynamodb, s3, settings.state_table, settings.state_bucket),
        receipts=Queue(sqs, settings.records_queue_url, "receipt_unavailable"),
        spool=Spool(s3, settings.records_bucket),
        keys=KeyRing(clients.impatient("secretsmanager"), settings.signing_secret_arn),
    )
    return Router(stores, settings.state_max_age_ms)


def _circumstances(request: Request, tenant: str, wanted: RouteRequest, view: View) -> Circumstances:
    entropy = json.dumps([tenant, wanted.idempotency_key or request.request_id, bool(wanted.idempotency_key)])
    return Circumstances(
        tenant=tenant,
        decision_id=decision_id_for(request.now_ms, entropy.encode()),
        now_ms=request.now_ms,
        breakers=view.state.breakers,
        degraded=view.degraded,
        state_age_ms=view.age_ms,
    )


def _nobody(decision: Decision) -> Reply:
    refused = refusal(
        422,
        "no_candidates",
        "every candidate fails a gate, and so does every fallback",
        decision_id=decision.circumstances.decision_id,
        route=decision.route,
        candidates=json.loads(decision.cell.reply_json),
    )
    return Reply(422, refused.text, {**refused.facts, **_facts(decision)}, {"NoCandidates": 1, **_counts(decision)})


def _facts(decision: Decision) -> dict[str, Any]:
    return {
        "tenant": decision.circumstances.tenant,
        "routing.decision.id": decision.circumstances.decision_id,
        "routing.lane": decision.route,
        "routing.policy.fingerprint": decision.policy_fingerprint,
        "routing.explore": decision.explored,
        "routing.propensity": decision.propensity_ppm,
        "arm": decision.arm,
    }


def _counts(decision: Decision) -> dict[str, int]:
    degraded = decision.circumstances.degraded
    outlook = decision.cell.outlook
    diverted = outlook is not None and decision.arm not in (None, outlook.baseline.arm)
    counts = {"Explored": decision.explored, "Diverted": diverted, "Degraded": degraded}
    return {"Decisions": 1, **{name: int(counted) for name, counted in counts.items()}}


if running_in_lambda():
    router()
