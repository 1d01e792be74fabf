"""A deployment under faults: the template's functions on moto, and a seeded scheduler between them in place of AWS.

Messages travel through boxes of the scheduler's own, at least once and in any order; every other call to AWS goes to
moto by way of `Wire`, which loses, refuses and delays what the case says. Time is the scheduler's: sleeping costs none.
"""

from __future__ import annotations

import gc
import json
import random
import tomllib
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, field
from hashlib import sha256
from importlib import import_module
from pathlib import Path

import moto
import pytest
from botocore.awsrequest import AWSResponse
from botocore.exceptions import EndpointConnectionError, ReadTimeoutError
from botocore.loaders import Loader
from moto.core.botocore_stubber import MockRawResponse
from moto.core.models import botocore_stubber

from policy_cli.commands.redrive import redriven
from policy_cli.deployment import Deployment
from policy_cli.dev.events import ACCOUNT, HttpRequest, schedule_event, url_event
from policy_cli.dev.execution import Execution, fresh_functions, lambda_environment
from policy_cli.dev.resources import Resources
from policy_cli.dev.template import REGION, read_template
from policy_cli.dev.transactions import itemwise_transactions
from policy_cli.doctor.reading import Asked, books_of, look_at_queues
from policy_engine.accounting import Witness, balance
from policy_engine.decision import decision_id_for
from policy_engine.receipt import open_sealed

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
NOW = 1_790_000_000_000
TENANTS = ("acme", "globex")
CASES = {case.pop("name"): case for case in tomllib.loads((HERE / "cases.toml").read_text())["case"]}
WRITES = ("SendMessage", "SendMessageBatch", "TransactWriteItems", "PutItem", "UpdateItem", "PutObject", "DeleteObject")
# Reading the models of the services takes longer than a case: all sessions share what one has read.
LOADER = Loader()
# Seconds that a caller waits in vain: as set in functions/stores/clients.py for the request path.
CONNECT_S, READ_S = 0.5, 1.0

POLICY = """policy "acme/support" language 1

tasks label, chat
tier small = [claude-haiku-4-5, gpt-5-mini]
tier large = [claude-sonnet-4-5]

forbid "the org is frozen" when org == frozen

route labelling when task == label {
  use small, large
  floor success >= 90% proven 90%
  until proven serve claude-sonnet-4-5
  pick cheapest
  explore at most 20%, 40% while unproven, $2/day
}
default route general { use small  pick cheapest }
fallback claude-haiku-4-5
baseline claude-sonnet-4-5
"""


@dataclass(frozen=True)
class Case:
    """What goes wrong, and how often. Chances are per call or message; outages are shares of the run.

    copies: how often a message is delivered at most. late: reports that arrive a day and more after their decision.
    """

    copies: int = 1
    shuffled: bool = False
    lost: float = 0.0
    throttled: float = 0.0
    conflicts: float = 0.0
    outages: tuple = ()
    poison: float = 0.0
    late: float = 0.0
    jumps: float = 0.0
    cold: float = 0.0
    carry: bool = False
    shows: tuple[str, ...] = ()


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


@dataclass
class Message:
    id: str
    body: str
    due: int
    failures: int = 0
    poison: bool = False


@dataclass
class Box:
    """A standard queue: a message stays until it has been worked off as often as the case has it delivered."""

    name: str
    chance: random.Random
    copies: int = 1
    shuffled: bool = False
    messages: list[Message] = field(default_factory=list)
    put_in: int = 0
    delivered: int = 0
    repeated: int = 0

    def put(self, body: str, *, poison: bool = False) -> str:
        self.put_in += 1
        message = Message(f"{self.name}-{self.put_in}", body, self.chance.randint(1, self.copies), poison=poison)
        self.messages.append(message)
        return message.id

    def drawn(self, most: int) -> list[Message]:
        if self.shuffled:
            return self.chance.sample(self.messages, min(most, len(self.messages)))
        return self.messages[:most]

    def settle(self, batch: list[Message], failed: set[str], most_receives: int) -> list[Message]:
        """Those that were given up."""
        given_up = []
        for message in batch:
            self.delivered += 1
            if message.id in failed:
                message.failures += 1
                if message.failures >= most_receives:
                    given_up.append(message)
            else:
                message.due -= 1
                self.repeated += message.due > 0
        gone = {message.id for message in given_up}
        self.messages = [each for each in self.messages if each.due > 0 and each.id not in gone]
        return given_up


class World:
    """One run. `events` counts what the functions were called with: requests, messages delivered, schedules."""

    def __init__(self, case: Case, seed: int, mutant: dict[str, str] | None = None) -> None:
        self.case, self.mutant = case, mutant
        self.chance = random.Random(seed)
        self.wire = Wire(random.Random(seed + 1))
        self.now, self.requests, self.events = NOW, 0, 0
        self.replies: dict[str, list[dict]] = {tenant: [] for tenant in TENANTS}
        self.unanswered: set[str] = set()
        self.decided: dict[str, set[str]] = {tenant: set() for tenant in TENANTS}
        self.accepted: dict[str, set[str]] = {tenant: set() for tenant in TENANTS}
        self.unacknowledged: set[str] = set()
        self.reports: dict[str, list[dict]] = {tenant: [] for tenant in TENANTS}
        self.untold: dict[str, list[dict]] = {tenant: [] for tenant in TENANTS}
        self.held_back: list[tuple[str, dict]] = []
        self.carried: dict[str, list[str]] = {tenant: [] for tenant in TENANTS}
        self.poison: dict[str, set[str]] = {"telemetry": set(), "records": set()}
        self.statuses: Counter[int] = Counter()
        self.waits: list[float] = []
        self.watched_ms = NOW
        self.redriven = 0

    def begin(self) -> World:
        self.template = read_template()
        with ExitStack() as started:
            started.enter_context(lambda_environment(verbose=False))
            started.enter_context(moto.mock_aws())
            started.enter_context(itemwise_transactions())
            started.enter_context(fresh_functions())
            self.resources = Resources(self.template)
            if self.mutant:
                plant(self.mutant)
            self.execution = Execution(self.template, self.resources.variables)
            self.functions = {function.name: import_module(function.module) for function in self.template.functions}
            session = import_module("functions.stores.clients")._session()
            session.register_component("data_loader", LOADER)
            self.wire.attach(session)
            self.deployment = Deployment("pointsman", REGION)
            self._boxed()
            self._onboard()
            self._exit = started.pop_all()
        return self

    def end(self) -> None:
        self._exit.close()

    def __enter__(self) -> World:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    # --- what happens

    def run(self, events: int) -> None:
        """Turn after turn, each one thing that could happen at that moment, until there were so many events."""
        self.wire.faults = self.case
        acts = (self.ask, self.ask, self.tell, self.learn, self.record, self.record, self.pass_time)
        while self.events < events:
            share = self.events / events
            self.wire.down = frozenset(
                service for first, last, services in self.case.outages for service in services if first <= share < last
            )
            if self.chance.random() < self.case.cold:
                self.restart()
            if self.chance.random() < self.case.poison:
                self.slip_in_poison()
            self.chance.choice(acts)()
        self.wire.faults, self.wire.down = Case(), frozenset()

    def settle(self) -> None:
        """After the faults: late reports arrive, callers submit again, dead letters go back, the queues run empty."""
        self.now += 6 * 60_000
        self.reports["acme"] += [report for tenant, report in self.held_back if tenant == "acme"]
        self.reports["globex"] += [report for tenant, report in self.held_back if tenant == "globex"]
        if self.held_back:
            self.now += 26 * 3_600_000
        for tenant in TENANTS:
            while self.reports[tenant] or self.untold[tenant]:
                self.tell(tenant)
            if self.carried[tenant]:
                status, _ = self.call("RouteFunction", tenant, "/v1/receipts", {"receipts": self.carried[tenant]})
                assert status == 202
        for _ in range(3):
            self.watch()
            self._work_off()
            moved = [redriven(self.deployment, queue, wait_s=0)[0] for queue in BOXES]
            self._requeued()
            self.redriven += sum(map(len, moved))
            if not any(moved):
                break
        self._work_off()

    def ask(self, tenant: str | None = None, router=None, **fields) -> tuple[int, dict]:
        tenant = tenant or self.chance.choice(TENANTS)
        org = "frozen" if self.chance.random() < 0.03 else "labs"
        wanted = {"policy": "acme/support", "org": org, "envelope": self._envelope(), **fields}
        if self.case.carry:
            wanted["carry_receipt"] = True
        before = self.wire.waited_s
        status, reply = self.call("RouteFunction", tenant, "/v1/route", wanted, router)
        self.waits.append(self.wire.waited_s - before)
        self.statuses[status] += 1
        told = reply.get("error", reply)
        if status >= 500:
            self.unanswered.add(self.decision_of(tenant))
            return status, reply
        self.decided[tenant].add(told["decision_id"])
        if "receipt" in told:
            self.carried[tenant].append(told["receipt"])
        if status == 200:
            self.replies[tenant].append(reply)
            for report in self._reports(reply):
                if self.chance.random() < self.case.late:
                    self.held_back.append((tenant, report))
                else:
                    self.reports[tenant].append(report)
        return status, reply

    def tell(self, tenant: str | None = None) -> None:
        tenant = tenant or self.chance.choice(TENANTS)
        waiting = self.reports[tenant]
        if self.case.shuffled:
            self.chance.shuffle(waiting)
        if self.untold[tenant] and self.chance.random() < 0.5:
            body = self.untold[tenant].pop(0)
        elif waiting:
            body = {"records": waiting[:8]}
            self.reports[tenant] = waiting[8:]
            if self.chance.random() < 0.5:
                body["idempotency_key"] = f"batch-{self.requests}"
        else:
            return
        status, _ = self.call("IngestFunction", tenant, "/v1/telemetry", body)
        ids = {f"{self._batch(tenant, body)}:{position}" for position in range(len(body["records"]))}
        if status == 202:
            self.accepted[tenant] |= ids
        else:
            assert status == 503, status
            self.unacknowledged |= ids
            if "idempotency_key" in body:
                self.untold[tenant].append(body)
            else:
                self.reports[tenant] += body["records"]

    def _batch(self, tenant: str, body: dict) -> str:
        """What the records of a batch are numbered under: its key as `ingest` keeps it, or else its request."""
        key = body.get("idempotency_key")
        return sha256(f"{tenant} {key}".encode()).hexdigest()[:32] if key else f"request-{self.requests}"

    def learn(self) -> None:
        self.deliver("telemetry")

    def record(self) -> None:
        self.deliver("records")

    def pass_time(self) -> None:
        self.now += self.chance.randint(100, 12_000)
        if self.chance.random() < self.case.jumps:
            self.now += self.chance.choice((-3_600_000, -240_000, 240_000, 3_600_000))
        if abs(self.now - self.watched_ms) >= 150_000:
            self.watch()

    def deliver(self, queue: str, most: int = 10) -> None:
        box = self.boxes[queue]
        batch = box.drawn(self.chance.randint(1, most))
        if not batch:
            return
        self.events += len(batch)
        event = {"Records": [{"messageId": each.id, "body": each.body} for each in batch]}
        try:
            answer = self.execution.call(BOXES[queue], event, "delivery")
        except Exception:  # noqa: BLE001 - as in AWS, a function that raises has its batch delivered again
            failed = {each.id for each in batch}
        else:
            failed = {failure["itemIdentifier"] for failure in answer["batchItemFailures"]}
        for message in box.settle(batch, failed, self.most_receives[queue]):
            url = self.resources.name(f"{queue.capitalize()}DeadLetterQueue")
            self.resources.client("sqs").send_message(QueueUrl=url, MessageBody=message.body)

    def watch(self) -> None:
        self.watched_ms = self.now
        self.events += 1
        try:
            self.execution.call("WatchFunction", schedule_event("watch", self.now, "watch"), "watch")
        except import_module("functions.stores.errors").StoreError:
            self.wire.seen["watch failed"] += 1

    def slip_in_poison(self) -> None:
        queue = self.chance.choice(sorted(self.poison))
        bodies = ["not JSON", "[" * 5_000, '{"records":[]}', '{"at_ms": 1, "kind": "receipt", "tenant": "acme"}\n{}']
        known = [each.body for each in self.boxes[queue].messages if not each.poison]
        bodies += [body[: len(body) // 2] for body in known[:3]]
        body = f"{self.chance.choice(bodies)}{' ' * len(self.poison[queue])}"
        self.poison[queue].add(body)
        self.boxes[queue].put(body, poison=True)

    def restart(self) -> None:
        """Cold environments: whatever the functions held is gone."""
        for module in self.functions.values():
            for held in vars(module).values():
                if hasattr(held, "cache_clear") and held.__module__ == module.__name__:
                    held.cache_clear()

    def call(self, function: str, tenant: str, path: str, body: dict, answer=None) -> tuple[int, dict]:
        """Status and reply. `answer`: of one environment among several, else the process's own."""
        event = self.event(tenant, path, body)
        if answer is not None:
            found = self.functions[function].serve("route", event, answer)
        else:
            found = self.execution.call(function, event, f"request-{self.requests}")
        return found["statusCode"], json.loads(found["body"])

    def event(self, tenant: str, path: str, body: dict) -> dict:
        """A signed request as its Function URL delivers it."""
        self.requests += 1
        self.events += 1
        headers = {"content-type": "application/json"}
        request = HttpRequest("POST", path, "", headers, json.dumps(body).encode(), iam={"userArn": _principal(tenant)})
        return url_event(request, self.now, f"request-{self.requests}")

    def decision_of(self, tenant: str) -> str:
        """The id that the latest request's decision has, if it was made."""
        return decision_id_for(self.now, json.dumps([tenant, f"request-{self.requests}", False]).encode())

    def publish(self, source: str, tenant: str = "acme") -> str:
        status, reply = self.call("PublishFunction", tenant, "/v1/policies/acme/support", {"source": source})
        assert status == 200, reply
        return reply["fingerprint"]

    # --- what came of it

    def books(self, tenant: str):
        queues = look_at_queues(self.deployment, queued=False, wait_s=0)
        return books_of(self.deployment, tenant, queues, Asked(markers=True))

    def identities(self):
        """Identity by (tenant, name); nothing may be under way any more."""
        found = {}
        for tenant in TENANTS:
            witness = Witness(self.decided[tenant], self.accepted[tenant], self.unanswered, self.unacknowledged)
            for identity in balance(self.books(tenant), witness):
                found[tenant, identity.name] = identity
        return found

    def broken(self) -> set[str]:
        """Names of the identities that do not hold."""
        return {name for (_, name), identity in self.identities().items() if identity.findings or identity.unchecked}

    def receipts(self, tenant: str) -> dict[str, dict]:
        """Receipts as filed, by decision."""
        files = import_module("functions.stores.records").RecordFiles(
            self.resources.client("s3"), self.resources.name("RecordsBucket")
        )
        opened = [open_sealed(line) for key in files.keys(tenant, "receipts") for line in files.lines(key)]
        return {receipt["circumstances"]["decision_id"]: receipt for receipt in opened}

    def receipts_waiting(self, tenant: str) -> list[dict]:
        """Receipts on their way to be filed, oldest first."""
        found = [
            import_module("functions.stores.messages").unpack_lines(m.body) for m in self.boxes["records"].messages
        ]
        kept = [batch.lines for batch in found if (batch.tenant, batch.kind) == (tenant, "receipt")]
        return [open_sealed(line) for lines in kept for line in lines]

    def dead(self, queue: str):
        backlog = import_module("functions.stores.backlog").Backlog(
            self.resources.client("sqs"), self.resources.name(f"{queue.capitalize()}DeadLetterQueue"), wait_s=0
        )
        return backlog.look()

    # --- how it is made

    def _boxed(self) -> None:
        queues = self.template.document["Resources"]
        self.most_receives = {
            queue: queues[f"{queue.capitalize()}Queue"]["Properties"]["RedrivePolicy"]["maxReceiveCount"]
            for queue in BOXES
        }
        self.boxes = {queue: Box(queue, self.chance, self.case.copies, self.case.shuffled) for queue in BOXES}
        self.wire.boxes = {self.resources.name(f"{queue.capitalize()}Queue"): box for queue, box in self.boxes.items()}

    def _onboard(self) -> None:
        registry = import_module("functions.stores.registry").Registry(
            self.resources.client("dynamodb"), self.resources.name("StateTable")
        )
        for tenant in TENANTS:
            registry.enrol(tenant, principals=[_principal(tenant)])
            self.publish(POLICY, tenant)

    def _work_off(self) -> None:
        for _ in range(10_000):
            if not any(box.messages for box in self.boxes.values()):
                return
            for queue, box in self.boxes.items():
                if box.messages:
                    self.deliver(queue, most=50)
        raise AssertionError("the queues do not run empty")

    def _requeued(self) -> None:
        """What was redriven into moto's queues goes on in the scheduler's."""
        sqs = self.resources.client("sqs")
        for queue, box in self.boxes.items():
            url = self.resources.name(f"{queue.capitalize()}Queue")
            while found := sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages"):
                for message in found:
                    box.put(message["Body"])
                    sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])

    def _envelope(self) -> dict:
        return {
            "task_type": self.chance.choice(("label", "label", "chat")),
            "structure_type": "prose",
            "context_length": self.chance.choice(("short", "long")),
            "tools_used": "0",
            "time_sensitive": False,
            "estimated_tokens": self.chance.choice(("tiny", "small")),
        }

    def _reports(self, reply: dict):
        """What a caller says of a decision: hops of its plan, a grade now or later, now and then twice or forged."""
        for hop, step in enumerate(reply["plan"]):
            fault = self.chance.random() < 0.1
            outcome = "timeout" if fault else self.chance.choices(("ok", "wrong", "cancelled"), (16, 3, 1))[0]
            report = {"token": reply["token"], "hop": hop, "arm": step["arm"], "outcome": outcome}
            report |= {"latency_ms": self.chance.randint(1, 4_000)}
            if not fault:
                report |= {"input_tokens": self.chance.randint(1, 9_000), "output_tokens": self.chance.randint(0, 900)}
                report |= {"cached_read_tokens": self.chance.randint(0, report["input_tokens"])}
            yield report
            if self.chance.random() < 0.2:
                graded = {"token": reply["token"], "hop": hop, "arm": step["arm"]}
                yield graded | {"quality": self.chance.randint(0, 100) / 100}
            if self.chance.random() < 0.05:
                yield report | {"outcome": "ok"}
            if self.chance.random() < 0.02:
                yield report | {"token": report["token"][:-2] + "AA"}
            if not fault:
                return


BOXES = {"telemetry": "LearnFunction", "records": "RecordFunction"}


@pytest.fixture
def world(monkeypatch):
    """Makes Worlds, of a case by name or as given, in which sleeping only counts; left at the end if not before."""
    # The handlers' graphs are large and stay: looking them over for garbage takes a quarter of the time.
    thresholds = gc.get_threshold()
    gc.set_threshold(200_000, 20, 20)
    monkeypatch.setattr("botocore.loaders.create_loader", lambda _: LOADER)
    made: list[World] = []

    def build(case="calm", seed=1, mutant=None) -> World:
        here = World(Case(**CASES[case]) if isinstance(case, str) else case, seed, mutant)
        monkeypatch.setattr("time.sleep", here.wire.sleep)
        made.append(here)
        return here.begin()

    yield build
    for here in made:
        here.end()
    gc.set_threshold(*thresholds)


@pytest.fixture
def policy_text():
    return POLICY


def plant(mutant: dict[str, str]) -> None:
    """Replace the one place that the mutant names, in this process's copy of the module alone."""
    path = ROOT / mutant["file"]
    text = path.read_text()
    was, instead = (mutant[key].strip("\n") for key in ("was", "is"))
    assert text.count(was) == 1, f"{mutant['file']} does not hold once: {was}"
    module = import_module(mutant["file"].removesuffix(".py").replace("/", "."))
    exec(compile(text.replace(was, instead), str(path), "exec"), vars(module))


def _principal(tenant: str) -> str:
    return f"arn:aws:iam::{ACCOUNT}:role/{tenant}-app"


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
