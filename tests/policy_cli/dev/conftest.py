"""A running stack with the tenant acme in it, and what a caller of it needs."""

import gzip
import http.client
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from policy_cli.dev import LocalStack, LocalTenant, VirtualClock
from policy_cli.dev.template import REGION
from policy_client import Envelope, HmacCredentials, build_envelope
from policy_lang.envelope import envelope_to_wire

NOW_MS = 1_800_000_000_000
POLICY = (Path(__file__).parents[3] / "samples/acme/support.policy").read_text()
ENVELOPE = build_envelope(task_type="label", context_tokens=900, estimated_tokens=300)
ASKING = {"policy": "acme/support", "envelope": envelope_to_wire(ENVELOPE)}


class Caller:
    """One tenant's requests."""

    def __init__(self, stack: LocalStack, tenant: LocalTenant) -> None:
        self.stack, self.tenant = stack, tenant
        self.connection = http.client.HTTPConnection(urlsplit(stack.url).netloc, timeout=30)

    def post(self, path: str, body: bytes, headers: dict[str, str]) -> tuple[int, dict[str, Any]]:
        self.connection.request("POST", path, body, {"Content-Type": "application/json", **headers})
        reply = self.connection.getresponse()
        return reply.status, json.loads(reply.read())

    def sigv4(self, path: str, body: bytes, region: str = REGION, **changed: str) -> dict[str, str]:
        """Headers that sign a request; keywords replace parts of the credentials."""
        identity = self.tenant.identity
        keys = {"access_key": identity.access_key_id, "secret_key": identity.secret_access_key, **changed}
        request = AWSRequest("POST", self.stack.url + path, {"Content-Type": "application/json"}, body)
        SigV4Auth(Credentials(**keys), "lambda", region).add_auth(request)
        return dict(request.headers.items())

    def hmac(self, path: str, document: Any) -> tuple[int, dict[str, Any]]:
        body = json.dumps(document).encode()
        credentials = HmacCredentials(self.tenant.key_id, self.tenant.secret)
        return self.post(path, body, credentials.headers(self.stack.url, path, body, self.stack.clock()))

    def decide(self) -> tuple[int, dict[str, Any]]:
        return self.hmac("/v1/route", ASKING)


@pytest.fixture(scope="session")
def envelope() -> Envelope:
    return ENVELOPE


@pytest.fixture(scope="session")
def now_ms() -> int:
    return NOW_MS


@pytest.fixture(scope="session")
def asking() -> bytes:
    """The body of a request for a decision."""
    return json.dumps(ASKING).encode()


@pytest.fixture(scope="session")
def acme() -> Iterator[Callable[[LocalStack], Caller]]:
    """Enrols acme in a stack, publishes its policy and gives a caller."""
    callers: list[Caller] = []

    def enrol(stack: LocalStack) -> Caller:
        callers.append(Caller(stack, stack.enrol("acme")))
        assert callers[-1].hmac("/v1/policies/acme/support", {"source": POLICY})[0] == 200
        return callers[-1]

    yield enrol
    for caller in callers:
        caller.connection.close()


@pytest.fixture(scope="session")
def filed() -> Callable[[LocalStack, str], list[dict[str, Any]]]:
    """What `record` has filed under a folder of acme's, line by line."""

    def read(stack: LocalStack, folder: str) -> list[dict[str, Any]]:
        s3, bucket = stack.resources.client("s3"), stack.resources.name("RecordsBucket")
        pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=f"acme/{folder}/")
        keys = [each["Key"] for page in pages for each in page.get("Contents", ())]
        bodies = [s3.get_object(Bucket=bucket, Key=key)["Body"].read() for key in keys]
        return [json.loads(line) for body in bodies for line in gzip.decompress(body).splitlines()]

    return read


@pytest.fixture(scope="module")
def stack() -> Iterator[LocalStack]:
    with LocalStack(clock=VirtualClock(NOW_MS), seed=1) as running:
        yield running


@pytest.fixture(scope="module")
def caller(stack: LocalStack, acme: Callable[[LocalStack], Caller]) -> Caller:
    return acme(stack)
