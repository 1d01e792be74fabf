"""`POST /v1/route`: authenticate, decide, make the receipt durable, reply: in this order, never without a receipt."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from typing import Any

from functions.auth import Authenticator
from functions.function_url import Reply, Request, json_reply, refusal, serve
from functions.route.metering import Meter, strained
from functions.route.receipts import Receipts
from functions.route.replies import Replies
from functions.route.sessions import Sessions
from functions.route.states import States, View
from functions.route.tables import Assigned, Tables
from functions.settings import RouteSettings, load, running_in_lambda
from functions.stores import clients
from functions.stores.backups import Backups
from functions.stores.errors import StoreError
from functions.stores.ledger import Ledger
from functions.stores.queues import Queue
from functions.stores.records import Spool
from functions.stores.registry import Registry
from functions.stores.secrets import KeyRing
from functions.stores.state import StateStore
from policy_engine import attributes as names
from policy_engine.breakers import LONGEST_COOL_DOWN_MS, standing
from policy_engine.budgets import BudgetReading
from policy_engine.decision import Circumstances, Decision, decide, decision_id_for
from policy_engine.limits import booked_cluster
from policy_engine.packing import packed
from policy_engine.receipt import receipt_body, reply, seal, sign_receipt
from policy_engine.token import SigningKeys, TokenClaims, mint
from policy_engine.wire import RequestError, RouteRequest, parse_receipts, parse_route
from policy_lang.catalog import default_catalog
from policy_lang.frozen import frozen

__all__ = ["RouteStores", "Router", "handler"]

PATH = "/v1/route"
CARRIED_PATH = "/v1/receipts"


@frozen
class RouteStores:
    """Everything that `route` reads from or writes to."""

    registry: Registry
    state: StateStore
    backups: Backups
    receipts: Receipts
    keys: KeyRing
    ledger: Ledger


class Router:
    """Answers route requests; holds caches only, so that any environment gives the same answer to the same event."""

    def __init__(self, stores: RouteStores, state_max_age_ms: int, state_copy_limit_ms: int) -> None:
        self._stores = stores
        self._authenticator = Authenticator(stores.registry, stores.backups)
        self._states = States(stores.state, stores.backups, state_max_age_ms, state_copy_limit_ms)
        self._tables = Tables()
        self._meter = Meter(stores.ledger)
        self._replies = Replies(stores.ledger)
        self._sessions = Sessions(stores.ledger)

    def answer(self, request: Request) -> Reply:
        """The reply to one request; RequestError and StoreError where there is none."""
        if request.path not in (PATH, CARRIED_PATH):
            raise RequestError(404, "unknown_path", f"routing is `POST {PATH}`")
        if request.method != "POST":
            raise RequestError(405, "method_not_allowed", f"routing is `POST {PATH}`")
        tenant = self._authenticator.tenant_of(request)
        if request.path == CARRIED_PATH:
            return self._returned(tenant, request)
        wanted = parse_route(request.body)
        given = self._replies.given(tenant, wanted, request.now_ms)
        if given is not None:
            return given
        mine, decision = self._decided(request, tenant, wanted)
        reply, stands = self._replies.keep(decision.circumstances, wanted, mine)
        if stands:
            self._meter.charge(decision)
            self._sessions.keep(wanted, decision)
        return reply

    def _decided(self, request: Request, tenant: str, wanted: RouteRequest) -> tuple[Reply, Decision]:
        """A reply whose receipt is durable. Nothing is charged yet, for under a key another's may be given."""
        view = self._states.view(tenant, request.now_ms, wanted.policy)
        keys = self._stores.keys.at(request.now_ms)
        decision_id = packed(_decision_id(request, tenant, wanted), view.state.packing)
        assigned, budgets = self._assigned(wanted, view, decision_id, tenant, request.now_ms)
        wanted, table, lane = assigned.wanted, assigned.table, assigned.lane
        breakers, half_open = standing(view.state.breakers, table.policy.fallback, request.now_ms)
        if view.age_ms > LONGEST_COOL_DOWN_MS:
            # What its probes find reaches no state while the tables are down, so a half-open one would never close.
            half_open = frozenset()
        circumstances = Circumstances(
            tenant=tenant,
            decision_id=decision_id,
            now_ms=request.now_ms,
            breakers=breakers,
            half_open=half_open,
            pin=self._sessions.pin(wanted, tenant, keys),
            budgets=budgets,
            lane=lane,
            degraded=view.degraded,
            state_age_ms=view.age_ms,
        )
        decision = decide(wanted, table, view.state.snapshot, circumstances)
        carried = self._kept(wanted, decision, view, keys)
        if decision.status != "served":
            return _nobody(decision, carried), decision
        pin = self._sessions.carried(wanted, decision, keys)
        answer = reply(decision, mint(_booked(decision, view), keys), pin)
        if carried:
            answer = f'{answer[:-1]},"receipt":"{carried}"}}'
        return Reply(200, answer, _facts(decision, carried), _counts(decision, carried)), decision

    def _assigned(
        self, wanted: RouteRequest, view: View, decision_id: str, tenant: str, now_ms: int
    ) -> tuple[Assigned, tuple[BudgetReading, ...]]:
        """What decides the call, and what the accounts that cover it have used."""
        assigned = self._tables.deciding(wanted, view, decision_id, now_ms)
        budgets = self._meter.readings(assigned, view, tenant, now_ms)
        if not strained(assigned, budgets):
            return assigned, budgets
        main = self._tables.deciding(wanted, view, decision_id, now_ms, canaries=False)
        if assigned.table is main.table:
            return main, budgets
        return main, self._meter.readings(main, view, tenant, now_ms, counted=True)

    def _kept(self, wanted: RouteRequest, decision: Decision, view: View, keys: SigningKeys) -> str | None:
        """Make the receipt durable; where nothing can keep it and the caller offered to, sign it to be carried."""
        line = seal(receipt_body(wanted, decision, view.state.snapshot))
        try:
            self._stores.receipts.keep(line, decision.circumstances)
        except StoreError:
            if not wanted.carry_receipt:
                raise
            return sign_receipt(line, keys)
        return None

    def _returned(self, tenant: str, request: Request) -> Reply:
        """202 once every receipt that a caller carried is durable."""
        carried = parse_receipts(request.body)
        self._stores.receipts.take_back(tenant, carried, self._stores.keys.at(request.now_ms))
        facts = {"tenant": tenant, "returned": len(carried)}
        return json_reply(202, {"accepted": len(carried)}, facts=facts, counts={"ReceiptsReturned": len(carried)})


def handler(event: Mapping[str, Any], _context: object) -> dict[str, Any]:
    """Function URL entry."""
    return serve("route", event, router().answer)


@cache
def router() -> Router:
    """The environment's router, built from its settings."""
    settings = load(RouteSettings)
    default_catalog()  # read now, so that it is part of what SnapStart restores
    dynamodb, s3, sqs = (clients.impatient(service) for service in ("dynamodb", "s3", "sqs"))
    keys = KeyRing(clients.impatient("secretsmanager"), settings.signing_secret_arn)
    stores = RouteStores(
        registry=Registry(dynamodb, settings.state_table),
        state=StateStore(dynamodb, s3, settings.state_table, settings.state_bucket),
        backups=Backups(s3, settings.state_bucket, keys),
        receipts=Receipts(
            Queue(sqs, settings.records_queue_url, "receipt_unavailable"), Spool(s3, settings.state_bucket)
        ),
        keys=keys,
        ledger=Ledger(dynamodb, settings.ledger_table),
    )
    return Router(stores, settings.state_max_age_ms, settings.state_copy_limit_ms)


def _booked(decision: Decision, view: View) -> TokenClaims:
    """The claims of a decision, under the cluster whose cell it teaches."""
    claims, state = decision.claims(), view.state
    return replace(claims, cluster=booked_cluster(claims.cluster, claims.task, state.snapshot, state.limits))


def _decision_id(request: Request, tenant: str, wanted: RouteRequest) -> str:
    # The key alone would give two requests of one millisecond one id, and so two receipts that differ.
    entropy = json.dumps([tenant, request.request_id, wanted.idempotency_key or False])
    return decision_id_for(request.now_ms, entropy.encode())


def _nobody(decision: Decision, carried: str | None) -> Reply:
    status, code, message = 422, "no_candidates", "every candidate fails a gate, and so does every fallback"
    if (used_up := decision.budget.binding) is not None and decision.status == "denied":
        whose = used_up.scope if used_up.name is None else f"{used_up.scope} `{used_up.name}`"
        status, code, message = 429, "budget_denied", f"the budget of {whose} for this {used_up.period} is used up"
    refused = refusal(
        status,
        code,
        message,
        decision_id=decision.circumstances.decision_id,
        route=decision.route,
        budget=decision.budget.document(),
        candidates=json.loads(decision.cell.reply_json),
        **({"receipt": carried} if carried else {}),
    )
    counts = {"NoCandidates" if decision.status == "no_candidates" else "BudgetDenied": 1, **_counts(decision, carried)}
    return Reply(status, refused.text, {**refused.facts, **_facts(decision, carried)}, counts)


def _facts(decision: Decision, carried: str | None) -> dict[str, Any]:
    return ({"carried": True} if carried else {}) | {
        "tenant": decision.circumstances.tenant,
        names.DECISION_ID: decision.circumstances.decision_id,
        names.LANE: decision.circumstances.lane.policy or decision.mode,
        names.ROUTE: decision.route,
        names.POLICY_FINGERPRINT: decision.policy_fingerprint,
        names.EXPLORE: decision.explored,
        names.PROPENSITY: decision.propensity_ppm,
        **_called(decision.arm),
    }


def _called(arm: str | None) -> dict[str, str]:
    """The model that is about to be called; nothing where nobody serves."""
    if arm is None:
        return {}
    provider, _, model = arm.partition("/")
    return {names.PROVIDER: names.provider_name(provider), names.REQUEST_MODEL: model, names.ARM: arm}


def _counts(decision: Decision, carried: str | None) -> dict[str, int]:
    degraded = decision.circumstances.degraded
    outlook = decision.cell.outlook
    diverted = outlook is not None and decision.arm not in (None, outlook.baseline.model.arm)
    counts = {"Explored": decision.explored, "Diverted": diverted, "Degraded": degraded}
    if carried:
        counts["ReceiptsCarried"] = True
    return {"Decisions": 1, **{name: int(counted) for name, counted in counts.items()}}


if running_in_lambda():
    router()
