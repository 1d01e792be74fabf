"""Telemetry to statistics: at-least-once in, exactly-once out, and an outcome record for every accepted record."""

from __future__ import annotations

import json
import random
from collections import Counter

import pytest

from functions.learn import app as learn
from functions.stores.markers import AT_ONCE, FULL
from policy_engine.accounts import exploration
from policy_engine.decision import decision_id_for
from policy_engine.packing import WIDEST, bucket_of, packed
from policy_engine.settlement import OUTCOME_LIMIT_MS, QUALITY_LIMIT_MS, MarkerKey
from policy_engine.token import SigningKeys, TokenArm, TokenClaims, mint

DAY = 24 * 3600 * 1000
KEYS = SigningKeys("k2", {"k1": b"\xaa" * 32, "k2": b"\xbb" * 32})


@pytest.fixture
def decisions(cloud):
    """Route replies."""
    return lambda count: [cloud.route()[1] for _ in range(count)]


@pytest.fixture
def tell(cloud):
    """Ingest records and return the messages they became."""

    def accept(*records):
        status, document = cloud.ingest(list(records))
        assert (status, document) == (202, {"accepted": len(records)})
        return cloud.take("telemetry")

    return accept


def test_outcomes_move_the_statistics_and_leave_outcome_records(cloud, decisions, tell, report):
    replies = decisions(6)
    messages = tell(*[report(reply, "ok" if n % 3 else "wrong") for n, reply in enumerate(replies)])
    assert cloud.learn(messages) == []
    assert sum(counted for counted, _ in cloud.cells().values()) == 6
    assert sum(good for _, good in cloud.cells().values()) == 4
    assert cloud.record() == []
    assert cloud.states() == {"applied": 6}
    first = next(found for found in cloud.outcomes().values() if found["decision_id"] == replies[0]["decision_id"])
    assert first["fields"] == {"outcome": "applied"}
    assert (first["outcome"], first["input_tokens"], first["arm"]) == ("wrong", 300, replies[0]["arm"])
    assert first["cost_nanodollars"] > 0
    assert "token" not in first


def test_a_message_delivered_again_counts_once_and_is_not_a_duplicate(cloud, decisions, tell, report):
    messages = tell(*[report(reply) for reply in decisions(3)])
    for _ in range(3):
        assert cloud.learn(messages) == []
    assert cloud.learn(messages + messages) == []
    cloud.record()
    assert sum(counted for counted, _ in cloud.cells().values()) == 3
    assert cloud.states() == {"applied": 3}


def test_a_record_reported_twice_is_a_counted_duplicate(cloud, decisions, tell, report):
    (reply,) = decisions(1)
    cloud.learn(tell(report(reply), report(reply, "wrong")))
    cloud.learn(tell(report(reply)))
    cloud.record()
    assert sum(counted for counted, _ in cloud.cells().values()) == 1
    assert cloud.states() == {"applied": 1, "duplicate": 2}


def test_every_order_and_multiplicity_of_deliveries_ends_in_the_same_state(bare, policy_text, report):
    bare.publish(policy_text)
    replies = [bare.route()[1] for _ in range(25)]
    for count, reply in enumerate(replies):
        bare.ingest([report(reply, "ok" if count % 4 else "invalid_output"), report(reply, None, quality=0.5)])
        if count % 5 == 0:
            bare.ingest([report(reply)])
    messages = bare.take("telemetry")
    chance = random.Random(7)
    deliveries = [message for message in messages for _ in range(chance.randint(1, 5))]
    chance.shuffle(deliveries)
    while deliveries:
        size = chance.randint(1, 10)
        assert bare.learn(deliveries[:size]) == []
        del deliveries[:size]
    bare.record()
    assert sum(counted for counted, _ in bare.cells().values()) == 25
    assert bare.states() == {"applied": 50, "duplicate": 5}


def test_quality_may_come_with_the_outcome_or_after_it(cloud, decisions, tell, report):
    first, second = decisions(2)
    cloud.learn(tell(report(first, quality=0.75)))
    cloud.learn(tell(report(second), report(second, None, quality=0.25)))
    rows = list(cloud.statistics.cells("acme"))
    weight, total = (sum(row.sums.get(name, 0) for row in rows) for name in ("qn", "q"))
    assert total == weight * 500_000
    cloud.record()
    assert cloud.states() == {"applied": 3}


def test_each_field_of_a_record_has_its_own_fate(cloud, decisions, tell, report):
    (reply,) = decisions(1)
    cloud.learn(tell(report(reply)))
    cloud.learn(tell(report(reply, quality=1)))
    cloud.record()
    fates = [found["fields"] for found in cloud.outcomes().values()]
    assert {"outcome": "duplicate", "quality": "applied"} in fates
    assert cloud.states() == {"applied": 2}


@pytest.mark.parametrize(
    ("age", "field", "state"),
    [
        (OUTCOME_LIMIT_MS, {"outcome": "ok"}, "applied"),
        (OUTCOME_LIMIT_MS + 1, {"outcome": "ok"}, "late"),
        (QUALITY_LIMIT_MS, {"outcome": None, "quality": 1}, "applied"),
        (QUALITY_LIMIT_MS + 1, {"outcome": None, "quality": 1}, "late"),
        (2 * DAY, {"outcome": "ok", "quality": 1}, "applied"),
    ],
)
def test_lateness_is_judged_per_field_by_the_time_of_arrival(cloud, decisions, tell, report, age, field, state):
    (reply,) = decisions(1)
    cloud.now += age
    cloud.learn(tell(report(reply, **field)))
    cloud.record()
    assert cloud.states() == {state: 1}
    assert bool(list(cloud.statistics.cells("acme"))) is (state == "applied")


def test_forged_tokens_are_counted_rejections_and_move_nothing(cloud, decisions, tell, report):
    (reply,) = decisions(1)
    head, _, mac = reply["token"].rpartition(".")
    forged = [
        {"token": f"{head}.{mac[::-1]}"},
        {"token": f"{head.replace('.k2.', '.k1.')}.{mac}"},
        {"token": f"{head.replace('.k2.', '.k9.')}.{mac}"},
        {"token": "not-a-token-of-ours"},
        {"token": "1.k2.e30." + "a" * 43},
        {"arm": "openai/gpt-5"},
    ]
    assert cloud.learn(tell(*[report(reply, **each) for each in forged])) == []
    cloud.record()
    assert cloud.states() == {"rejected": 6}
    reasons = Counter(found["reason"] for found in cloud.outcomes().values())
    assert reasons == {"bad_signature": 4, "malformed_token": 1, "unknown_arm": 1}
    assert cloud.items("statistics") == []


def test_another_tenants_token_is_rejected_and_shows_nothing_of_its_decision(cloud, decisions, report):
    (reply,) = decisions(1)
    foreign = "arn:aws:sts::222222222222:assumed-role/globex-app/s"
    assert cloud.ingest([report(reply)], principal=foreign)[0] == 202
    cloud.learn(cloud.take("telemetry"))
    cloud.record()
    (found,) = cloud.outcomes("globex").values()
    assert (found["state"], found["reason"]) == ("rejected", "foreign_tenant")
    assert reply["decision_id"] not in json.dumps(found)
    assert cloud.items("statistics") == []
    assert cloud.outcomes("acme") == {}


def test_the_older_signing_key_still_verifies(cloud, tell, report):
    arm = TokenArm("openai/gpt-5-mini", 0, 250_000, 2_000_000, 25_000, 250_000)
    claims = TokenClaims("acme", "0" * 32, "ab" * 10, "label", "labelling", (arm,), 1_000_000, False, cloud.now)
    token = mint(claims, SigningKeys("k1", KEYS.secrets))
    cloud.learn(tell(report({"token": token, "plan": [{"arm": arm.arm}]})))
    cloud.record()
    assert cloud.states() == {"applied": 1}
    assert next(iter(cloud.outcomes().values()))["cost_nanodollars"] == 300 * 250 + 20 * 2_000


def test_exploration_is_paid_for_in_the_same_transaction(cloud, decisions, tell, report):
    replies = decisions(60)
    explored = [reply for reply in replies if reply["explored"]]
    assert 5 < len(explored) < 55
    messages = tell(*[report(reply) for reply in replies])
    cloud.learn(messages)
    cloud.learn(messages)
    cloud.record()
    ids = {reply["decision_id"] for reply in explored}
    paid = sum(found["cost_nanodollars"] for found in cloud.outcomes().values() if found["decision_id"] in ids)
    expected = sum(reply["expected_cost_nanodollars"] for reply in explored)
    key = exploration("acme/support", "labelling").key(cloud.now)
    assert cloud.statistics.settled("acme", cloud.now) == {key: paid - expected}
    assert cloud.statistics.settled("acme", cloud.now + 32 * DAY) == {}


@pytest.mark.parametrize(
    ("packing", "sent"),
    [(13, 1), (0, 3), (WIDEST, 3)],
    ids=["ten to an item", "an item each", "more to an item than it takes"],
)
def test_a_batch_takes_as_few_transactions_as_its_items_fit_into(cloud, tell, report, packing, sent):
    replies = [_reply(number, cloud.now, packing) for number in range(250)]
    messages = tell(*[report(reply) for reply in replies])
    cloud.calls.clear()
    assert cloud.learn(messages) == []
    assert cloud.calls.count("dynamodb.TransactWriteItems") == sent
    assert cloud.cells() == {"a/b": (250, 250)}


def test_a_table_that_is_down_is_asked_once_a_batch_and_loses_nothing(cloud, tell, report, failing):
    replies = [_reply(number, cloud.now, 13) for number in range(250)]
    messages = tell(*[report(reply) for reply in replies])
    cloud.faults.append(failing("dynamodb.", code="AccessDenied"))
    cloud.calls.clear()
    assert sorted(cloud.learn(messages)) == sorted(message["messageId"] for message in messages)
    assert cloud.calls.count("dynamodb.TransactWriteItems") == 1
    cloud.faults.clear()
    assert cloud.learn(messages) == []
    assert cloud.cells() == {"a/b": (250, 250)}


def test_conflicts_are_waited_out(cloud, decisions, tell, report, failing):
    messages = tell(*[report(reply) for reply in decisions(2)])
    cloud.faults.append(_conflict(failing, times=3))
    assert cloud.learn(messages) == []
    assert sum(counted for counted, _ in cloud.cells().values()) == 2


def test_endless_conflicts_bring_the_messages_back_and_then_count_once(cloud, decisions, tell, report, failing):
    messages = tell(*[report(reply) for reply in decisions(2)])
    cloud.faults.append(_conflict(failing, times=1_000))
    assert cloud.learn(messages) == [message["messageId"] for message in messages]
    assert cloud.items("statistics") == []
    cloud.faults.clear()
    assert cloud.learn(messages) == []
    cloud.record()
    assert sum(counted for counted, _ in cloud.cells().values()) == 2
    assert cloud.states() == {"applied": 2}


def test_a_write_that_landed_and_lost_its_reply_counts_once(cloud, decisions, tell, report, failing):
    messages = tell(*[report(reply) for reply in decisions(4)])
    cloud.lost.append(failing("dynamodb.TransactWriteItems", times=1, code="InternalServerError"))
    for _ in range(3):
        if not cloud.learn(messages):
            break
    cloud.record()
    assert sum(counted for counted, _ in cloud.cells().values()) == 4
    assert cloud.states() == {"applied": 4}


def test_outcome_records_that_cannot_be_queued_are_made_again(cloud, decisions, tell, report, failing):
    messages = tell(*[report(reply) for reply in decisions(2)])
    cloud.faults.append(failing("sqs.SendMessageBatch", code="AccessDenied"))
    assert cloud.learn(messages) == [message["messageId"] for message in messages]
    cloud.faults.clear()
    assert cloud.learn(messages) == []
    cloud.record()
    assert sum(counted for counted, _ in cloud.cells().values()) == 2
    assert cloud.states() == {"applied": 2}


def test_a_poisonous_message_delays_nobody(cloud, decisions, tell, report):
    good = tell(*[report(reply) for reply in decisions(2)])
    poison = [
        {"messageId": "not json", "body": "}"},
        {"messageId": "too deep", "body": "[" * 100_000},
        {"messageId": "not ours", "body": '{"records":[]}'},
        {"messageId": "altered", "body": good[0]["body"].replace('"hop":0', '"hop":-1')},
        {"messageId": "timeless", "body": good[0]["body"].replace(f"{cloud.now}", "9" * 40)},
        {"messageId": "nobody's", "body": good[0]["body"].replace('"acme"', '"#"')},
    ]
    assert cloud.learn([*poison, *good]) == []
    cloud.record()
    assert cloud.states() == {"applied": 2}
    dead = cloud.dead("telemetry")
    assert {name: body for name, (body, _) in dead.items()} == {each["messageId"]: each["body"] for each in poison}
    assert {name: reason for name, (_, reason) in dead.items()} == {
        "not json": "the message is not JSON",
        "too deep": "the message is not JSON",
        "not ours": "the message lacks tenant, request, first, received_ms or records",
        "altered": "a record is not one that ingest accepts: invalid_field",
        "timeless": "the message is of a time that no calendar has",
        "nobody's": "the message is of nobody who could be enrolled",
    }


def test_poison_that_cannot_be_set_aside_comes_again(cloud, failing):
    cloud.faults.append(failing("sqs.SendMessage"))
    assert cloud.learn([{"messageId": "bad", "body": "}"}]) == ["bad"]
    assert cloud.record([{"messageId": "bad", "body": "}"}]) == ["bad"]
    cloud.faults.clear()
    assert cloud.dead("telemetry") == cloud.dead("records") == {}


def test_markers_say_whose_record_counted_and_outlive_every_redelivery(cloud, decisions, tell, report):
    (reply,) = decisions(1)
    cloud.learn(tell(report(reply, quality=1)))
    cloud.learn(tell(report(reply)))
    cloud.record()
    (owner,) = (record for record, found in cloud.outcomes().items() if found["state"] == "applied")
    made = reply["decision_id"]
    told = {MarkerKey("acme", made, 0, field): owner for field in ("outcome", "quality")}
    assert dict(cloud.statistics.markers("acme")) == told
    items = {item["sk"]["S"]: item for item in cloud.items("statistics") if "n" in item and "task" not in item}
    days = {sk: (int(item["expires_at"]["N"]) * 1000 - cloud.now) / DAY for sk, item in items.items()}
    width = bucket_of(made).width_ms // 1000
    assert days == {"outcome#36": 30 + width * 1000 / DAY, "quality#36": 64 + width * 1000 / DAY}


def test_an_item_is_kept_for_the_youngest_decision_it_may_hold_whoever_reports_last(cloud, tell, report):
    early, late = (_reply(number, cloud.now - cloud.now % 4096, WIDEST) for number in (0, 40))
    kept = []
    for reply in (late, early):
        cloud.learn(tell(report(reply)))
        (item,) = (item for item in cloud.items("statistics") if item["sk"]["S"].startswith("outcome#"))
        kept.append(int(item["expires_at"]["N"]) * 1000)
    assert min(kept) >= cloud.now - cloud.now % 4096 + 4_000 + 30 * DAY - 1000


def test_what_a_full_item_does_not_hold_is_put_deeper_and_found_there(cloud, tell, report):
    replies = [_reply(number, cloud.now, WIDEST, apart_ms=0) for number in range(150)]
    first, second = (tell(*[report(reply) for reply in half]) for half in (replies[:100], replies[50:]))
    for messages in (first, second, second, first[::-1]):
        for message in messages:
            assert cloud.learn([message]) == []
    cloud.record()
    assert cloud.cells() == {"a/b": (150, 150)}
    assert cloud.states() == {"applied": 150, "duplicate": 50}
    markers = list(cloud.statistics.markers("acme"))
    assert len(markers) == len({marker for marker, _ in markers}) == 150
    held = {item["sk"]["S"]: int(item["n"]["N"]) for item in cloud.items("statistics") if "expires_at" in item}
    assert FULL <= max(held.values()) < FULL + AT_ONCE
    assert set(held) > {"outcome#36", "outcome#40"}


def test_one_of_many_that_was_counted_before_keeps_none_of_the_others_waiting(cloud, tell, report):
    replies = [_reply(number, cloud.now, WIDEST, apart_ms=1) for number in range(20)]
    cloud.learn(tell(report(replies[7])))
    messages = tell(*[report(reply) for reply in replies])
    cloud.calls.clear()
    assert cloud.learn(messages) == []
    assert cloud.calls.count("dynamodb.TransactWriteItems") == 2
    cloud.record()
    assert cloud.states() == {"applied": 20, "duplicate": 1}
    assert cloud.cells() == {"a/b": (20, 20)}


def test_without_signing_keys_messages_come_again(cloud, decisions, tell, report, failing):
    messages = tell(*[report(reply) for reply in decisions(1)])
    learn.learner.cache_clear()
    cloud.faults.append(failing("secrets-manager."))
    assert cloud.learn(messages) == [messages[0]["messageId"]]
    cloud.faults.clear()
    assert cloud.learn(messages) == []


def test_a_caller_fault_leaves_a_record_and_nothing_but_its_cost_in_the_statistics(cloud, decisions, tell, report):
    free, paid = decisions(2)
    untold = {name: value for name, value in report(free, "caller_error").items() if not name.endswith("_tokens")}
    cloud.learn(tell(untold, report(paid, "cancelled")))
    cloud.record()
    assert cloud.states() == {"applied": 2}
    (row,) = cloud.statistics.cells("acme")
    assert row.sums == {"k": sum(found.get("cost_nanodollars", 0) for found in cloud.outcomes().values())}


def _reply(number, now, packing, apart_ms=100):
    """Of the n-th of some decisions."""
    now += apart_ms * number
    decision_id = packed(decision_id_for(now, b"%d" % number), packing)
    arm = TokenArm("a/b", 0, 1_000, 1_000, 1_000, 1_000)
    claims = TokenClaims("acme", decision_id, "ab" * 10, "label", "r", (arm,), 1_000_000, False, now)
    return {"token": mint(claims, KEYS), "plan": [{"arm": "a/b"}]}


def _conflict(failing, times):
    reasons = [{"Code": "None"}, {"Code": "None"}, {"Code": "TransactionConflict"}]
    return failing(
        "dynamodb.TransactWriteItems", times=times, code="TransactionCanceledException", CancellationReasons=reasons
    )
