"""Fixtures of the command's tests: the command itself, receipts of the engine, and a service with the real handlers."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import moto
import pytest
from click.testing import CliRunner, Result

from policy_cli.local import NOW_MS
from policy_cli.main import cli
from policy_engine.decision import Circumstances, decide, decision_id_for
from policy_engine.receipt import receipt_body, seal
from policy_engine.snapshot import EMPTY
from policy_engine.table import compile_table
from policy_engine.wire import parse_route
from policy_lang.catalog import default_catalog
from policy_lang.compiler import compile_policy
from policy_lang.fingerprint import ir_document

POLICY = """policy "acme/support" language 1
tasks label
tier small = [claude-haiku-4-5, nova-lite-eu]
tier large = [claude-sonnet-5-eu]
forbid "PII stays in the EU" when org == eu and model.region != eu
route labelling when task == label {
  use small, large
  floor success >= 95% proven 90%
  until proven serve claude-sonnet-5-eu
  pick cheapest
  explore at most 5%, 30% while unproven
}
default route general { use small pick cheapest }
fallback claude-sonnet-5-eu
"""
SECRET = "5ec2e7" * 8


@pytest.fixture
def run(monkeypatch) -> Callable[..., Result]:
    for name in ("POINTSMAN_URL", "POINTSMAN_KEY", "POINTSMAN_SECRET", "AWS_REGION"):
        monkeypatch.delenv(name, raising=False)

    def invoke(*arguments: object, **options: object) -> Result:
        result = CliRunner().invoke(cli, [str(argument) for argument in arguments], **options)
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return invoke


@pytest.fixture
def pointsman(service) -> Callable[..., subprocess.CompletedProcess[str]]:
    """The command in a process of its own, as the tenant of `service`; keywords change the environment."""

    def invoke(*arguments: object, **changed: str) -> subprocess.CompletedProcess[str]:
        own = {"POINTSMAN_URL": service, "POINTSMAN_KEY": "acme-1", "POINTSMAN_SECRET": SECRET}
        command = [sys.executable, "-m", "policy_cli.main", *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, env={**os.environ, **own, **changed})

    return invoke


@pytest.fixture
def policy_text() -> str:
    return POLICY


@pytest.fixture
def policy_file(tmp_path: Path) -> Path:
    path = tmp_path / "support.policy"
    path.write_text(POLICY)
    return path


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Writes a text, line ends as they are, to a file of a name of its own."""

    def writing(text: str, name: str = "a.policy") -> Path:
        path = tmp_path / name
        path.write_bytes(text.encode())
        return path

    return writing


@pytest.fixture
def receipts(tmp_path: Path) -> Path:
    """A folder as the service leaves it: 20 sealed receipts in two files, one gzipped, their policy beside them."""
    compilation = compile_policy(POLICY, default_catalog())
    assert compilation.policy
    table = compile_table(compilation.policy, default_catalog(), compilation.lines)
    lines = []
    for number in range(20):
        envelope = {
            "task_type": ("label", "other")[number % 2],
            "structure_type": "prose",
            "context_length": "short",
            "tools_used": "0",
            "time_sensitive": False,
            "estimated_tokens": "tiny",
        }
        org = {"org": "eu"} if number == 3 else {}
        request = parse_route(json.dumps({"policy": "acme/support", "envelope": envelope, **org}).encode())
        now = Circumstances("acme", decision_id_for(NOW_MS + number, b"%d" % number), NOW_MS + number)
        lines.append(seal(receipt_body(request, decide(request, table, EMPTY, now), EMPTY)))
    hour = tmp_path / "acme" / "receipts" / "dt=2026-01-01" / "hh=00"
    hour.mkdir(parents=True)
    (hour / "a.jsonl").write_text("\n".join(lines[:10]) + "\n")
    (hour / "b.jsonl.gz").write_bytes(gzip.compress(("\n".join(lines[10:]) + "\n").encode()))
    policies = tmp_path / "acme" / "policies"
    policies.mkdir()
    stored = {"ir": ir_document(compilation.policy), "lines": dict(compilation.lines), "source": POLICY}
    (policies / f"{compilation.fingerprint}.json").write_text(json.dumps(stored))
    return tmp_path / "acme"


@pytest.fixture
def service(monkeypatch) -> Iterator[str]:
    """The address of `publish` and `route` over HTTP, on moto; with one tenant."""
    monkeypatch.setenv("POWERTOOLS_TRACE_DISABLED", "true")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    with moto.mock_aws():
        handlers = _deployed(monkeypatch)

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                context = {"http": {"method": "POST", "path": self.path}, "timeEpoch": time.time_ns() // 1_000_000}
                context["requestId"] = "request-1"
                headers = dict(self.headers.items())
                event = {"rawPath": self.path, "headers": headers, "requestContext": context, "body": body}
                answer = handlers["route" if self.path == "/v1/route" else "publish"](event, None)
                self.send_response(answer["statusCode"])
                self.end_headers()
                self.wfile.write(answer["body"].encode())

            def log_message(self, *_: object) -> None: ...

        with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
            thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
            thread.start()
            yield f"http://127.0.0.1:{server.server_address[1]}"
            server.shutdown()
            thread.join()
        from functions.publish import app as publish
        from functions.route import app as route

        publish.publisher.cache_clear()
        route.router.cache_clear()


def _deployed(monkeypatch) -> dict[str, Callable]:
    from functions.publish import app as publish
    from functions.route import app as route
    from functions.stores import clients
    from functions.stores.registry import Registry

    clients._session.cache_clear()
    publish.publisher.cache_clear()
    route.router.cache_clear()
    dynamodb = clients.patient("dynamodb")
    for table in ("state", "ledger"):
        dynamodb.create_table(
            TableName=table,
            KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
            AttributeDefinitions=[{"AttributeName": key, "AttributeType": "S"} for key in ("pk", "sk")],
            BillingMode="PAY_PER_REQUEST",
        )
    clients.patient("s3").create_bucket(Bucket="state-bucket")
    queue = clients.patient("sqs").create_queue(QueueName="records")["QueueUrl"]
    secret = clients.patient("secretsmanager").create_secret(Name="signing", SecretString="a plain secret")["ARN"]
    settings = {
        "STATE_TABLE": "state",
        "STATE_BUCKET": "state-bucket",
        "LEDGER_TABLE": "ledger",
        "RECORDS_QUEUE_URL": queue,
        "SIGNING_SECRET_ARN": secret,
        "STATE_MAX_AGE_MS": "0",
        "STATE_COPY_LIMIT_MS": "86400000",
    }
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    Registry(dynamodb, "state").enrol("acme", keys={"acme-1": bytes.fromhex(SECRET)})
    return {"publish": publish.handler, "route": route.handler}
