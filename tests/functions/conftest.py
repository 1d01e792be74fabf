"""The functions on an AWS of their own: moto in memory, and SQS messages carried by hand, as often as a test likes."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from datetime import UTC, datetime

import moto  # before any botocore session is made: importing it is what lets it answer
import pytest
from botocore.awsrequest import AWSResponse
from botocore.exceptions import ClientError
from moto.core.botocore_stubber import MockRawResponse

from functions.ingest import app as ingest
from functions.learn import app as learn
from functions.publish import app as publish
from functions.record import app as record
from functions.route import app as route
from functions.stores import clients
from functions.stores.backups import Backups
from functions.stores.ledger import Ledger
from functions.stores.registry import Registry
from functions.stores.secrets import KeyRing, keys_from_secret
from functions.stores.state import StateStore
from functions.stores.statistics import StatisticsStore
from functions.watch import app as watch
from policy_engine.signing import signed_headers

NOW = 1_790_000_000_000
ROLE = "arn:aws:iam::111111111111:role/acme-app"
SESSION = "arn:aws:sts::111111111111:assumed-role/acme-app/i-0123"
FOREIGN_ROLE = "arn:aws:iam::222222222222:role/globex-app"
KEY = bytes(range(32))

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

ENVELOPE = {
    "task_type": "label",
    "structure_type": "prose",
    "context_length": "short",
    "tools_used": "0",
    "time_sensitive": False,
    "estimated_tokens": "small",
}


QUEUES = ("telemetry", "records", "telemetry-dead", "records-dead")


class Wire:
    """What passes between the stores and AWS: every attempt is noted, and may be made to fail."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.faults: list = []  # called before AWS acts
        self.lost: list = []  # called after AWS has acted and before its reply arrives
        self.asked: list = []  # events for functions that nobody waits for
        clients._session.cache_clear()
        emitter = clients._session().get_component("event_emitter")
        emitter.register_first("before-send.*.*", self._before)
        # Not `before-send.*.*`: handlers of a longer name run before those of a shorter one, and moto has the shorter.
        emitter.register_last("before-send", self._after)
        emitter.register("before-send.lambda.Invoke", self._invoked)

    def _before(self, event_name, **_):
        _, service, operation = event_name.split(".")
        self.calls.append(f"{service}.{operation}")
        for fault in list(self.faults):
            fault(self.calls[-1])

    def _invoked(self, request, **_):
        self.asked.append(json.loads(request.body))
        request.url = "http://lambda.invalid/"  # not for moto, which knows no functions
        return AWSResponse(request.url, 202, {}, MockRawResponse(""))

    def _after(self, **_):
        for fault in list(self.lost):
            fault(self.calls[-1])


class Cloud:
    """One deployment, the handlers in it, and the clock that stamps its events."""

    def __init__(self, wire: Wire) -> None:
        self.now = NOW
        self.requests = 0
        self.calls, self.faults, self.lost, self.asked = wire.calls, wire.faults, wire.lost, wire.asked
        for passed in (self.calls, self.faults, self.lost, self.asked):
            passed.clear()
        self.dynamodb, self.s3, self.sqs = (clients.patient(name) for name in ("dynamodb", "s3", "sqs"))
        self.queues = {name: self.sqs.create_queue(QueueName=name)["QueueUrl"] for name in QUEUES}
        for table in ("state", "statistics", "ledger"):
            self._create_table(table)
        for bucket in ("state-bucket", "records-bucket"):
            self.s3.create_bucket(Bucket=bucket)
        secret = json.dumps({"current": "k2", "keys": {"k1": "aa" * 32, "k2": "bb" * 32}})
        self.keys_of_tokens = keys_from_secret(secret)
        self.secretsmanager = clients.patient("secretsmanager")
        self.secret = self.secretsmanager.create_secret(Name="signing", SecretString=secret)["ARN"]
        self.registry = Registry(self.dynamodb, "state")
        self.state = StateStore(self.dynamodb, self.s3, "state", "state-bucket")
        self.statistics = StatisticsStore(self.dynamodb, "statistics")
        self.ledger = Ledger(self.dynamodb, "ledger")
        self.restart()

    def settings(self) -> dict[str, str]:
        return {
            "STATE_TABLE": "state",
            "STATISTICS_TABLE": "statistics",
            "LEDGER_TABLE": "ledger",
            "STATE_BUCKET": "state-bucket",
            "RECORDS_BUCKET": "records-bucket",
            "TELEMETRY_QUEUE_URL": self.queues["telemetry"],
            "RECORDS_QUEUE_URL": self.queues["records"],
            "TELEMETRY_DEAD_LETTER_QUEUE_URL": self.queues["telemetry-dead"],
            "RECORDS_DEAD_LETTER_QUEUE_URL": self.queues["records-dead"],
            "SIGNING_SECRET_ARN": self.secret,
            "STATE_MAX_AGE_MS": "15000",
            "STATE_COPY_LIMIT_MS": "86400000",
            "SNAPSHOT_PERIOD_MS": "15000",
            "WATCH_FUNCTION_ARN": "arn:aws:lambda:us-east-1:123456789012:function:watch:live",
            "WATCH_WORKERS": "1",
        }

    def restart(self) -> None:
        """Cold environments: whatever the functions held is gone."""
        for built in (
            route.router,
            ingest.ingester,
            learn.learner,
            record.recorder,
            publish.publisher,
            watch.watcher,
            watch.hourly,
        ):
            built.cache_clear()

    # --- the three doors

    def event(self, path, body, *, principal=SESSION, headers=None, method="POST", base64=False):
        self.requests += 1
        context = {
            "http": {"method": method, "path": path, "sourceIp": "192.0.2.1", "userAgent": "test"},
            "timeEpoch": self.now,
            "requestId": f"request-{self.requests}",
        }
        if principal is not None:
            context["authorizer"] = {"iam": {"userArn": principal, "accountId": "111111111111"}}
        text = body if isinstance(body, str) else json.dumps(body)
        return {
            "version": "2.0",
            "rawPath": path,
            "headers": {"Content-Type": "application/json", **(headers or {})},
            "requestContext": context,
            "body": text,
            "isBase64Encoded": base64,
        }

    def route(self, body=None, **how):
        wanted = {"policy": "acme/support", "org": "labs", "envelope": ENVELOPE} if body is None else body
        return _answer(route.handler, self.event("/v1/route", wanted, **how))

    def returned(self, receipts, **how):
        return _answer(route.handler, self.event("/v1/receipts", {"receipts": receipts}, **how))

    def ingest(self, records, **how):
        body = {"records": records} if isinstance(records, list) else records
        return _answer(ingest.handler, self.event("/v1/telemetry", body, **how))

    def publish(self, source=POLICY, name="acme/support", **how):
        body = {"source": source} if isinstance(source, str) else source
        return _answer(publish.handler, self.event(f"/v1/policies/{name}", body, **how))

    def alias(self, body, name="acme/support", **how):
        return _answer(publish.handler, self.event(f"/v1/aliases/{name}", body, **how))

    def signed(self, path, body, *, key_id="acme-1", key=KEY, now=None):
        """An event that no AWS signature vouches for, with an HMAC one in its headers."""
        text = json.dumps(body)
        headers = signed_headers(
            key_id, key, method="POST", path=path, body=text.encode(), now_ms=self.now if now is None else now
        )
        return self.event(path, text, principal=None, headers=headers)

    # --- behind the queues

    def take(self, queue):
        """All messages of a queue as the Records of an SQS event; they are gone from it."""
        taken = []
        while found := self.sqs.receive_message(QueueUrl=self.queues[queue], MaxNumberOfMessages=10).get("Messages"):
            for message in found:
                self.sqs.delete_message(QueueUrl=self.queues[queue], ReceiptHandle=message["ReceiptHandle"])
                taken.append({"messageId": message["MessageId"], "body": message["Body"]})
        return taken

    def dead(self, queue):
        """Body and reason of every message set aside, by the id it had; they are gone from the dead-letter queue."""
        found, url = {}, self.queues[f"{queue}-dead"]
        while taken := self.sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, MessageAttributeNames=["All"]):
            if "Messages" not in taken:
                return found
            for message in taken["Messages"]:
                self.sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
                told = {name: value["StringValue"] for name, value in message["MessageAttributes"].items()}
                found[told["message"]] = (message["Body"], told["reason"])
        return found

    def learn(self, messages):
        return [
            failure["itemIdentifier"] for failure in learn.handler({"Records": messages}, None)["batchItemFailures"]
        ]

    def record(self, messages=None):
        records = self.take("records") if messages is None else messages
        return [
            failure["itemIdentifier"] for failure in record.handler({"Records": records}, None)["batchItemFailures"]
        ]

    def watch(self, **event):
        moment = datetime.fromtimestamp(self.now / 1000, UTC).isoformat().replace("+00:00", "Z")
        return watch.handler({"time": moment, **event}, None)

    def looked(self):
        """What `learn` asked for, done: the answers, in turn."""
        answers = [watch.handler(event, None) for event in self.asked]
        self.asked.clear()
        return answers

    def hourly(self):
        return self.watch(resources=["arn:aws:events:us-east-1:111111111111:rule/pointsman-WatchFunctionHourly-A1B2"])

    # --- what is left behind

    def filed(self, folder, tenant="acme"):
        """The lines filed under a tenant's `receipts` or `outcomes`."""
        lines = []
        for key in self.keys("records-bucket", f"{tenant}/{folder}/"):
            body = self.s3.get_object(Bucket="records-bucket", Key=key)["Body"].read()
            lines += gzip.decompress(body).decode().splitlines()
        return lines

    def outcomes(self, tenant="acme"):
        """Outcome records by record id, a repeated line counted once, as every reader does."""
        return {found["record_id"]: found for found in map(json.loads, self.filed("outcomes", tenant))}

    def states(self, tenant="acme"):
        return Counter(found["state"] for found in self.outcomes(tenant).values())

    def keys(self, bucket, prefix=""):
        return [found["Key"] for found in self.s3.list_objects_v2(Bucket=bucket, Prefix=prefix).get("Contents", ())]

    def items(self, table):
        return self.dynamodb.scan(TableName=table)["Items"]

    def cells(self, tenant="acme"):
        """Outcomes and successes counted, per arm."""
        found = {}
        for row in self.statistics.cells(tenant):
            counted, good = found.get(row.arm, (0, 0))
            successes = row.sums["s"] * row.sums["c"] // row.sums["n"] if row.sums.get("n") else 0
            found[row.arm] = (counted + row.sums.get("c", 0), good + successes)
        return found

    def copied(self, tenant):
        """The state in a tenant's signed copy."""
        keys = KeyRing(self.secretsmanager, self.secret)
        return Backups(self.s3, "state-bucket", keys).state(tenant, self.now)[0]

    def _create_table(self, name):
        self.dynamodb.create_table(
            TableName=name,
            KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
            AttributeDefinitions=[{"AttributeName": key, "AttributeType": "S"} for key in ("pk", "sk")],
            BillingMode="PAY_PER_REQUEST",
        )


@pytest.fixture(scope="module")
def wire():
    """One botocore session for a file: loading the service models takes longer than most tests.

    No longer than that, because tests elsewhere give the process sessions of their own.
    """
    with moto.mock_aws():
        return Wire()


@pytest.fixture(scope="session")
def deployed():
    """Makes a deployment with two tenants and nothing published, in the moto that is active."""

    def deploy(wire, monkeypatch):
        monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        cloud = Cloud(wire)
        for name, value in cloud.settings().items():
            monkeypatch.setenv(name, value)
        cloud.registry.enrol("acme", principals=[ROLE], keys={"acme-1": KEY})
        cloud.registry.enrol("globex", principals=[FOREIGN_ROLE])
        return cloud

    return deploy


@pytest.fixture
def bare(wire, monkeypatch, deployed):
    """A deployment with two tenants and nothing published."""
    with moto.mock_aws():
        cloud = deployed(wire, monkeypatch)
        yield cloud
        cloud.restart()


@pytest.fixture
def cloud(bare):
    """A deployment whose tenant has published a policy."""
    status, document = bare.publish()
    assert status == 200, document
    bare.calls.clear()
    return bare


@pytest.fixture
def failing():
    """A fault for the calls that begin with one of `prefixes`: after the first `after` of them, `times` fail."""

    def build(*prefixes, after=0, times=1_000, code="InternalFailure", **fields):
        fates = iter([False] * after + [True] * times)

        def fault(call):
            if call.startswith(prefixes) and next(fates, False):
                raise ClientError({"Error": {"Code": code, "Message": code}, **fields}, call)

        return fault

    return build


@pytest.fixture
def alerts(capsys):
    """Kind, tenant and subject of the alerts raised since it was last asked."""

    def told():
        lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        return [(line["alert"], line["tenant"], line["subject"]) for line in lines if line.get("message") == "alert"]

    return told


@pytest.fixture
def report():
    """A telemetry record of a decision's first hop."""

    def build(reply, outcome="ok", **fields):
        record = {"token": reply["token"], "arm": reply["plan"][0]["arm"], "hop": 0, "latency_ms": 800}
        told = {} if outcome is None else {"outcome": outcome, "input_tokens": 300, "output_tokens": 20}
        return {**record, **told, **fields}

    return build


@pytest.fixture
def wanted():
    """A route request with some fields other than usual; None leaves one out."""

    def build(**fields):
        usual = {"policy": "acme/support", "org": "labs", "envelope": ENVELOPE}
        return {name: value for name, value in {**usual, **fields}.items() if value is not None}

    return build


@pytest.fixture
def policy_text():
    return POLICY


def _answer(handler, event):
    found = handler(event, None)
    return found["statusCode"], json.loads(found["body"])
