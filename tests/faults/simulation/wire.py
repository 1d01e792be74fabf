"""Between the functions and AWS: what the case loses, refuses and delays. Time is counted and costs none."""

from __future__ import annotations

import json
import random
from collections import Counter

from botocore.awsrequest import AWSResponse
from botocore.exceptions import EndpointConnectionError, ReadTimeoutError
from moto.core.botocore_stubber import MockRawResponse
from moto.core.models import botocore_stubber
from simulation.boxes import Box
from simulation.case import Case

WRITES = (
    "DeleteObject",
    "Invoke",
    "PutItem",
    "PutObject",
    "SendMessage",
    "SendMessageBatch",
    "TransactWriteItems",
    "UpdateItem",
)
# Seconds that a caller waits in vain: as set in functions/stores/clients.py for the request path.
CONNECT_S, READ_S = 0.5, 1.0


class Wire:
    """Between the stores' SDK and moto. A fault that the SDK would see is what it gets: it retries on its own."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.faults = Case()
        self.down: frozenset[str] = frozenset()
        self.waited_s = 0.0
        self.calls: list[str] = []
        self.seen: Counter[str] = Counter()
        self.boxes: dict[str, Box] = {}
        self.spooled = 0

    def attach(self, session) -> None:
        emitter = session.get_component("event_emitter")
        emitter.unregister("before-send", botocore_stubber)
        emitter.register("before-send", self)

    def sleep(self, seconds: float) -> None:
        self.waited_s += seconds

    def __call__(self, event_name: str, request, **_):
        _, service, operation = event_name.split(".")
        service = service.replace("-", "")
        self.calls.append(f"{service}.{operation}")
        if service == "s3" and operation == "PutObject" and "/spool/" in request.url:
            self.spooled += 1
        if service in self.down:
            self.seen["refused"] += 1
            self.waited_s += CONNECT_S
            raise EndpointConnectionError(endpoint_url=request.url)
        if self._strikes(self.faults.throttled):
            self.seen["throttled"] += 1
            return _throttle(request.url, service)
        if operation == "TransactWriteItems" and self._strikes(self.faults.conflicts):
            self.seen["conflicts"] += 1
            return _conflict(request)
        answer = self._answer(operation, request) or botocore_stubber(event_name, request)
        if operation in WRITES and self._strikes(self.faults.lost):
            self.seen["lost"] += 1
            self.waited_s += READ_S
            raise ReadTimeoutError(endpoint_url=request.url)
        return answer

    def _strikes(self, share: float) -> bool:
        return share > 0 and self.chance.random() < share

    def _answer(self, operation: str, request):
        """The scheduler's own queues; None for what is moto's."""
        if operation not in ("SendMessage", "SendMessageBatch"):
            return None
        asked = json.loads(request.body)
        box = self.boxes.get(asked["QueueUrl"])
        if box is None:
            return None
        if operation == "SendMessage":
            return _json(request.url, 200, {"MessageId": box.put(asked["MessageBody"])})
        sent, refused = [], []
        for entry in asked["Entries"]:
            if self._strikes(self.faults.throttled):
                self.seen["refused in part"] += 1
                refused.append({"Id": entry["Id"], "Code": "ThrottlingException", "SenderFault": False})
            else:
                sent.append({"Id": entry["Id"], "MessageId": box.put(entry["MessageBody"])})
        return _json(request.url, 200, {"Successful": sent, "Failed": refused})


def _json(url: str, status: int, document: dict) -> AWSResponse:
    headers = {"content-type": "application/x-amz-json-1.0"}
    return AWSResponse(url, status, headers, MockRawResponse(json.dumps(document)))


def _throttle(url: str, service: str) -> AWSResponse:
    if service == "s3":
        return AWSResponse(url, 503, {}, MockRawResponse("<Error><Code>SlowDown</Code><Message>slow</Message></Error>"))
    return _json(url, 400, {"__type": "com.amazonaws#ThrottlingException", "message": "slow down"})


def _conflict(request) -> AWSResponse:
    writes = len(json.loads(request.body)["TransactItems"])
    reasons = [{"Code": "None"}] * (writes - 1) + [{"Code": "TransactionConflict"}]
    kind = "com.amazonaws.dynamodb.v20120810#TransactionCanceledException"
    return _json(request.url, 400, {"__type": kind, "message": "conflict", "CancellationReasons": reasons})
