"""The deployed stack, from the first refusal to the last count. What follows needs what came before, as in life."""

import errno
import json
import socket
import subprocess
import sys
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from botocore.credentials import Credentials

from policy_client import HmacCredentials, build_envelope
from policy_lang.envelope import envelope_to_wire

ROOT = Path(__file__).parents[2]
STACK = "pointsman"
POLICY = (ROOT / "samples/acme/support.policy").read_text()
ENVELOPE = envelope_to_wire(build_envelope(task_type="label", context_tokens=900, estimated_tokens=300))
ASKED = {"policy": "acme/support", "envelope": ENVELOPE}
PUBLISHING = ("PublishUrl", "/v1/policies/acme/support", {"source": POLICY})
ROUTING = ("RouteUrl", "/v1/route", ASKED)
#: More than make a tenant busy: `learn` then asks for a snapshot.
DECISIONS = 24


@pytest.fixture(scope="module")
def publisher(stack):
    return stack.user("publisher", "PublisherPolicyArn")


@pytest.fixture(scope="module")
def caller(stack):
    return stack.user("caller", "CallerPolicyArn")


@pytest.fixture(scope="module")
def acme(stack):
    return stack.enrol("acme")


@pytest.fixture(scope="module")
def published(stack, publisher, acme):
    return stack.post(*PUBLISHING, user=publisher, tenant=acme)


@pytest.fixture(scope="module")
def decisions(stack, caller, acme, published):
    """Replies, one of whose decisions was reported twice and all of which were reported once."""
    answers = [stack.post(*ROUTING, user=caller, tenant=acme) for _ in range(DECISIONS)]
    assert [status for status, _ in answers] == [200] * DECISIONS, answers
    replies = [reply for _, reply in answers]
    told = [
        {"token": each["token"], "hop": 0, "arm": each["plan"][0]["arm"], "outcome": "ok", "latency_ms": 700}
        for each in replies
    ]
    for records in (told, told[:1]):
        status, reply = stack.post("TelemetryUrl", "/v1/telemetry", {"records": records}, user=caller, tenant=acme)
        assert (status, reply) == (202, {"accepted": len(records)}), stack.logs("IngestLogs")
    return replies


def test_the_emulator_listens_on_one_address_alone(endpoint):
    """Where something listens on every address, no other of this machine's could be bound to the same port."""
    with closing(socket.socket()) as another:
        try:
            another.bind(("127.0.0.2", urlsplit(endpoint).port))
        except OSError as problem:
            if problem.errno == errno.EADDRNOTAVAIL:
                pytest.skip("this machine has one loopback address")
            raise


def test_no_door_opens_without_a_signature_that_iam_allows(stack, acme, caller):
    imposter = Credentials(caller.access_key, "x" * 40)
    for user in (None, imposter, stack.user("stranger")):
        assert stack.post(*ROUTING, user=user, tenant=acme)[0] == 403
    assert stack.post(*PUBLISHING, user=caller, tenant=acme)[0] == 403


def test_a_policy_is_published(published):
    assert published[0] == 200, published
    assert published[1]["name"] == "acme/support"


def test_only_a_tenants_own_key_speaks_for_it(stack, caller, published):
    """ministack tells functions no IAM identity, so that here the HMAC signature alone says who is calling."""
    status, reply = stack.post(*ROUTING, user=caller)
    assert (status, reply["error"]["code"]) == (401, "missing_credentials")
    status, reply = stack.post(*ROUTING, user=caller, tenant=HmacCredentials("key-acme", b"guessed"))
    assert (status, reply["error"]["code"]) == (401, "bad_signature")
    status, reply = stack.post(*ROUTING, user=caller, tenant=stack.enrol("globex"))
    assert (status, reply["error"]["code"]) == (404, "unknown_policy")


def test_the_ledger_counts_budgets_and_remembers_keys(stack, publisher, caller):
    """A tenant of its own: what it asks must not be among the decisions that are counted below."""
    tenant = stack.enrol("initech")
    source = POLICY + "\nbudget org growth $0.01/day when unreachable closed\n"
    status, told = stack.post(
        "PublishUrl", "/v1/policies/acme/support", {"source": source}, user=publisher, tenant=tenant
    )
    assert status == 200, told

    def ask(**fields):
        return stack.post("RouteUrl", "/v1/route", {**ASKED, "org": "growth", **fields}, user=caller, tenant=tenant)

    first = ask(idempotency_key="order-7")
    assert first[0] == 200, first
    assert ask(idempotency_key="order-7") == first
    assert ask(idempotency_key="order-7", tool_loop=True)[1]["error"]["code"] == "idempotency_conflict"
    answers = [ask() for _ in range(60)]
    assert answers[-1][1]["error"]["code"] == "budget_denied"
    costs = [reply["expected_cost_nanodollars"] for status, reply in [first, *answers] if status == 200]
    # Each environment that the emulator keeps may go a call beyond the limit; how many it keeps is its own affair.
    assert 10_000_000 <= sum(costs) <= 10_000_000 + 8 * max(costs), costs


def test_telemetry_moves_the_statistics_once(stack, decisions, eventually):
    eventually(lambda: len(stack.records("acme", "outcomes")) >= DECISIONS + 1, "outcome records in S3")
    states = sorted(each["state"] for each in stack.records("acme", "outcomes"))
    assert states == ["applied"] * DECISIONS + ["duplicate"]
    assert sum(stack.cells("acme").values()) == DECISIONS


def test_every_receipt_is_in_s3(stack, decisions, eventually):
    wanted = {each["decision_id"] for each in decisions}
    eventually(lambda: len(stack.records("acme", "receipts")) >= DECISIONS, "receipts in S3")
    receipts = [each["receipt"] for each in stack.records("acme", "receipts")]
    assert {each["circumstances"]["decision_id"] for each in receipts} == wanted
    assert len(receipts) == DECISIONS


@pytest.mark.parametrize("kind", ["Telemetry", "Records"])
def test_poison_reaches_the_dead_letter_queue_with_its_reason(stack, eventually, kind):
    sqs, dead = stack.aws("sqs"), stack.outputs[f"{kind}DeadLetterQueueUrl"]
    sqs.send_message(QueueUrl=stack.ids[f"{kind}Queue"], MessageBody="not one of ours")

    def found():
        return sqs.receive_message(QueueUrl=dead, MessageAttributeNames=["All"]).get("Messages")

    (message,) = eventually(found, "a dead letter")
    assert message["Body"] == "not one of ours"
    assert message["MessageAttributes"]["reason"]["StringValue"] == "the message is not JSON"


@pytest.fixture(scope="module")
def pointsman(stack, environment):
    """The command, as the stack's operator runs it."""

    def run(*arguments):
        command = [sys.executable, "-m", "policy_cli.main", *arguments, "--stack", STACK, "--format", "json"]
        ended = subprocess.run(
            command, cwd=ROOT, env=environment | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=120
        )
        assert ended.returncode in (0, 1), ended.stderr
        return ended.returncode, json.loads(ended.stdout)

    return run


def test_the_doctor_finds_the_books_balanced_and_the_poison(stack, decisions, pointsman, eventually):
    eventually(lambda: len(stack.records("acme", "outcomes")) >= DECISIONS + 1, "outcome records in S3")
    eventually(lambda: len(stack.records("acme", "receipts")) >= DECISIONS, "receipts in S3")
    code, found = pointsman("doctor", "--tenant", "acme", "--markers")
    sides = {each["identity"]: (each["left"], each["right"]) for each in found["tenants"]["acme"]["identities"]}
    assert all(each["balanced"] for each in found["tenants"]["acme"]["identities"]), found
    assert sides["I1"] == ({"decided": DECISIONS}, {"filed": DECISIONS})
    assert sides["I2"][0] == {"accepted": DECISIONS + 1}
    assert sides["I2"][1] | {"late": 0, "rejected": 0} == {
        "applied": DECISIONS,
        "duplicate": 1,
        "late": 0,
        "rejected": 0,
    }
    assert sides["I6"] == ({"receipts": DECISIONS}, {"byte-equal": DECISIONS})
    assert code == (1 if found["findings"] else 0)
    assert {each["code"] for each in found["findings"]} <= {"poison"}


def test_dead_letters_are_redriven_and_poison_comes_back_with_its_reason(stack, pointsman, eventually):
    stack.aws("sqs").send_message(QueueUrl=stack.outputs["RecordsDeadLetterQueueUrl"], MessageBody="not ours either")
    before = set(pointsman("redrive", "records", "--dry-run")[1]["poison"])
    assert len(pointsman("redrive", "records")[1]["moved"]) == 1

    def returned():
        return pointsman("redrive", "records", "--dry-run")[1]["poison"].keys() - before

    (message,) = eventually(returned, "the poison to come back")
    code, shown = pointsman("redrive", "records")
    assert (code, shown["moved"], shown["poison"][message]) == (1, [], "the message is not JSON")


def test_athena_counts_the_receipts(stack, decisions, eventually):
    """ministack neither projects partitions nor follows a location template: it reads the whole bucket."""
    eventually(lambda: len(stack.records("acme", "receipts")) >= DECISIONS, "receipts in S3")
    query = "SELECT count(DISTINCT receipt.circumstances.decision_id) FROM receipts WHERE receipt.tenant = 'acme'"
    assert stack.athena(query, eventually) == [[str(DECISIONS)]]


def test_a_busy_tenant_gets_a_snapshot_that_nobody_else_asked_for(stack, decisions, eventually):
    asked = eventually(lambda: [line for line in stack.logs("LearnLogs") if '"busy"' in line], "word of a busy tenant")
    assert not [line for line in asked if '"unasked"' in line]
    learned = eventually(lambda: stack.state("acme").snapshot.cells, "estimates")
    assert {arm for arms in learned.values() for arm in arms} >= {each["plan"][0]["arm"] for each in decisions}


def test_watch_makes_a_snapshot_of_what_was_learned(stack, decisions, eventually):
    eventually(lambda: sum(stack.cells("acme").values()) == DECISIONS, "statistics")
    event = json.dumps({"tenant": "acme", "time": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"})
    answer = stack.aws("lambda").invoke(FunctionName=stack.ids["WatchFunction"], Qualifier="live", Payload=event)
    told = json.loads(answer["Payload"].read())
    assert told["versions"]["acme"] >= 2, told


def test_operators_get_their_dashboard_and_alarms(stack):
    cloudwatch = stack.aws("cloudwatch")
    assert len(cloudwatch.list_dashboards()["DashboardEntries"]) == 1
    alarms = cloudwatch.describe_alarms()["MetricAlarms"]
    assert {each["Namespace"] for each in alarms} == {"AWS/SQS", "AWS/Lambda", "AWS/DynamoDB", "Pointsman"}


def test_no_prompt_and_no_secret_is_in_a_log(stack, decisions):
    said = "\n".join(line for group in stack.ids if group.endswith("Logs") for line in stack.logs(group))
    assert "routing.decision.id" in said
    assert "Traceback" not in said
    assert not [each for each in decisions if each["token"] in said]
