import http.client
import os
import socket
import sys
import threading
import time

import pytest

from policy_cli.dev import LocalStack, VirtualClock
from policy_cli.dev.sources import DEPTH_LIMIT, depth
from policy_client import Client, HmacCredentials


def hmac_of(caller):
    return HmacCredentials(caller.tenant.key_id, caller.tenant.secret)


def test_every_decision_and_report_arrives_where_it_is_kept(acme, envelope, filed, now_ms):
    clock = VirtualClock(now_ms)
    with LocalStack(clock=clock, seed=3) as stack:
        with Client(stack.url, hmac_of(acme(stack)), clock=clock, read_timeout=30) as client:
            replies = []
            for _ in range(60):
                replies.append(client.route(policy="acme/support", envelope=envelope))
                assert client.telemetry(replies[-1], outcome="ok", input_tokens=90, output_tokens=9, latency_ms=300)
                clock.advance(1000)
            assert client.flush(30)
        stack.pump()
        stack.run_schedules()
        made = sorted(reply.decision_id for reply in replies)
        assert sorted(each["receipt"]["circumstances"]["decision_id"] for each in filed(stack, "receipts")) == made
        assert sorted(each["decision_id"] for each in filed(stack, "outcomes")) == made
        assert stack.dead_letters() == {}
    assert stack.left == {}


def test_a_busy_tenant_gets_its_snapshot_without_a_schedule_and_the_clock_may_be_any(acme, envelope, now_ms):
    clock, made = VirtualClock(now_ms), []
    key = {"pk": {"S": "tenant#acme"}, "sk": {"S": "route-state"}}
    with (
        LocalStack(clock=clock, seed=3) as stack,
        Client(stack.url, hmac_of(acme(stack)), clock=clock, read_timeout=30, batch_age=1e9) as client,
    ):
        table = stack.resources.name("StateTable")
        for _ in range(3):
            for _ in range(20):
                client.telemetry(client.route(policy="acme/support", envelope=envelope), outcome="ok")
            assert client.flush(30)
            stack.pump()
            item = stack.resources.client("dynamodb").get_item(TableName=table, Key=key)["Item"]
            made.append(int(item["snapshot_ms"]["N"]))
            clock.advance(10_000)
    assert made == [now_ms, now_ms, now_ms + 20_000]


def test_who_would_add_to_a_long_queue_works_it_off_first(acme, now_ms):
    with LocalStack(clock=VirtualClock(now_ms)) as stack:
        caller, depths = acme(stack), []
        for _ in range(2 * DEPTH_LIMIT):
            assert caller.decide()[0] == 200
            depths.append(depth(stack.resources.client("sqs"), stack.resources.name("RecordsQueue")))
    assert DEPTH_LIMIT <= max(depths) < 50


def test_a_poisonous_message_ends_in_the_dead_letter_queue_and_holds_nobody_up(acme, filed, now_ms):
    with LocalStack(clock=VirtualClock(now_ms), seed=3) as stack:
        caller, sqs = acme(stack), stack.resources.client("sqs")
        for name in ("RecordsQueue", "TelemetryQueue"):
            sqs.send_message(QueueUrl=stack.resources.name(name), MessageBody="not one of ours")
        assert caller.decide()[0] == 200
        stack.pump()
        assert len(filed(stack, "receipts")) == 1
    assert stack.left == {"RecordsQueue": 1, "TelemetryQueue": 1}


def test_in_the_background_telemetry_becomes_statistics_by_itself(acme, envelope):
    with LocalStack(background=True) as stack:
        with Client(stack.url, hmac_of(acme(stack)), read_timeout=30) as client:
            assert client.telemetry(client.route(policy="acme/support", envelope=envelope), outcome="ok")
            assert client.flush(30)
        table, until = stack.resources.name("StatisticsTable"), time.monotonic() + 20
        statistics = stack.resources.client("dynamodb")
        while "cell" not in {item["sk"]["S"].split("#")[0] for item in statistics.scan(TableName=table)["Items"]}:
            assert time.monotonic() < until
            time.sleep(0.1)


def test_the_same_seed_and_clock_give_the_same_decisions(acme, now_ms):
    def ids(seed):
        with LocalStack(clock=VirtualClock(now_ms), seed=seed) as stack:
            caller = acme(stack)
            return [caller.decide()[1]["decision_id"] for _ in range(3)]

    first = ids(5)
    assert first == ids(5)
    assert len({*first, *ids(6), *ids(None), *ids(None)}) == 12
    assert {int(found[:12], 16) for found in first} == {now_ms}


def test_a_stack_neither_sees_the_users_aws_settings_nor_leaves_its_own(acme, now_ms, monkeypatch):
    monkeypatch.setenv("AWS_PROFILE", "production")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    before, loaded = dict(os.environ), sys.modules.get("functions.settings")
    with LocalStack(clock=VirtualClock(now_ms)) as stack:
        assert acme(stack).decide()[0] == 200
        assert "AWS_PROFILE" not in os.environ
    assert dict(os.environ) == before
    assert sys.modules.get("functions.settings") is loaded


def test_a_stack_beside_a_stack_is_refused_and_harms_neither(acme, now_ms):
    with LocalStack(clock=VirtualClock(now_ms)) as stack:
        with pytest.raises(RuntimeError, match="one at a time"), LocalStack():
            pass
        assert acme(stack).decide()[0] == 200
    with LocalStack():
        pass


def test_a_port_that_is_taken_is_an_error_and_leaves_nothing_behind():
    before = dict(os.environ)
    taken = socket.create_server(("127.0.0.1", 0))
    with taken, pytest.raises(OSError, match="in use"), LocalStack(port=taken.getsockname()[1]):
        pass
    assert dict(os.environ) == before
    with LocalStack():
        pass


def test_what_was_answered_is_kept_when_the_stack_closes_under_load(acme, filed):
    class Watched(LocalStack):
        def dead_letters(self):
            self.kept = sorted(each["receipt"]["circumstances"]["decision_id"] for each in filed(self, "receipts"))
            return super().dead_letters()

    answered = []

    def keep_asking(caller):
        try:
            while (reply := caller.decide())[0] == 200:
                answered.append(reply[1]["decision_id"])
        except (OSError, http.client.HTTPException):
            pass  # the connection was closed on it, which is also an answer

    with Watched(background=True) as stack:
        threads = [threading.Thread(target=keep_asking, args=(acme(stack),)) for _ in range(3)]
        for thread in threads:
            thread.start()
        while len(answered) < 30:
            time.sleep(0.01)
    for thread in threads:
        thread.join()
    assert stack.kept == sorted(answered)


def test_what_functions_say_is_printed_where_a_stack_asks_for_it(acme, now_ms, capsys):
    printed = []
    for verbose in (True, False, True):
        with LocalStack(clock=VirtualClock(now_ms), verbose=verbose) as stack:
            acme(stack).decide()
        printed.append('"service":"route"' in capsys.readouterr().out)
    assert printed == [True, False, True]
