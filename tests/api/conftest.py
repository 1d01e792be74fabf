"""Two tenants of one running service, asked over HTTP, and all that the service holds and says."""

from __future__ import annotations

import gzip
import http.client
import io
import json
import zlib
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import pytest
from jsonschema import Draft202012Validator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

from policy_cli.dev import LocalStack, VirtualClock
from policy_cli.dev.template import read_template
from policy_engine.signing import signed_headers

NOW_MS = 1_800_000_000_000
ROOT = Path(__file__).parents[2]
SUPPORT = (ROOT / "samples/acme/support.policy").read_text()
# What only the other tenant knows: no request of acme's ever holds the word.
FOREIGN_WORD = "zebrafish"
FOREIGN = f"""policy "globex/plan" language 1

attribute region = [{FOREIGN_WORD}, north]
tasks label, chat
tier {FOREIGN_WORD} = [claude-haiku-4-5, gpt-5-mini]

forbid "{FOREIGN_WORD} is frozen" when model.stage == deprecated

default route {FOREIGN_WORD} {{
  use {FOREIGN_WORD}
  pick cheapest
  pin session 30m
}}
fallback claude-haiku-4-5
"""
TABLES = tuple(
    name for name, made in read_template().document["Resources"].items() if made["Type"] == "AWS::DynamoDB::Table"
)
ENVELOPE = {
    "task_type": "label",
    "structure_type": "prose",
    "context_length": "short",
    "tools_used": "0",
    "time_sensitive": False,
    "estimated_tokens": "small",
}


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    text: str

    @property
    def document(self) -> Any:
        return json.loads(self.text)

    @property
    def code(self) -> str | None:
        return self.document.get("error", {}).get("code")


class Service:
    """A stack that says all it logs and measures into `spoken`."""

    def __init__(self, stack: LocalStack, spoken: io.StringIO) -> None:
        self.stack, self.spoken, self.clock = stack, spoken, stack.clock
        self.asked = 0
        self.tenants = {name: stack.enrol(name) for name in ("acme", "globex")}
        self._place = urlsplit(stack.url).netloc

    def ask(
        self,
        path: str,
        body: Any,
        tenant: str | None = "acme",
        *,
        method: str = "POST",
        headers: dict[str, str] | None = None,
        signed_ms: int | None = None,
    ) -> Answer:
        """The answer to a request that `tenant` signs; `headers` go over the signature's. None: nobody signs."""
        self.asked += 1
        sent = body if isinstance(body, bytes) else json.dumps(body).encode()
        given = {"Content-Type": "application/json"}
        if tenant is not None:
            who = self.tenants[tenant]
            # A millisecond of its own for each, as in life: what changes something is signed once.
            now_ms = self.clock() - self.asked % 200_000 if signed_ms is None else signed_ms
            signed = path.partition("?")[0]
            given |= signed_headers(who.key_id, who.secret, method=method, path=signed, body=sent, now_ms=now_ms)
        connection = http.client.HTTPConnection(self._place, timeout=30)
        try:
            connection.request(method, path, sent, {**given, **(headers or {})})
            reply = connection.getresponse()
            return Answer(reply.status, {k.lower(): v for k, v in reply.getheaders()}, reply.read().decode())
        finally:
            connection.close()

    def publish(self, name: str, source: str, tenant: str = "acme") -> Answer:
        answer = self.ask(f"/v1/policies/{name}", {"source": source}, tenant)
        assert answer.status == 200, answer.text
        return answer

    def route(self, tenant: str = "acme", **fields: Any) -> Answer:
        policy = {"acme": "acme/support", "globex": "globex/plan"}[tenant]
        return self.ask("/v1/route", {"policy": policy, "envelope": ENVELOPE, **fields}, tenant)

    def held(self, prefix: str = "") -> dict[str, str]:
        """All that is kept, as text by place: items, objects, waiting messages. `prefix`: of a tenant's keys only."""
        found = {}
        for logical in TABLES:
            pages = self.client("dynamodb").get_paginator("scan").paginate(TableName=self.name(logical))
            for item in (item for page in pages for item in page["Items"]):
                key = f"{item['pk']['S']} {item['sk']['S']}"
                if key.removeprefix("tenant#").startswith(prefix):
                    found[f"{logical} {key}"] = json.dumps(item, sort_keys=True, default=_unpacked)
        for logical in ("StateBucket", "RecordsBucket"):
            for key, text in self._objects(self.name(logical)):
                if key.startswith(prefix):
                    found[f"{logical} {key}"] = text
        return found if prefix else found | self._messages()

    def client(self, service: str) -> Any:
        return self.stack.resources.client(service)

    def name(self, logical: str) -> str:
        return self.stack.resources.name(logical)

    def _objects(self, bucket: str) -> Any:
        for page in self.client("s3").get_paginator("list_objects_v2").paginate(Bucket=bucket):
            for entry in page.get("Contents", ()):
                body = self.client("s3").get_object(Bucket=bucket, Key=entry["Key"])["Body"].read()
                # Some objects carry a signature before what is compressed.
                packed = body.find(b"\x1f\x8b")
                text = body if packed < 0 else body[:packed] + gzip.decompress(body[packed:])
                yield entry["Key"], text.decode()

    def _messages(self) -> dict[str, str]:
        """Of every queue; they stay there, and can be received again."""
        found, sqs = {}, self.client("sqs")
        for url in sqs.list_queues().get("QueueUrls", ()):
            handles = []
            while taken := sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, MessageAttributeNames=["All"]).get(
                "Messages"
            ):
                for message in taken:
                    handles.append(message["ReceiptHandle"])
                    found[f"{url} {message['MessageId']}"] = message["Body"] + json.dumps(
                        message.get("MessageAttributes", {})
                    )
            for handle in handles:
                sqs.change_message_visibility(QueueUrl=url, ReceiptHandle=handle, VisibilityTimeout=0)
        return found


def _unpacked(value: bytes) -> str:
    """Replies under idempotency keys are kept compressed."""
    return zlib.decompress(value).decode()


@pytest.fixture(scope="module")
def service():
    """One stack a file; handlers log and measure as they would in Lambda."""
    spoken = io.StringIO()
    running = LocalStack(clock=VirtualClock(NOW_MS), seed=1, verbose=True)
    with redirect_stdout(spoken), redirect_stderr(spoken), running as stack:
        service = Service(stack, spoken)
        service.publish("acme/support", SUPPORT)
        service.publish("globex/plan", FOREIGN, "globex")
        yield service


@pytest.fixture(scope="session")
def envelope():
    return dict(ENVELOPE)


@pytest.fixture(scope="session")
def support():
    return SUPPORT


@pytest.fixture(scope="session")
def foreign_word():
    return FOREIGN_WORD


@pytest.fixture(scope="session")
def described():
    """What docs/openapi.json finds wrong with an answer to a request at a path."""
    document = json.loads((ROOT / "docs/openapi.json").read_text())
    registry = Registry().with_resource("urn:api", Resource(document, DRAFT202012))
    validators = {}
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            for status in operation["responses"]:
                place = _pointer("paths", path, method, "responses", status, "content", "application/json", "schema")
                validator = Draft202012Validator({"$ref": f"urn:api#/{place}"}, registry=registry)
                validators[path, method, int(status)] = validator

    def problems(path: str, method: str, answer: Answer) -> list[str]:
        validator = validators.get((path, method.lower(), answer.status))
        if validator is None:
            return [f"{answer.status} is not described for {method} {path}"]
        return [f"{problem.json_path}: {problem.message}" for problem in validator.iter_errors(answer.document)]

    return problems


def _pointer(*parts: str) -> str:
    return "/".join(
        part.replace("~", "~0").replace("/", "~1").replace("{", "%7B").replace("}", "%7D") for part in parts
    )
