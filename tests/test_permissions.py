"""Least privilege, both ways: a role grants what its function was seen to need, and nothing that it was not."""

import json
from collections import defaultdict
from importlib import import_module
from pathlib import Path

import pytest
from botocore.exceptions import EndpointConnectionError

from policy_cli.dev import LocalStack, VirtualClock
from policy_cli.dev.sources import Poller
from policy_cli.dev.template import read_template
from policy_client import Client, HmacCredentials, build_envelope
from policy_client.transport import Transport

ENVELOPE = build_envelope(task_type="label", context_tokens=900, estimated_tokens=300)
HOLDING = (
    "LedgerTable",
    "RecordsBucket",
    "RecordsDeadLetterQueue",
    "RecordsQueue",
    "SigningSecret",
    "StateBucket",
    "StateTable",
    "StatisticsTable",
    "TelemetryDeadLetterQueue",
    "TelemetryQueue",
    "WatchFunctionAliaslive",
)
# While nothing is proven every call is explored, so that the run meets an exploration whatever is drawn.
SHARE = "explore at most 5%, 30% while unproven"
SAMPLE = (Path(__file__).parents[1] / "samples/acme/support.policy").read_text()
POLICY = SAMPLE.replace(SHARE, "explore at most 100%, 100% while unproven")
assert POLICY != SAMPLE

# Lambda's own doing, on the function's role.
BY_LAMBDA = {
    "logs:CreateLogStream",
    "logs:PutLogEvents",
    "sqs:DeleteMessage",
    "sqs:GetQueueAttributes",
    "sqs:ReceiveMessage",
}
ACTIONS = {
    "DeleteObjects": "s3:DeleteObject",
    "ListObjectsV2": "s3:ListBucket",
    "SendMessageBatch": "sqs:SendMessage",
    "Invoke": "lambda:InvokeFunction",
    "Put": "dynamodb:PutItem",
    "Update": "dynamodb:UpdateItem",
}


@pytest.fixture(scope="module")
def granted():
    """Role -> (action, logical name of the resource)."""
    found = defaultdict(set)
    for name, resource in read_template().document["Resources"].items():
        if resource["Type"] == "AWS::IAM::Role":
            for statement in resource["Properties"]["Policies"][0]["PolicyDocument"]["Statement"]:
                actions = statement["Action"]
                target = _logical(statement["Resource"])
                found[name] |= {(action, target) for action in ([actions] if isinstance(actions, str) else actions)}
    return {role: {each for each in grants if each[0] not in BY_LAMBDA} for role, grants in found.items()}


def _logical(resource):
    match resource:
        case {"Ref": name} | {"Fn::GetAtt": [name, _]}:
            return name
        case {"Fn::Sub": text}:
            return text.removeprefix("${").partition(".")[0]
    raise AssertionError(resource)


@pytest.fixture(scope="module")
def needed():
    """The same, seen in a run in which every function does each thing it does, and one receipt finds its queue gone."""
    seen, running = defaultdict(set), ["setup"]
    clock = VirtualClock(1_800_000_000_000)
    with LocalStack(clock=clock, seed=1) as stack:
        names = {stack.resources.name(name): name for name in HOLDING}

        def note(params, model, **_):
            called = [(model.name, params)]
            if model.name == "TransactWriteItems":
                called = [pair for item in params["TransactItems"] for pair in item.items()]
            for operation, target in called:
                service = model.service_model.service_name
                action = ACTIONS.get(operation, f"{service}:{operation}")
                keys = ("TableName", "Bucket", "QueueUrl", "SecretId", "FunctionName")
                seen[running[0]].add((action, names[next(target[key] for key in keys if key in target)]))
            # Not a deleted queue: the stack itself looks at the depth of its queues now and then.
            if model.name == "SendMessage" and running[1:] == ["queue down"]:
                raise EndpointConnectionError(endpoint_url=params["QueueUrl"])

        import_module("functions.stores.clients")._session().register("provide-client-params", note)
        _live(stack, clock, running)
    return seen


def _live(stack, clock, running):
    tenant = stack.enrol("acme")
    credentials = HmacCredentials(tenant.key_id, tenant.secret)
    running[0] = "PublishRole"
    transport = Transport(stack.url, connect_timeout=5, read_timeout=30)
    path, body = "/v1/policies/acme/support", json.dumps({"source": POLICY}).encode()
    fingerprint = json.loads(transport.post(path, body, credentials.headers(stack.url, path, body, clock()))[1])
    path, body = "/v1/aliases/acme/support", json.dumps({"rollback": True, "to": fingerprint["fingerprint"]}).encode()
    assert transport.post(path, body, credentials.headers(stack.url, path, body, clock()))[0] == 200
    with Client(stack.url, credentials, clock=clock, read_timeout=30, batch_age=1e9) as client:
        running[0] = "RouteRole"
        replies = [client.route(policy="acme/support", envelope=ENVELOPE) for _ in range(20)]
        assert any(reply.explored for reply in replies)
        client.route(policy="acme/support", envelope=ENVELOPE, idempotency_key="once")
        running[0] = "IngestRole"
        for reply in replies:
            client.telemetry(reply, outcome="ok", input_tokens=90, output_tokens=9, quality=0.9)
        assert client.flush(30)
        for source in read_template().sources:
            url = stack.resources.name(source.queue)
            stack.resources.client("sqs").send_message(QueueUrl=url, MessageBody="poison")
            running[0] = source.function.replace("Function", "Role")
            assert _poller(stack, source).drain(retry=True)
        # And what `learn` has just asked of it.
        running[0] = "WatchRole"
        stack.run_schedules()
        running[0] = "RouteRole"
        running.append("queue down")
        client.route(policy="acme/support", envelope=ENVELOPE)
        running.pop()
    running[0] = "WatchRole"
    stack.run_schedules()
    running[0] = "setup"


def _poller(stack, source):
    handler = import_module(f"functions.{source.function.removesuffix('Function').lower()}.app").handler
    url = stack.resources.name(source.queue)
    return Poller(source, stack.resources.client("sqs"), url, lambda event: handler(event, None))


def test_each_role_grants_exactly_what_its_function_does(granted, needed):
    del needed["setup"]
    assert granted == dict(needed)
