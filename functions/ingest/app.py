"""`POST /v1/telemetry`: authenticate, admit the whole batch or nothing, stamp it, hand it to the queue."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from hashlib import sha256
from typing import Any

from functions.auth import Authenticator
from functions.function_url import Reply, Request, json_reply, serve
from functions.settings import IngestSettings, load, running_in_lambda
from functions.stores import clients
from functions.stores.errors import StoreError
from functions.stores.ledger import Answered, Ledger
from functions.stores.messages import pack_telemetry
from functions.stores.queues import Queue
from functions.stores.registry import Registry
from policy_engine.wire import RequestError, TelemetryBatch, conflict, parse_telemetry, record_to_wire

__all__ = ["Ingester", "handler"]

PATH = "/v1/telemetry"


class Ingester:
    """Accepts telemetry. What was accepted is in the queue; a batch that got there in part is answered with 503, and
    the client sends it again: what arrives twice is counted once.

    Under an idempotency key a batch that is sent again is the one that was accepted first: its records keep their ids
    and the time they came in, so that each of them ends in one state. Without the ledger they keep their ids alone.
    """

    def __init__(self, registry: Registry, ledger: Ledger, queue: Queue) -> None:
        self._authenticator = Authenticator(registry)
        self._ledger = ledger
        self._queue = queue

    def answer(self, request: Request) -> Reply:
        """202 with the number of records accepted; RequestError and StoreError otherwise."""
        if request.path != PATH:
            raise RequestError(404, "unknown_path", f"telemetry is `POST {PATH}`")
        if request.method != "POST":
            raise RequestError(405, "method_not_allowed", f"telemetry is `POST {PATH}`")
        tenant = self._authenticator.tenant_of(request)
        batch = parse_telemetry(request.body)
        name, received_ms = request.request_id, request.now_ms
        if batch.idempotency_key is not None:
            name = sha256(f"{tenant} {batch.idempotency_key}".encode()).hexdigest()[:32]
            received_ms = self._first_received(tenant, batch, request.now_ms)
        accepted = len(batch.records)
        self._queue.send_all(pack_telemetry(tenant, name, received_ms, batch.records))
        facts = {"tenant": tenant, "accepted": accepted, "batch": name}
        return json_reply(202, {"accepted": accepted}, facts=facts, counts={"TelemetryAccepted": accepted})

    def _first_received(self, tenant: str, batch: TelemetryBatch, now_ms: int) -> int:
        """When the batch of this key came in for the first time; RequestError 409 where that was another batch."""
        assert batch.idempotency_key is not None
        digest = sha256(json.dumps([record_to_wire(record) for record in batch.records]).encode()).hexdigest()
        mine = Answered(digest, 202, now_ms)
        try:
            kept = self._ledger.answer(tenant, "telemetry", batch.idempotency_key, mine)
        except StoreError:
            return now_ms
        if kept.digest != digest:
            raise conflict()
        return kept.at_ms


def handler(event: Mapping[str, Any], _context: object) -> dict[str, Any]:
    """Function URL entry."""
    return serve("ingest", event, ingester().answer)


@cache
def ingester() -> Ingester:
    """The environment's ingester, built from its settings."""
    settings = load(IngestSettings)
    dynamodb = clients.impatient("dynamodb")
    return Ingester(
        Registry(dynamodb, settings.state_table),
        Ledger(dynamodb, settings.ledger_table),
        Queue(clients.impatient("sqs"), settings.telemetry_queue_url, "telemetry_unavailable"),
    )


if running_in_lambda():
    ingester()
