"""`pointsman doctor` and `pointsman redrive` on a stack at work: what they find, say, and leave alone."""

from __future__ import annotations

import json
import time

import pytest

from policy_cli.demo.harvest import corrupt_receipt, lose_message
from policy_cli.demo.onboarding import hmac_credentials, onboard
from policy_cli.demo.policies import sample_texts
from policy_cli.deployment import Deployment
from policy_cli.dev import LocalStack, VirtualClock
from policy_cli.doctor.reading import Asked, witness_of
from policy_client import Client, build_envelope
from policy_engine.accounting import Witness

DECISIONS = 8
ENVELOPE = build_envelope(task_type="label", context_tokens=900, estimated_tokens=300)


class Operated:
    """A stack whose tenant was busy ten minutes ago, and the command as its operator runs it."""

    def __init__(self, stack: LocalStack, run) -> None:
        self.stack, self.run = stack, run
        self.s3, self.sqs = stack.resources.client("s3"), stack.resources.client("sqs")
        self.bucket = stack.resources.name("RecordsBucket")
        (tenant,) = onboard(stack, [text for text in sample_texts() if text.tenant == "acme"])
        with Client(stack.url, hmac_credentials(tenant), clock=stack.clock, batch_age=1e9, read_timeout=60) as client:
            self.replies = [client.route(policy="acme/support", envelope=ENVELOPE) for _ in range(DECISIONS)]
            for reply in self.replies:
                client.telemetry(reply, outcome="ok", input_tokens=300, output_tokens=20, latency_ms=700)
            assert client.flush(60)

    def examined(self, *arguments, code=0):
        ended = self.run("doctor", "--format", "json", *arguments)
        assert ended.exit_code == code, ended.output
        found = json.loads(ended.output)
        return found, {each["identity"]: each for each in found["tenants"]["acme"]["identities"]}

    def codes(self, *arguments):
        """Codes and subjects of what is wrong."""
        found, _ = self.examined(*arguments, code=1)
        return {(each["identity"], each["code"]): each for each in found["tenants"]["acme"]["findings"]}

    def keys(self, folder):
        return [
            each["Key"]
            for each in self.s3.list_objects_v2(Bucket=self.bucket, Prefix=f"acme/{folder}/").get("Contents", ())
        ]

    def dead(self, queue, *bodies, reason=None):
        url = self.stack.resources.name(f"{queue.capitalize()}DeadLetterQueue")
        told = {"MessageAttributes": {"reason": {"DataType": "String", "StringValue": reason}}} if reason else {}
        for body in bodies:
            self.sqs.send_message(QueueUrl=url, MessageBody=body, **told)


@pytest.fixture
def at_work(run):
    """Nothing is worked off yet."""
    with LocalStack(clock=VirtualClock(time.time_ns() // 1_000_000 - 600_000), seed=1, aws_port=0) as stack:
        yield Operated(stack, run)


@pytest.fixture
def rested(at_work):
    at_work.stack.pump()
    return at_work


def test_the_books_of_a_rested_stack_balance(rested):
    found, identities = rested.examined("--markers")
    assert (found["well"], found["quiet"]) == (True, True)
    assert all(each["balanced"] for each in identities.values())
    assert (identities["I1"]["left"], identities["I1"]["right"]) == ({"decided": DECISIONS}, {"filed": DECISIONS})
    assert identities["I2"]["left"] == {"accepted": DECISIONS}
    assert identities["I2"]["right"]["applied"] == DECISIONS
    costs = {*identities["I5"]["left"].values(), *identities["I5"]["right"].values()}
    assert len(costs) == 1
    assert costs.pop() > 0
    text = rested.run("doctor")
    assert (text.exit_code, text.output.splitlines()[-1]) == (0, "the books balance")


def test_the_past_is_copied_once_and_replays(rested, tmp_path):
    folder = tmp_path / "past"
    (files,) = json.loads(rested.run("receipts", folder, "--format", "json").output).values()
    assert min(files.values()) >= 1
    assert files["new"] == files["receipts"] + files["outcomes"] + files["policies"]
    found = json.loads(rested.run("replay", folder, "--format", "json").output)
    assert (found["receipts"], found["equal"]) == (DECISIONS, DECISIONS)
    priced = json.loads(rested.run("price", folder, "--as-of", "2026-11-21", "--format", "json").output)
    assert (priced["decisions"], priced["spent"]["calls"]) == (DECISIONS, DECISIONS)
    again = rested.run("receipts", folder, "--tenant", "acme")
    assert again.stdout.endswith(f", policies {files['policies']}; new 0\n")
    assert f"`pointsman replay {folder / 'acme'}` decides again on them" in again.stderr
    assert not list(folder.rglob("*.part"))


def test_the_past_of_a_stranger_or_into_a_file_is_refused(rested, tmp_path):
    stranger = rested.run("receipts", tmp_path, "--tenant", "nobody")
    assert (stranger.exit_code, stranger.stdout) == (2, "")
    assert "no tenant `nobody` is enrolled in pointsman; it has acme" in stranger.stderr
    (tmp_path / "acme").write_text("in the way")
    blocked = rested.run("receipts", tmp_path)
    assert blocked.exit_code == 2
    assert "cannot write" in blocked.stderr


def test_a_tenant_without_traffic_takes_one_line(rested):
    onboard(rested.stack, [text for text in sample_texts() if text.tenant == "quay"])
    lines = rested.run("doctor").output.splitlines()
    assert "quay: nothing in its books" in lines
    assert lines[-1] == "the books balance"


@pytest.mark.parametrize(
    ("option", "said"),
    [("--decisions", "which is no decision id of 32"), ("--accepted", "which is no id of an accepted record")],
)
def test_ids_that_are_none_are_refused(rested, tmp_path, option, said):
    file = tmp_path / "ids"
    file.write_text("x.y")
    done = rested.run("doctor", "--tenant", "acme", option, file)
    assert done.exit_code == 2
    assert f"`{file}` holds `x.y`, {said}" in done.stderr


def test_what_is_under_way_is_no_finding_and_can_be_looked_into(at_work):
    found, identities = at_work.examined()
    assert found["restless"][1] == f"the records queue has {DECISIONS} waiting and 0 in work"
    assert {each["settled"] for each in found["tenants"]["acme"]["findings"]} == {False}
    assert len(identities["I1"]["findings"]) == DECISIONS
    _, identities = at_work.examined("--queued")
    assert (identities["I1"]["right"], identities["I2"]["right"]["queued"]) == ({"queued": DECISIONS}, DECISIONS)
    lines = at_work.run("doctor").output.splitlines()
    assert lines[1].startswith("  I1  unsettled  decided ")
    assert lines[-1] == "no findings"
    at_work.stack.pump()
    at_work.examined()


def test_a_lost_receipt_is_named_with_the_place_to_look_for_it(at_work):
    lose_message(at_work.stack)
    at_work.stack.pump()
    finding = at_work.codes()["I1", "receipt_missing"]
    assert finding["subject"] in {reply.decision_id for reply in at_work.replies}
    assert finding["command"].startswith(f"aws s3api list-object-versions --bucket {at_work.bucket} --prefix acme/rec")
    text = at_work.run("doctor").output
    assert finding["subject"] in text
    assert finding["command"] in text


def test_a_receipt_that_was_altered_does_not_replay(rested):
    corrupt_receipt(rested.stack)
    assert ("I6", "receipt_unequal") in rested.codes()


def test_lost_outcome_records_are_named_and_missed_in_the_cells(rested):
    for key in rested.keys("outcomes"):
        rested.s3.delete_object(Bucket=rested.bucket, Key=key)
    codes = rested.codes("--markers")
    assert codes.keys() >= {("I2", "outcome_missing"), ("I4", "cell_differs"), ("I5", "cost_differs")}
    assert codes["I2", "outcome_missing"]["why"].startswith("counted as outcome of hop 0 of ")
    _, identities = rested.examined(code=1)
    assert len(identities["I2"]["findings"]) == DECISIONS


@pytest.mark.parametrize(("name", "broken"), [("c", {"I4"}), ("k", {"I4", "I5"}), ("l", {"I4"})])
def test_a_cell_that_was_changed_by_hand_differs(rested, name, broken):
    dynamodb, table = rested.stack.resources.client("dynamodb"), rested.stack.resources.name("StatisticsTable")
    cell = next(item for item in dynamodb.scan(TableName=table)["Items"] if item["sk"]["S"].startswith("cell#"))
    dynamodb.update_item(
        TableName=table, Key={key: cell[key] for key in ("pk", "sk")}, UpdateExpression="ADD #n :one",
        ExpressionAttributeNames={"#n": name}, ExpressionAttributeValues={":one": {"N": "1"}},
    )  # fmt: skip
    assert {identity for identity, _ in rested.codes()} == broken
    found, identities = rested.examined("--since", "2026-01-01")
    assert "unchecked" in identities["I4"]
    assert found["well"]


def test_ids_that_the_caller_kept_stand_in_for_the_logs(rested, tmp_path):
    kept = tmp_path / "decisions"
    kept.write_text("\n".join([*(reply.decision_id for reply in rested.replies), "0" * 32]))
    finding = rested.codes("--tenant", "acme", "--decisions", kept)["I1", "receipt_missing"]
    assert finding["subject"] == "0" * 32
    refused = rested.run("doctor", "--decisions", kept)
    assert refused.exit_code == 2
    assert "--tenant" in refused.output


def test_of_the_logs_of_many_tenants_only_the_lines_of_the_one_are_fetched(rested):
    texts = [text for text in sample_texts() if text.tenant == "quay"]
    (quay,) = onboard(rested.stack, texts)
    with Client(rested.stack.url, hmac_credentials(quay), clock=rested.stack.clock, read_timeout=60) as client:
        client.route(policy=texts[0].name, envelope=ENVELOPE)
    deployment, fetched = Deployment("pointsman"), []
    logs = deployment.client("logs")
    logs.meta.events.register(
        "after-call.cloudwatch-logs.FilterLogEvents", lambda parsed, **_: fetched.extend(parsed["events"])
    )
    assert len(witness_of(deployment, "acme", Asked()).decided) == DECISIONS
    assert witness_of(deployment, "nobody", Asked()) == Witness(set(), set())
    assert len(fetched) >= DECISIONS
    assert {json.loads(event["message"])["tenant"] for event in fetched} == {"acme"}
    said = logs.filter_log_events(logGroupName=deployment.name("RouteLogs"))["events"]
    assert any('"quay"' in event["message"] for event in said)


def test_a_stack_that_is_not_there_is_a_tool_error(rested):
    ended = rested.run("doctor", "--stack", "nowhere")
    assert ended.exit_code == 2
    assert "nowhere" in ended.output


def test_a_tenant_that_is_not_enrolled_has_no_books_to_balance(rested):
    ended = rested.run("doctor", "--tenant", "acne")
    assert ended.exit_code == 2
    assert "no tenant `acne` is enrolled" in ended.output
    assert "acme" in ended.output


def test_what_was_given_up_is_found_and_redriven_and_counts_once(at_work):
    records = at_work.stack.resources.name("RecordsQueue")
    message = at_work.sqs.receive_message(QueueUrl=records)["Messages"][0]
    at_work.sqs.delete_message(QueueUrl=records, ReceiptHandle=message["ReceiptHandle"])
    at_work.dead("records", message["Body"], message["Body"])
    at_work.stack.pump()
    found, identities = at_work.examined(code=1)
    assert identities["I1"]["right"] == {"filed": DECISIONS - 1, "dead": 1}
    assert all(each["balanced"] for each in identities.values())
    (finding,) = found["findings"]
    assert finding["command"] == "pointsman redrive records"
    shown = at_work.run("redrive", "records", "--dry-run")
    assert (shown.exit_code, shown.output.splitlines()[-1]) == (0, "2 would be moved, 0 left")
    for _ in range(2):
        moved = at_work.run("redrive", "records", "--limit", 1)
        assert (moved.exit_code, moved.output.splitlines()[-1]) == (0, "1 moved, 0 left")
    assert at_work.run("redrive", "records").output == "0 moved, 0 left\n"
    at_work.stack.pump()
    _, identities = at_work.examined()
    assert identities["I1"]["right"] == {"filed": DECISIONS}


def test_poison_is_shown_with_its_reason_and_moved_only_on_request(rested):
    rested.dead("telemetry", "}", reason="the message is not JSON")
    found, _ = rested.examined(code=1)
    assert found["dead_letters"]["telemetry"] == {"poison": 1, "given_up": 0}
    assert found["findings"][0]["command"] == "pointsman redrive telemetry --include-poison --dry-run"
    ended = rested.run("redrive", "telemetry")
    assert (ended.exit_code, ended.output.splitlines()[-1]) == (1, "0 moved, 1 left")
    assert ": the message is not JSON" in ended.output
    ended = rested.run("redrive", "telemetry", "--include-poison")
    assert (ended.exit_code, ended.output.splitlines()[-1]) == (0, "1 moved, 0 left")
    rested.stack.pump()
    assert rested.run("redrive", "telemetry").exit_code == 1


def test_telemetry_that_might_outlive_its_markers_is_not_redriven(at_work):
    telemetry = at_work.stack.resources.name("TelemetryQueue")
    (message,) = at_work.sqs.receive_message(QueueUrl=telemetry)["Messages"]
    told, day_ms = json.loads(message["Body"]), 86_400_000
    aged = [told | {"received_ms": told["received_ms"] - days * day_ms} for days in (24, 26)]
    at_work.dead("telemetry", *map(json.dumps, aged))
    ended = at_work.run("redrive", "telemetry", "--include-poison")
    assert (ended.exit_code, ended.output.splitlines()[-1]) == (1, "1 moved, 1 left")
    assert "accepted 26 days ago; after 25 it might count twice" in ended.output
