"""`POST /v1/telemetry`: authenticate, admit the whole batch or nothing, stamp it, hand it to the queue."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from functions.auth import Authenticator
from functions.function_url import Reply, Request, json_reply, serve
from functions.settings import IngestSettings, load, running_in_lambda
from functions.stores import clients
from functions.stores.messages import pack_telemetry
from functions.stores.queues import Queue
from functions.stores.registry import Registry
from policy_engine.wire import RequestError, parse_telemetry

__all__ = ["Ingester", "handler"]

PATH = "/v1/telemetry"


class Ingester:
    """Accepts telemetry. What was accepted is in the queue; a batch that got there in part is answered with 503, and
    the client sends it again: what arrives twice is counted once.
    """

    def __init__(self, registry: Registry, queue: Queue) -> None:
        self._authenticator = Authenticator(registry)
        self._queue = queue

    def answer(self, request: Request) -> Reply:
        """202 with the number of records accepted; RequestError and StoreError otherwise."""
        if request.path != PATH:
            raise RequestError(404, "unknown_path", f"telemetry is `POST {PATH}`")
        if request.method != "POST":
            raise RequestError(405, "method_not_allowed", f"telemetry is `POST {PATH}`")
        tenant = self._authenticator.tenant_of(request)
        records = parse_telemetry(request.body)
        self._queue.send_all(pack_telemetry(tenant, request.request_id, request.now_ms, records))
        facts = {"tenant": tenant, "accepted": len(records), "batch": request.request_id}
        return json_reply(202, {"accepted": len(records)}, facts=facts, counts={"TelemetryAccepted": len(records)})


def handler(event: Mapping[str, Any], _context: object) -> dict[str, Any]:
    """Function URL entry."""
    return serve("ingest", event, ingester().answer)


@cache
def ingester() -> Ingester:
    """The environment's ingester, built from its settings."""
    settings = load(IngestSettings)
    registry = Registry(clients.impatient("dynamodb"), settings.state_table)
    return Ingester(registry, Queue(clients.impatient("sqs"), settings.telemetry_queue_url, "telemetry_unavailable"))


if running_in_lambda():
    ingester()
