"""The whole service in one process: the template's resources in moto, its handlers behind a port, its queues polled."""

from __future__ import annotations

import json
import threading
import traceback
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from moto import mock_aws

from policy_cli.dev.aws import answered_by_moto
from policy_cli.dev.clocks import wall_clock
from policy_cli.dev.events import HttpRequest, schedule_event, url_event
from policy_cli.dev.execution import Execution, fresh_functions, heard, lambda_environment
from policy_cli.dev.resources import Resources
from policy_cli.dev.server import Answer, HttpServer
from policy_cli.dev.sigv4 import Identity, SignatureRefused, verified
from policy_cli.dev.sources import DEPTH_LIMIT, Poller, depth
from policy_cli.dev.template import TEMPLATE, Schedule, Source, read_template
from policy_cli.dev.tenants import LocalTenant, local_tenant
from policy_cli.dev.transactions import itemwise_transactions

__all__ = ["DOORS", "LocalStack"]

#: Which function a path belongs to. In AWS each has an address of its own.
DOORS = {
    "/v1/route": "RouteFunction",
    "/v1/receipts": "RouteFunction",
    "/v1/telemetry": "IngestFunction",
    "/v1/policies/": "PublishFunction",
    "/v1/aliases/": "PublishFunction",
}


# moto, the environment and the handlers' modules are the process's own.
_only_one = threading.Lock()
# Asking for a queue's depth costs about as much as a message does.
_DEPTH_ASKED_EVERY = 8
_STREAM = "local"


class LocalStack:
    """Use it with `with`: it serves inside, and has worked off every queue when it is left.

    clock: the time that events carry. background: threads poll queues and keep schedules as AWS would; without it they
    wait for `pump` and `run_schedules`, which is deterministic. seed: request ids, and with them decision ids, are the
    same in every run. verbose: handlers log to standard output. aws_port: serve moto to other processes there too, and
    keep what the functions log in their log groups. One stack at a time in a process.
    """

    def __init__(
        self,
        *,
        clock: Callable[[], int] = wall_clock,
        background: bool = False,
        seed: int | None = None,
        port: int = 0,
        aws_port: int | None = None,
        verbose: bool = False,
        template: Path = TEMPLATE,
    ) -> None:
        self.clock = clock
        #: Set on the way out: messages that ended in a dead-letter queue, by the queue they were meant for.
        self.left: Mapping[str, int] = {}
        self._background, self._seed, self._port, self._verbose = background, seed, port, verbose
        self._aws_port = aws_port
        self._aws: HttpServer | None = None
        self._template = read_template(template)
        self._identities: dict[str, Identity] = {}
        self._issued: Counter[str] = Counter()
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []
        self._journals: set[str] = set()

    def __enter__(self) -> LocalStack:
        if not _only_one.acquire(blocking=False):
            raise RuntimeError("a process can hold stacks only one at a time")
        with ExitStack() as started:
            started.callback(_only_one.release)
            started.enter_context(lambda_environment(verbose=self._verbose))
            started.enter_context(mock_aws())
            started.enter_context(itemwise_transactions())
            started.enter_context(fresh_functions())
            self.resources = Resources(self._template)
            if self._aws_port is not None:
                started.enter_context(heard(self._journal))
            self._execution = Execution(self._template, self.resources.variables)
            self._pollers = [self._poller(source) for source in self._template.sources]
            self._server = HttpServer(self._answer, self._port)
            if self._aws_port is not None:
                self._aws = HttpServer(self._answer_as_aws, self._aws_port)
            self._exit = started.pop_all()
        if self._background:
            self._start_threads()
        return self

    def __exit__(self, *_: object) -> None:
        with self._exit:
            self._server.close()
            if self._aws is not None:
                self._aws.close()
            self._stop.set()
            for thread in self._threads:
                thread.join()
            self.pump()
            self.left = self.dead_letters()

    @property
    def url(self) -> str:
        """Origin of all three Function URLs."""
        return self._server.url

    @property
    def aws_url(self) -> str | None:
        """Where other processes reach the tables, queues and buckets; None without `aws_port`."""
        return self._aws.url if self._aws is not None else None

    def enrol(self, name: str) -> LocalTenant:
        """Register a tenant with one HMAC key and one IAM user. ValueError for an ill-formed name."""
        # Here and not above: the handlers' own copy, which `fresh_functions` has just imported.
        from functions.stores.registry import Registry

        tenant = local_tenant(name)
        with self._execution.turn:
            registry = Registry(self.resources.client("dynamodb"), self.resources.name("StateTable"))
            registry.enrol(name, principals=[tenant.identity.arn], keys={tenant.key_id: tenant.secret})
            self._identities[tenant.identity.access_key_id] = tenant.identity
        return tenant

    def pump(self) -> int:
        """Work off all queues, the ones that fill on the way too; how many messages were delivered.

        Messages that keep failing are in their dead-letter queue afterwards.
        """
        delivered = 0
        with self._execution.turn:
            while now := sum(poller.drain(retry=True) for poller in self._pollers):
                delivered += now
        return delivered

    def run_schedules(self) -> None:
        """Run what is scheduled, once, at the time of `clock`. Raises what a handler raises."""
        for schedule in self._template.schedules:
            self._run(schedule)

    def dead_letters(self) -> dict[str, int]:
        """Messages given up, by the queue they were meant for; empty when all is well."""
        sqs, found = self.resources.client("sqs"), {}
        for name, resource in self._template.document["Resources"].items():
            redrive = resource.get("Properties", {}).get("RedrivePolicy")
            if redrive:
                url = self.resources.name(redrive["deadLetterTargetArn"]["Fn::GetAtt"][0])
                found[name] = depth(sqs, url)
        return {name: count for name, count in found.items() if count}

    def _answer(self, request: HttpRequest) -> Answer:
        try:
            request = verified(request, self._identities, datetime.now(UTC))
        except SignatureRefused as problem:
            return _message(403, str(problem))
        function = next((name for prefix, name in DOORS.items() if request.path.startswith(prefix)), None)
        if function is None:
            return _message(404, f"the paths here are {', '.join(DOORS)}")
        with self._execution.turn:
            self._make_room()
            request_id = self._issue(function)
            try:
                event = url_event(request, self.clock(), request_id)
                answer: Answer = self._execution.call(function, event, request_id)
            except Exception:  # noqa: BLE001 - as in AWS, a function that raises is the function's failure alone
                traceback.print_exc()
                return _message(502, "Internal Server Error")
            return answer

    def _answer_as_aws(self, request: HttpRequest) -> Answer:
        with self._execution.turn:
            return answered_by_moto(request)

    def _journal(self, service: str, line: str) -> None:
        """What a function says goes where Lambda would put it."""
        group = f"{service.capitalize()}Logs"
        logs, where = self.resources.client("logs"), {"logGroupName": self.resources.name(group)}
        if service not in self._journals:
            logs.create_log_stream(**where, logStreamName=_STREAM)
            self._journals.add(service)
        # The time of day, whatever the clock of the events: log groups refuse what comes from the future.
        event = {"timestamp": wall_clock(), "message": line}
        logs.put_log_events(**where, logStreamName=_STREAM, logEvents=[event])

    def _make_room(self) -> None:
        """Backpressure: who would add to a long queue works it off first."""
        if sum(self._issued.values()) % _DEPTH_ASKED_EVERY == 0:
            for poller in self._pollers:
                if poller.depth() >= DEPTH_LIMIT:
                    poller.drain(retry=not self._background)

    def _issue(self, kind: str) -> str:
        """A request id. Counted per kind, so that telemetry arriving sooner or later changes no decision's id."""
        self._issued[kind] += 1
        if self._seed is None:
            return str(uuid4())
        return str(UUID(bytes=sha256(f"{self._seed}\n{kind}\n{self._issued[kind]}".encode()).digest()[:16]))

    def _poller(self, source: Source) -> Poller:
        def invoke(event: Mapping[str, Any]) -> Any:
            return self._execution.call(source.function, event, self._issue(source.function))

        return Poller(source, self.resources.client("sqs"), self.resources.name(source.queue), invoke)

    def _run(self, schedule: Schedule) -> None:
        with self._execution.turn:
            event_id = self._issue(schedule.function)
            self._execution.call(schedule.function, schedule_event(schedule.rule, self.clock(), event_id), event_id)

    def _start_threads(self) -> None:
        runs: list[tuple[str, Callable[..., None], tuple[Any, ...]]]
        runs = [(poller.source.queue, poller.run, (self._execution.turn, self._stop)) for poller in self._pollers]
        runs += [(schedule.rule, self._keep, (schedule,)) for schedule in self._template.schedules]
        for name, run, arguments in runs:
            self._threads.append(threading.Thread(target=run, args=arguments, name=name, daemon=True))
            self._threads[-1].start()

    def _keep(self, schedule: Schedule) -> None:
        while not self._stop.wait(schedule.period_s):
            try:
                self._run(schedule)
            except Exception:  # noqa: BLE001 - the next period tries again, as in AWS
                traceback.print_exc()


def _message(status: int, text: str) -> Answer:
    """What Lambda itself answers, before or instead of a function."""
    return {
        "statusCode": status,
        "headers": {"content-type": "application/json"},
        "body": json.dumps({"Message": text}),
    }
