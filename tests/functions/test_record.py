"""Receipts and outcome records to S3: filed by hour, whole, and the same however often they are delivered."""

from __future__ import annotations

import json

from functions.stores.messages import RecordLines, pack_lines
from policy_engine.receipt import open_sealed


def test_receipts_are_filed_under_the_hour_of_their_decision(cloud):
    ids = [cloud.route()[1]["decision_id"] for _ in range(3)]
    assert cloud.record() == []
    (key,) = cloud.keys("records-bucket")
    assert key.startswith("acme/receipts/dt=2026-09-21/hh=14/")
    assert key.endswith(".jsonl.gz")
    assert sorted(open_sealed(line)["circumstances"]["decision_id"] for line in cloud.filed("receipts")) == sorted(ids)


def test_hours_kinds_and_tenants_are_filed_apart(cloud, report):
    reply = cloud.route()[1]
    cloud.now += 3_600_000
    cloud.route()
    cloud.ingest([report(reply)])
    cloud.ingest([report(reply)], principal="arn:aws:sts::222222222222:assumed-role/globex-app/s")
    cloud.learn(cloud.take("telemetry"))
    assert cloud.record() == []
    assert sorted(key.rsplit("/", 1)[0] for key in cloud.keys("records-bucket")) == [
        "acme/outcomes/dt=2026-09-21/hh=15",
        "acme/receipts/dt=2026-09-21/hh=14",
        "acme/receipts/dt=2026-09-21/hh=15",
        "globex/outcomes/dt=2026-09-21/hh=15",
    ]


def test_a_batch_delivered_again_in_any_order_changes_nothing(cloud):
    for _ in range(4):
        cloud.route()
    messages = cloud.take("records")
    cloud.record(messages)
    (key,) = cloud.keys("records-bucket")
    body = cloud.s3.get_object(Bucket="records-bucket", Key=key)["Body"].read()
    cloud.record(messages[::-1])
    assert cloud.keys("records-bucket") == [key]
    assert cloud.s3.get_object(Bucket="records-bucket", Key=key)["Body"].read() == body


def test_what_is_altered_or_cut_off_is_set_aside_with_a_reason_and_the_rest_is_filed(cloud):
    for _ in range(2):
        cloud.route()
    first, second = cloud.take("records")
    header, line = first["body"].split("\n")
    outcome = RecordLines("acme", "outcome", cloud.now, ("{}",))
    bad = {
        "altered": first["body"].replace('"floor":"unproven"', '"floor":"cleared"', 1),
        "cut": first["body"][:-40],
        "headless": line,
        "empty": header,
        "another tenant's": first["body"].replace('"tenant": "acme"', '"tenant": "globex"'),
        "unknown kind": first["body"].replace('"kind": "receipt"', '"kind": "rumour"'),
        "an outcome of nobody": pack_lines(outcome),
        "too deep": pack_lines(RecordLines("acme", "outcome", cloud.now, ("[" * 100_000,))),
        "beyond the calendar": pack_lines(RecordLines("acme", "outcome", 10**30, ('{"tenant":"acme"}',))),
        "before all time": pack_lines(RecordLines("acme", "outcome", -(10**16), ('{"tenant":"acme"}',))),
        "a tenant that is a path": pack_lines(RecordLines("../globex", "outcome", 1, ('{"tenant":"../globex"}',))),
        "a tenant that is no text": '{"at_ms":1,"kind":"outcome","tenant":"\\ud800"}\n{"tenant":"\\ud800"}',
        "no text of ours": "hello",
    }
    assert cloud.record([*({"messageId": name, "body": body} for name, body in bad.items()), second]) == []
    dead = cloud.dead("records")
    assert {name: body for name, (body, _) in dead.items()} == bad
    assert all(reason for _, reason in dead.values())
    assert cloud.filed("receipts") == [second["body"].split("\n")[1]]


def test_a_reason_is_short_and_printable_whatever_it_quotes(cloud):
    receipt = {"circumstances": {"decision_id": "d"}, "format": "\x00\n\u202e" * 5_000}
    line = json.dumps({"hash": "", "receipt": receipt})
    body = pack_lines(RecordLines("acme", "receipt", cloud.now, (line,)))
    assert cloud.record([{"messageId": "odd", "body": body}]) == []
    ((_, reason),) = cloud.dead("records").values()
    assert reason.startswith("the receipt is in format ???")
    assert reason.isprintable()
    assert len(reason) == 200


def test_a_bucket_that_is_down_brings_every_message_back(cloud, failing):
    cloud.route()
    messages = cloud.take("records")
    cloud.faults.append(failing("s3."))
    assert cloud.record(messages) == [messages[0]["messageId"]]
    cloud.faults.clear()
    assert cloud.record(messages) == []
    assert len(cloud.filed("receipts")) == 1


def test_every_accepted_record_can_be_counted_from_s3_alone(cloud, report):
    replies = [cloud.route()[1] for _ in range(8)]
    accepted = []
    for number, reply in enumerate(replies):
        told = [report(reply)] * (1 + number % 3) + [report(reply, token=reply["token"][:-2] + "AA")]
        assert cloud.ingest(told)[0] == 202
        accepted += [f"request-{cloud.requests}:{position}" for position in range(len(told))]
    cloud.learn(cloud.take("telemetry"))
    cloud.record()
    assert sorted(cloud.outcomes()) == sorted(accepted)
    assert cloud.states() == {"applied": 8, "duplicate": 7, "rejected": 8}
    decided = {open_sealed(line)["circumstances"]["decision_id"] for line in cloud.filed("receipts")}
    applied = {found["decision_id"] for found in cloud.outcomes().values() if found["state"] == "applied"}
    assert applied == decided
    assert all(json.loads(line)["tenant"] == "acme" for line in cloud.filed("outcomes"))
