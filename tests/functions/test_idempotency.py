"""Keys and sessions: what is sent again is answered again, and a pin can stay behind."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from functions.route import app as route
from policy_engine.accounting import Witness, balance
from policy_engine.books import Books
from policy_engine.receipt import open_sealed
from policy_engine.settlement import OUTCOME_LIMIT_MS

DAY = 86_400_000
TOKEN = "1.k2." + "a" * 40
TIGHT = """policy "acme/tight" language 1
tier small = [claude-haiku-4-5]
default route general { use small  pick cheapest }
fallback claude-haiku-4-5
budget tenant 1_000 tokens/day
"""
RECORD = {"token": TOKEN, "arm": "anthropic/claude-haiku-4-5", "outcome": "ok", "quality": 0.25}


def test_the_same_request_under_the_same_key_gets_the_same_reply(cloud, wanted):
    keyed = wanted(idempotency_key="order-7")
    first = cloud.route(keyed)
    cloud.now += 60_000
    cloud.restart()
    assert cloud.route(keyed) == first
    assert cloud.route()[1]["decision_id"] != first[1]["decision_id"]
    receipts = [open_sealed(message["body"].split("\n")[1]) for message in cloud.take("records")]
    ids = [each["circumstances"]["decision_id"] for each in receipts]
    assert len(ids) == 2
    assert first[1]["decision_id"] in ids


def test_requests_are_compared_by_what_they_mean(cloud, wanted):
    keyed = wanted(idempotency_key="order-7", candidates=["openai/gpt-5-mini", "anthropic/claude-haiku-4-5"])
    first = cloud.route(keyed)
    other = dict(reversed(keyed.items())) | {"candidates": list(reversed(keyed["candidates"]))}
    other["envelope"] = dict(reversed(keyed["envelope"].items()))
    assert cloud.route(json.dumps(other, indent=3)) == first


@pytest.mark.parametrize("change", [{"org": "growth"}, {"tool_loop": True}, {"session": "s"}])
def test_another_request_under_the_same_key_is_refused(cloud, wanted, change):
    cloud.route(wanted(idempotency_key="order-7"))
    cloud.take("records")
    status, reply = cloud.route(wanted(idempotency_key="order-7", **change))
    assert (status, reply["error"]["code"]) == (409, "idempotency_conflict")
    assert cloud.take("records") == []


def test_a_refusal_takes_up_no_key(cloud, wanted):
    """Whoever comes back after midnight is not denied for yesterday's money."""
    cloud.publish(TIGHT, "acme/tight")
    while cloud.route(wanted(policy="acme/tight"))[0] == 200:
        pass
    keyed = wanted(policy="acme/tight", idempotency_key="order-7")
    status, reply = cloud.route(keyed)
    assert (status, reply["error"]["code"]) == (429, "budget_denied")
    cloud.now += DAY - cloud.now % DAY
    served = cloud.route(keyed)
    assert served[0] == 200
    assert cloud.route(keyed) == served


def test_a_request_that_was_never_decided_takes_up_no_key(cloud, wanted):
    assert cloud.route(wanted(idempotency_key="order-7", policy="acme/nothing"))[0] == 404
    assert cloud.route(wanted(idempotency_key="order-7"))[0] == 200


@pytest.mark.parametrize("odd", ["\ud800", 0.5, {"deep": [None]}])
def test_an_inline_policy_that_is_none_is_refused_under_a_key_as_without(cloud, wanted, odd):
    """It is compared before it is admitted, whatever it holds."""
    body = json.dumps(wanted(policy=None, ir={"name": odd}, idempotency_key="k1"))
    status, document = cloud.route(body)
    assert (status, document["error"]["code"]) == (400, "invalid_ir")


def test_a_key_is_the_tenants_own_and_forgotten_after_a_day(cloud, wanted):
    first = cloud.route(wanted(idempotency_key="order-7"))[1]
    foreign = "arn:aws:sts::222222222222:assumed-role/globex-app/s"
    assert cloud.route(wanted(idempotency_key="order-7"), principal=foreign)[1]["error"]["code"] == "unknown_policy"
    cloud.now += DAY - 1
    assert cloud.route(wanted(idempotency_key="order-7"))[1] == first
    cloud.now += 2
    assert cloud.route(wanted(idempotency_key="order-7", org="growth"))[0] == 200


def test_only_keyed_requests_pay_for_keys(cloud, wanted):
    plain = wanted()
    plain["envelope"] = plain["envelope"] | {"task_type": "chat"}  # whose route explores nothing, so takes no slices
    cloud.route(plain)
    cloud.calls.clear()
    cloud.route(plain)
    assert cloud.calls == ["sqs.SendMessage"]
    cloud.calls.clear()
    cloud.route(plain | {"idempotency_key": "a"})
    assert cloud.calls == ["dynamodb.GetItem", "sqs.SendMessage", "dynamodb.PutItem"]
    cloud.calls.clear()
    cloud.route(plain | {"idempotency_key": "a"})
    assert cloud.calls == ["dynamodb.GetItem"]


def test_of_two_that_decide_at_once_both_give_the_winners_reply(cloud, wanted):
    cloud.route()
    both = Barrier(2)
    read = iter(range(2))

    def meet(call):
        if call == "sqs.SendMessage" and next(read, None) is not None:
            both.wait(20)

    cloud.faults.append(meet)
    events = [cloud.event("/v1/route", wanted(idempotency_key="order-7")) for _ in range(2)]
    events[1]["requestContext"]["timeEpoch"] += 5
    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(lambda event: route.handler(event, None), events))
    assert answers[0] == answers[1]
    assert answers[0]["statusCode"] == 200


@pytest.fixture
def raced(cloud, wanted):
    """Answers of two requests with one key, of which the first has decided when the second comes and is answered."""

    def race(loser, winner):
        answers = []

        def overtake(call):
            if call == "sqs.SendMessage" and not answers:
                answers.append(None)
                answers[0] = cloud.route(wanted(**{"idempotency_key": "order-7", **winner}))

        cloud.faults.append(overtake)
        lost = cloud.route(wanted(**{"idempotency_key": "order-7", **loser}))
        cloud.faults.clear()
        return lost, answers[0]

    return race


def unanswered_in(printed):
    return [record["unanswered"] for record in map(json.loads, printed.splitlines()) if "unanswered" in record]


def receipts_of(cloud):
    lines = [message["body"].split("\n")[1] for message in cloud.take("records")]
    return {open_sealed(line)["circumstances"]["decision_id"]: line for line in lines}


def test_the_loser_of_a_race_is_charged_nothing_and_its_receipt_is_told_from_the_winners(cloud, wanted, raced, capsys):
    assert (
        cloud.publish(TIGHT.replace("1_000 tokens", "90_000 tokens").replace("tight", "roomy"), "acme/roomy")[0] == 200
    )
    cloud.route(wanted(policy="acme/roomy"))
    receipts_of(cloud)
    capsys.readouterr()
    (_, again), (_, winner) = raced({"policy": "acme/roomy"}, {"policy": "acme/roomy"})
    assert winner == again
    (loser,) = unanswered_in(capsys.readouterr().out)
    lines = receipts_of(cloud)
    assert lines.keys() == {winner["decision_id"], loser}
    cloud.route(wanted(policy="acme/roomy"))
    (after,) = map(open_sealed, receipts_of(cloud).values())
    used = [open_sealed(line)["circumstances"]["budgets"][0][4] for line in lines.values()]
    assert after["circumstances"]["budgets"][0][4] == 2 * used[0] == 2 * used[1] > 0
    published = cloud.state.current("acme").policies
    books = Books("acme", {fingerprint: (each.policy, each.lines) for fingerprint, each in published.items()})
    for line in lines.values():
        books.receipt(line, "filed")
    witness = Witness(decided={winner["decision_id"]}, accepted=(), unanswered={loser}, unacknowledged=())
    assert [finding for identity in balance(books, witness) for finding in identity.findings] == []


def test_the_loser_with_another_request_is_refused_and_charged_nothing(cloud, raced, capsys):
    lost, won = raced({}, {"org": "growth"})
    assert (lost[0], lost[1]["error"]["code"], won[0]) == (409, "idempotency_conflict", 200)
    (loser,) = unanswered_in(capsys.readouterr().out)
    assert receipts_of(cloud).keys() == {won[1]["decision_id"], loser}


def test_the_pin_that_is_kept_of_a_session_is_the_winners(cloud, raced, policy_text):
    """What explores is not pinned, so a session whose answered turn explored has no pin, whatever the loser picked."""
    assert cloud.publish(policy_text.replace("explore at", "pin session 30m  explore at"))[0] == 200
    explored = 0
    for session in (f"s{number}" for number in range(12)):
        body = {"session": session, "pin": "stored", "idempotency_key": session}
        _, (_, winner) = raced(body, body)
        kept = [item for item in cloud.items("ledger") if item["pk"]["S"] == f"acme#session#{session}"]
        assert [json.loads(item["pin"]["S"])[1] for item in kept] == [winner["arm"]] * (not winner["explored"])
        explored += winner["explored"]
    assert 0 < explored < 12


def test_without_a_ledger_a_keyed_request_is_answered_like_any_other(cloud, wanted, failing):
    cloud.route()
    cloud.faults.append(failing("dynamodb."))
    assert cloud.route(wanted(idempotency_key="order-7"))[0] == 200


def test_a_batch_sent_again_keeps_its_ids_and_the_time_it_came_in(cloud):
    body = {"records": [RECORD, {**RECORD, "hop": 1}], "idempotency_key": "batch-1"}
    assert cloud.ingest(body) == (202, {"accepted": 2})
    cloud.now += 3_600_000
    assert cloud.ingest({"idempotency_key": "batch-1", "records": body["records"]}) == (202, {"accepted": 2})
    first, again = (json.loads(message["body"]) for message in cloud.take("telemetry"))
    assert first == again
    assert cloud.ingest({"records": body["records"], "idempotency_key": "batch-2"})[0] == 202
    assert json.loads(cloud.take("telemetry")[0]["body"])["request"] != first["request"]


def test_another_batch_under_the_same_key_is_refused(cloud):
    assert cloud.ingest({"records": [RECORD], "idempotency_key": "batch-1"})[0] == 202
    cloud.take("telemetry")
    status, reply = cloud.ingest({"records": [{**RECORD, "quality": 0.5}], "idempotency_key": "batch-1"})
    assert (status, reply["error"]["code"]) == (409, "idempotency_conflict")
    assert cloud.take("telemetry") == []


@pytest.mark.parametrize("key", ["", "a b", "x" * 65, 7, None])
def test_a_key_that_is_none_is_refused(cloud, key):
    status, reply = cloud.ingest({"records": [RECORD], "idempotency_key": key})
    assert (status, reply["error"]["code"]) == (400, "invalid_field")
    assert "one or more letters, digits, `_.:-`, at most 64 long" in reply["error"]["message"]


def test_a_batch_that_arrives_again_late_ends_in_the_state_it_had(cloud, report, failing):
    """SQS has taken it and its reply is lost; the client comes back when the time for outcomes is over."""
    replies = [cloud.route()[1] for _ in range(30)]
    cloud.now += OUTCOME_LIMIT_MS - 1
    body = {"idempotency_key": "batch-1", "records": [report(reply) for reply in replies]}
    cloud.lost.append(failing("sqs.SendMessageBatch"))
    assert cloud.ingest(body)[0] == 503
    cloud.lost.clear()
    cloud.now += 60_000
    assert cloud.ingest(body)[0] == 202
    messages = cloud.take("telemetry")
    assert len(messages) == 4
    for message in messages:
        assert cloud.learn([message]) == []
    cloud.record()
    assert cloud.states() == {"applied": 30}


def test_without_a_ledger_telemetry_is_accepted_and_keeps_its_ids(cloud, failing):
    body = {"records": [RECORD], "idempotency_key": "batch-1"}
    cloud.faults.append(failing("dynamodb.PutItem"))
    assert cloud.ingest(body)[0] == cloud.ingest(body)[0] == 202
    first, again = (json.loads(message["body"]) for message in cloud.take("telemetry"))
    assert first == again


PINNING = """policy "acme/pinned" language 1
tier small = [claude-haiku-4-5, gpt-5-mini]
default route general { use small  pick cheapest  pin session 30m }
fallback claude-haiku-4-5
"""


@pytest.fixture
def stored(cloud, wanted):
    """A request of a session whose pin the service keeps."""
    assert cloud.publish(PINNING, "acme/pinned")[0] == 200

    def build(session="s1", **fields):
        return wanted(policy="acme/pinned", session=session, pin="stored", **fields)

    return build


def roles(answer):
    return answer[1]["plan"][0]["role"], answer[1]["arm"]


def test_a_stored_pin_holds_in_every_environment_and_does_not_travel(cloud, stored):
    first = cloud.route(stored())
    assert "session_pin" not in first[1]
    cloud.restart()
    cloud.calls.clear()
    held = cloud.route(stored())
    assert roles(held) == ("pinned", first[1]["arm"])
    assert roles(cloud.route(stored("s2")))[0] == "pick"
    assert "session_pin" not in held[1]


def test_a_stored_pin_costs_a_read_and_a_write_only_when_it_changes(cloud, stored):
    cloud.route(stored("s0"))
    cloud.calls.clear()
    cloud.route(stored())
    assert cloud.calls == ["dynamodb.GetItem", "sqs.SendMessage", "dynamodb.PutItem"]
    cloud.calls.clear()
    cloud.route(stored())
    assert cloud.calls == ["dynamodb.GetItem", "sqs.SendMessage"]


def test_a_stored_pin_is_renewed_while_its_session_goes_on(cloud, stored):
    cloud.route(stored())
    for _ in range(3):
        cloud.now += 1_200_000
        assert roles(cloud.route(stored()))[0] == "pinned"


def test_a_stored_pin_ends_like_a_carried_one(cloud, stored):
    cloud.route(stored())
    cloud.now += 1_800_001
    assert roles(cloud.route(stored()))[0] == "pick"
    assert roles(cloud.route(stored()))[0] == "pinned"


def test_a_stored_pin_is_its_tenants_own(cloud, stored):
    cloud.route(stored())
    keys = [item["pk"]["S"] for item in cloud.items("ledger")]
    assert "acme#session#s1" in keys
    assert all(key.startswith("acme#") for key in keys)


def test_without_a_ledger_a_session_goes_unpinned(cloud, stored, failing):
    cloud.route(stored())
    cloud.faults.append(failing("dynamodb."))
    assert (cloud.route(stored())[0], roles(cloud.route(stored()))[0]) == (200, "pick")


def test_a_stored_pin_wants_a_session(cloud, wanted):
    status, reply = cloud.route(wanted(pin="stored"))
    assert (status, reply["error"]["code"]) == (400, "missing_field")
    assert "`session`" in reply["error"]["message"]
