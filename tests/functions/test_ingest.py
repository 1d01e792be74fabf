"""`POST /v1/telemetry`: the whole batch is in the queue, stamped, or it was not accepted."""

from __future__ import annotations

import pytest

from functions.stores import clients
from functions.stores.errors import StoreError
from functions.stores.messages import unpack_telemetry
from functions.stores.queues import Queue

RECORD = {"token": "1.k2." + "a" * 40, "arm": "openai/gpt-5-mini", "outcome": "ok"}


def test_accepted_records_are_in_the_queue_with_tenant_time_and_id(cloud):
    assert cloud.ingest([RECORD, {**RECORD, "hop": 1}]) == (202, {"accepted": 2})
    (message,) = cloud.take("telemetry")
    told = unpack_telemetry(message["body"])
    assert [each.record_id for each in told] == [f"request-{cloud.requests}:0", f"request-{cloud.requests}:1"]
    assert {(each.tenant, each.received_ms) for each in told} == {("acme", cloud.now)}
    assert [each.record.hop for each in told] == [0, 1]


def test_a_large_batch_is_packed_into_few_messages_and_loses_none(cloud):
    records = [{**RECORD, "latency_ms": number} for number in range(500)]
    assert cloud.ingest(records) == (202, {"accepted": 500})
    assert cloud.calls.count("sqs.SendMessageBatch") == 2
    told = [each for message in cloud.take("telemetry") for each in unpack_telemetry(message["body"])]
    assert sorted(each.record.latency_ms for each in told) == list(range(500))
    assert len({each.record_id for each in told}) == 500


def test_long_tokens_are_spread_over_more_messages(cloud):
    records = [{**RECORD, "token": "1.k2." + "a" * 12_000} for _ in range(20)]
    assert cloud.ingest(records)[0] == 202
    messages = cloud.take("telemetry")
    assert len(messages) == 3
    assert sum(len(unpack_telemetry(message["body"])) for message in messages) == 20


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ("", 400, "malformed_json"),
        ("[]", 400, "invalid_field"),
        ('{"records":[],"records":[]}', 400, "duplicate_key"),
        ('{"records":NaN}', 400, "not_a_number"),
        ("[" * 1000 + "]" * 1000, 400, "too_deep"),
        ({"records": []}, 400, "invalid_field"),
        ({"records": [RECORD] * 501}, 400, "invalid_field"),
        ({"records": [RECORD], "tenant": "acme"}, 400, "unknown_field"),
        ({"records": [RECORD, {**RECORD, "prompt": "x"}]}, 400, "unknown_field"),
        ({"records": [{**RECORD, "outcome": "great"}]}, 400, "invalid_field"),
        ({"records": [{**RECORD, "token": "\ud800" * 20}]}, 400, "invalid_field"),
        ({"records": [{**RECORD, "quality": 1.5}]}, 400, "invalid_field"),
        ({"records": "x" * 1_048_576}, 413, "body_too_large"),
    ],
)
def test_a_bad_batch_is_refused_as_a_whole_with_a_code(cloud, body, status, code):
    found, document = cloud.ingest(body)
    assert (found, document["error"]["code"]) == (status, code)
    assert cloud.take("telemetry") == []


def test_a_refused_record_is_named_by_its_position(cloud):
    assert cloud.ingest([RECORD, {**RECORD, "hop": 99}])[1]["error"]["message"].startswith("records[1]: ")


def test_an_unreachable_queue_is_a_503_and_the_batch_sent_again_is_accepted(cloud, failing):
    cloud.faults.append(failing("sqs.", code="ServiceUnavailable"))
    status, document = cloud.ingest([RECORD])
    assert (status, document["error"]["code"]) == (503, "telemetry_unavailable")
    cloud.faults.clear()
    assert cloud.ingest([RECORD])[0] == 202


def test_messages_that_sqs_refuses_are_offered_once_more_and_then_reported(cloud):
    # SQS may take a batch in part; moto never does, so its answer is altered on the way back.
    refusals = 1

    def refuse(parsed, **_):
        nonlocal refusals
        if refusals:
            refusals -= 1
            parsed["Failed"] = [{"Id": "1", "Code": "InternalError", "SenderFault": False}]

    sqs = clients.impatient("sqs")
    sqs.meta.events.register("after-call.sqs.SendMessageBatch", refuse)
    queue = Queue(sqs, cloud.queues["telemetry"], "telemetry_unavailable")
    queue.send_all(["first", "second"])
    assert [message["body"] for message in cloud.take("telemetry")] == ["first", "second", "second"]
    refusals = 2
    with pytest.raises(StoreError) as outage:
        queue.send_all(["first", "second"])
    assert (outage.value.code, outage.value.cause) == ("telemetry_unavailable", "InternalError")
