"""The deployed functions on a local AWS that keeps books: what each invocation would be billed for, as it was sent.

Resources and settings are the template's, tables and buckets are moto's. Requests are counted after serialisation, on
the `before-send` hook, by the rules of the price lists: DynamoDB bills 1 KB units of an item (twice in a transaction,
and an update bills the whole item), SQS 64 KB chunks. Queues are lists here: a message sent is handed on by `deliver`,
in batches as large as the event source would make them. CPU is that of the process without moto, in which
one thread works at a time.
"""

from __future__ import annotations

import io
import json
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, redirect_stdout
from copy import deepcopy
from dataclasses import dataclass, field
from hashlib import md5
from typing import Any

from botocore.awsrequest import AWSResponse
from moto import mock_aws

from policy_cli.dev.events import HttpRequest, queue_event, schedule_event, url_event
from policy_cli.dev.execution import Execution, fresh_functions, lambda_environment
from policy_cli.dev.resources import Resources
from policy_cli.dev.template import read_template
from policy_cli.dev.transactions import itemwise_transactions

KB = 1024
CHUNK = 64 * KB
#: CloudWatch Logs adds this to every event it bills.
LOG_EVENT_BYTES = 26
PRINCIPAL = "arn:aws:iam::111111111111:role/bench"


@dataclass
class Usage:
    """What one function used. Units are those of the price list; `calls` by `service.Operation`."""

    invocations: int = 0
    cpu_s: float = 0.0
    calls: Counter[str] = field(default_factory=Counter)
    units: Counter[str] = field(default_factory=Counter)


@dataclass
class Response:
    """A raw HTTP body, as botocore reads it."""

    body: bytes

    def stream(self) -> Iterator[bytes]:
        yield self.body


class Metered:
    """One deployment with one tenant, `bench`; use it with `with`."""

    def __init__(self) -> None:
        self.used: dict[str, Usage] = defaultdict(Usage)
        #: Service and name of every metric emitted: each is billed by the month.
        self.metrics: set[tuple[str, str]] = set()
        self.now_ms = 1_790_000_000_000
        self._waiting: dict[str, list[dict[str, Any]]] = defaultdict(list)
        self._out = io.StringIO()
        self._requests = 0
        self._function = ""
        self._away_s = self._left_s = 0.0
        self._asks: list[tuple[str, Any]] = []
        # An update bills the item as it then is; items only grow, so their size at the end is billed for every update.
        self._updated: Counter[tuple[str, str, str, int]] = Counter()

    def __enter__(self) -> Metered:
        template = read_template()
        with ExitStack() as started:
            started.enter_context(lambda_environment(verbose=True))
            started.enter_context(mock_aws())
            started.enter_context(itemwise_transactions())
            started.enter_context(fresh_functions())
            self.resources = Resources(template)
            self._execution = Execution(template, self.resources.variables, self._asked)
            # Here and not above: the handlers' own copies, which `fresh_functions` has just imported.
            from functions.stores import clients
            from functions.stores.registry import Registry

            events = clients._session().get_component("event_emitter")
            events.register_first("before-send.*.*", self._sent)
            events.register_last("before-send", self._received)
            events.register("after-call.dynamodb.*", self._read)
            registry = Registry(self.resources.client("dynamodb"), self.resources.name("StateTable"))
            registry.enrol("bench", principals=[PRINCIPAL])
            self.sources = {source.function: source for source in template.sources}
            # Of several rules for a function the most frequent one, which is the last to be put in.
            by_period = sorted(template.schedules, key=lambda schedule: -schedule.period_s)
            self._rules = {schedule.function: schedule.rule for schedule in by_period}
            self._exit = started.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._exit.close()

    def start_counting(self) -> None:
        """Forget what was used so far; what is cached and stored stays."""
        self.used.clear()
        self._updated.clear()

    def most_updated(self, function: str) -> int:
        """How often a function has updated the item that it updated most."""
        return max((times for (by, *_), times in self._updated.items() if by == function), default=0)

    def totals(self) -> dict[str, Usage]:
        """What each function used, with every update at its item's present size. What expires is kept for a while."""
        dynamodb = self.resources.client("dynamodb")
        for (function, table, key, factor), times in self._updated.items():
            item = dynamodb.get_item(TableName=table, Key=json.loads(key)).get("Item", {})
            units = self.used[function].units
            units["dynamodb write units"] += times * factor * _units(item_bytes(item))
            if "expires_at" in item:
                units["dynamodb items kept"] += 1
                units["dynamodb bytes kept"] += item_bytes(item)
        self._updated.clear()
        return deepcopy(dict(self.used))

    def post(self, function: str, path: str, document: Mapping[str, Any]) -> dict[str, Any]:
        """A request to a Function URL, signed by the tenant's role, and the reply's document."""
        body = json.dumps(document, separators=(",", ":")).encode()
        iam = {"userArn": PRINCIPAL, "accountId": "111111111111"}
        headers = {"content-type": "application/json", "host": "bench.lambda-url.us-east-1.on.aws"}
        request = HttpRequest("POST", path, "", headers, body, iam=iam)
        answer = self._call(function, url_event(request, self.now_ms, self._request_id()))
        assert answer["statusCode"] in (200, 202), answer
        units = self.used[function].units
        units["bytes in"] += len(body)
        units["bytes out"] += len(answer["body"])
        found: dict[str, Any] = json.loads(answer["body"])
        return found

    def schedule(self, function: str) -> None:
        """Run the most frequent schedule of a function, once."""
        self._call(function, schedule_event(self._rules[function], self.now_ms, self._request_id()))

    def waiting(self, function: str) -> int:
        """Messages in the queue of an event source."""
        return len(self._waiting[self._queue(function)])

    def deliver(self, function: str, most: int | None = None) -> int:
        """Invoke a consumer with one batch; how many messages it had. None may fail."""
        url = self._queue(function)
        size = most or self.sources[function].batch_size
        batch, self._waiting[url] = self._waiting[url][:size], self._waiting[url][size:]
        if not batch:
            return 0
        answer = self._call(function, queue_event(url.rpartition("/")[2], batch))
        assert answer == {"batchItemFailures": []}, answer
        units = self.used[function].units
        # The event source receives ten at a time and deletes ten at a time, at the queue's price.
        for first in range(0, len(batch), 10):
            received = sum(len(message["Body"]) for message in batch[first : first + 10])
            units["sqs requests"] += -(-received // CHUNK) + 1
        return len(batch)

    def _asked(self, function: str, event: Any) -> None:
        self._asks.append((function, event))

    def _catch_up(self) -> None:
        """Functions that others handed an event to, counted apart from those that a schedule runs."""
        while self._asks:
            function, event = self._asks.pop(0)
            self._call(function, event, f"{function}, asked for")

    def _queue(self, function: str) -> str:
        return self.resources.name(self.sources[function].queue)

    def _request_id(self) -> str:
        self._requests += 1
        return f"{self._requests:08x}-0000-4000-8000-000000000000"

    def _call(self, function: str, event: Mapping[str, Any], account: str | None = None) -> Any:
        self._function, self._away_s = account or function, 0.0
        used = self.used[self._function]
        written = self._out.tell()
        with redirect_stdout(self._out):
            start = time.process_time()
            answer = self._execution.call(function, event, "request")
            took = time.process_time() - start
        used.invocations += 1
        used.cpu_s += took - self._away_s
        lines = self._out.getvalue()[written:].splitlines()
        used.units["log lines"] += len(lines)
        used.units["log bytes"] += sum(len(line.encode()) + LOG_EVENT_BYTES for line in lines)
        for line in lines:
            self.metrics |= _metrics(json.loads(line))
        self._out.seek(0)
        self._out.truncate()
        self._catch_up()
        return answer

    def _sent(self, event_name: str, request: Any, **_: Any) -> AWSResponse | None:
        self._left_s = time.process_time()
        service, operation = event_name.split(".")[1:]
        used = self.used[self._function]
        used.calls[f"{service}.{operation}"] += 1
        if service == "sqs":
            return self._queued(request)
        if service == "dynamodb":
            self._written(operation, json.loads(request.body), used)
        elif service == "s3":
            kind = "s3 puts" if operation in ("PutObject", "ListObjectsV2", "CopyObject") else "s3 gets"
            used.units[kind] += 1
            if operation == "PutObject":
                used.units["s3 bytes stored"] += _length(request)
        elif service == "secrets-manager":
            used.units["secret reads"] += 1
        return None

    def _received(self, **_: Any) -> None:
        self._away_s += time.process_time() - self._left_s

    def _queued(self, request: Any) -> AWSResponse:
        document = json.loads(request.body)
        entries = document.get("Entries", [document])
        found = []
        for entry in entries:
            digest = md5(entry["MessageBody"].encode(), usedforsecurity=False).hexdigest()
            message = {"MessageId": self._request_id(), "Body": entry["MessageBody"], "MD5OfBody": digest}
            self._waiting[document["QueueUrl"]].append(message | {"ReceiptHandle": message["MessageId"]})
            found.append({"Id": entry.get("Id"), "MessageId": message["MessageId"], "MD5OfMessageBody": digest})
        size = sum(len(entry["MessageBody"].encode()) for entry in entries)
        self.used[self._function].units["sqs requests"] += -(-size // CHUNK)
        answer = {"Successful": found} if "Entries" in document else found[0]
        # moto answers whatever looks like AWS as well; the first answer counts, and moto's queues get slow when deep.
        request.url = "http://queue.invalid/"
        headers = {"Content-Type": "application/x-amz-json-1.0"}
        body = Response(json.dumps(answer).encode())
        return AWSResponse(request.url, 200, headers, body)  # type: ignore[arg-type]  # any mapping will do

    def _written(self, operation: str, document: Mapping[str, Any], used: Usage) -> None:
        writes: Sequence[Mapping[str, Any]] = document.get("TransactItems", ())
        if operation in ("PutItem", "UpdateItem", "DeleteItem"):
            writes = [{operation.removesuffix("Item"): document}]
        factor = 2 if operation == "TransactWriteItems" else 1
        for write in writes:
            for kind, each in write.items():
                if kind == "Put":
                    size = item_bytes(each["Item"])
                    used.units["dynamodb write units"] += factor * _units(size)
                    used.units["dynamodb items kept"] += 1
                    used.units["dynamodb bytes kept"] += size
                else:
                    key = json.dumps(each["Key"], sort_keys=True)
                    self._updated[self._function, each["TableName"], key, factor] += 1
                    used.units["dynamodb items updated"] += 1

    def _read(self, model: Any, parsed: Mapping[str, Any], **_: Any) -> None:
        if model.name in ("GetItem", "Query"):
            items = parsed.get("Items", [parsed["Item"]] if "Item" in parsed else [])
            size = sum(item_bytes(item) for item in items)
            # Half a unit for each 4 KB: eventually consistent. The few consistent ones are publishing's.
            self.used[self._function].units["dynamodb read units"] += 0.5 * max(1, -(-size // (4 * KB)))  # type: ignore[assignment]


def item_bytes(item: Mapping[str, Mapping[str, Any]]) -> int:
    """Size of an item of strings and numbers by DynamoDB's rules: UTF-8 names and strings, two digits a byte."""
    size = 0
    for name, value in item.items():
        kind, content = next(iter(value.items()))
        size += len(name.encode())
        if kind == "N":
            digits = content.lstrip("-").strip("0") or "0"
            size += (len(digits) + 1) // 2 + 1 + content.startswith("-")
        else:
            size += len(content.encode())
    return size


def _metrics(line: Mapping[str, Any]) -> set[tuple[str, str]]:
    records = line["_aws"]["CloudWatchMetrics"] if "_aws" in line else []
    return {(line["service"], metric["Name"]) for record in records for metric in record["Metrics"]}


def _length(request: Any) -> int:
    """Bytes of a body, which botocore may send as a stream, with its checksum after it."""
    stated = request.headers.get("X-Amz-Decoded-Content-Length") or request.headers.get("Content-Length")
    return int(stated) if stated else len(request.body)


def _units(size: int) -> int:
    return max(1, -(-size // KB))
