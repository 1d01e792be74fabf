from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time
from dataclasses import astuple

import pytest

from policy_client import Client, HmacCredentials, TelemetryStats
from policy_client.reply import reply_from_wire
from policy_client.spool import claim_spool, write_spool
from policy_client.telemetry import TelemetryQueue
from policy_engine.wire import parse_telemetry

KEY = HmacCredentials("k-acme", b"secret")


@pytest.fixture
def reply(reply_document):
    return reply_from_wire(reply_document)


def balanced(stats: TelemetryStats) -> bool:
    return stats.queued == stats.accepted + stats.refused + stats.dropped + stats.spilled + stats.pending


def test_records_arrive_in_batches_that_the_service_admits(service, reply):
    service.answer(202, {"accepted": 1})
    with Client(service.url, KEY, batch_size=10, batch_age=30) as client:
        for hop in range(25):
            assert client.telemetry(reply, hop=hop % 2, input_tokens=10, output_tokens=3, latency_ms=400, quality=0.5)
        assert client.flush(5)
        assert client.stats() == TelemetryStats(queued=25, accepted=25)
    sizes = [len(parse_telemetry(body).records) for _, _, body in service.asked]
    assert sum(sizes) == 25
    assert max(sizes) == 10
    first, second = parse_telemetry(service.asked[0][2]).records[:2]
    assert (first.arm, first.hop, first.quality_ppm) == (reply.plan[0].arm, 0, 500_000)
    assert (second.arm, second.hop) == (reply.plan[1].arm, 1)


def test_a_batch_that_is_not_full_leaves_once_it_is_old_enough(service, reply, eventually):
    service.answer(202, {"accepted": 1})
    with Client(service.url, KEY, batch_age=0.05) as client:
        client.telemetry(reply)
        assert eventually(lambda: client.stats().accepted == 1)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"outcome": "fine"}, "`outcome` must be one of ok, wrong"),
        ({"hop": 7}, "`arm` must be given"),
        ({"hop": -1}, "`hop` must be an integer"),
        ({"hop": "first"}, "TypeError"),
        ({"latency_ms": 1.5}, "`latency_ms` must be an integer"),
        ({"quality": 2}, "`quality` must be a number between 0 and 1"),
        ({"outcome": None}, "`outcome` or `quality` must be given"),
        ({"quality_slugs": 3}, "TypeError"),
        ({"finish_reason": "because"}, "`finish_reason` must be one of"),
    ],
)
def test_a_wrong_report_is_counted_and_never_raised(service, reply, wrong, says):
    with Client(service.url, KEY) as client:
        assert client.telemetry(reply, **wrong) is False
        assert client.stats().invalid == 1
        assert says in (client.stats().last_error or "")
        assert client.telemetry(None) is False  # type: ignore[arg-type]


def test_why_records_were_not_queued_is_counted_by_reason_and_logged_once_each(service, reply, caplog):
    wrong = [{"outcome": "fine"}] * 3 + [{"quality": 2}] * 2
    with Client(service.url, KEY) as client:
        for each in wrong:
            client.telemetry(reply, **each)
        reasons = client.stats().reasons
    assert sorted(reasons.values()) == [2, 3]
    assert all(any(said in reason for reason in reasons) for said in ("`outcome` must be one of", "`quality` must be"))
    warned = [record.getMessage() for record in caplog.records if record.name == "policy_client"]
    assert len(warned) == 2
    assert all(any(reason in line for reason in reasons) for line in warned)


def test_why_records_were_refused_is_counted_too_and_reasons_stay_few(service, reply, caplog):
    for number in range(60):
        service.answer(401, {"error": {"code": f"bad_{number}"}})
    with Client(service.url, KEY, batch_size=1, batch_age=0) as client:
        for _ in range(60):
            client.telemetry(reply)
        assert client.flush(10)
        stats = client.stats()
    assert stats.refused == sum(stats.reasons.values()) == 60
    assert (len(stats.reasons), stats.reasons["other reasons"]) == (51, 10)
    assert len(caplog.records) == 51


@pytest.mark.parametrize(
    ("told", "outcome"),
    [
        ({"finish_reason": "length", "empty_content": True}, "truncated"),
        ({"finish_reason": "length", "empty_content": True, "outcome": "wrong"}, "wrong"),
        ({"finish_reason": "length"}, "ok"),
        ({"finish_reason": "tool_calls", "empty_content": True}, "ok"),
    ],
)
def test_an_answer_cut_off_before_it_said_anything_is_no_success_and_warned_of(service, reply, caplog, told, outcome):
    service.answer(202, {"accepted": 1})
    with Client(service.url, KEY, batch_age=60) as client:
        for _ in range(3):
            assert client.telemetry(reply, **told)
        assert client.flush(5)
        warnings = client.stats().warnings
    assert [record["outcome"] for record in service.records()] == [outcome] * 3
    starved = told["finish_reason"] == "length" and "empty_content" in told
    assert list(warnings.values()) == [3] * starved
    assert [record.levelname for record in caplog.records] == ["WARNING"] * starved
    assert all("set max_tokens at least N" in warning for warning in warnings)


def test_a_service_that_stumbles_gets_the_batch_again(service, reply):
    service.answer(500, {"error": {}})
    service.answer(429, {"error": {}})
    service.answer(202, {"accepted": 1})
    with Client(service.url, KEY, batch_age=0) as client:
        client.telemetry(reply)
        assert client.flush(5)
        stats = client.stats()
    assert (stats.accepted, stats.retries, stats.last_error) == (1, 2, '429: {"error": {}}')
    assert len({body for _, _, body in service.asked}) == 1


def test_attempts_are_bounded(service, reply):
    service.answer(500, "down")
    with Client(service.url, KEY, batch_age=0, attempts=3) as client:
        client.telemetry(reply)
        assert client.flush(5)
        stats = client.stats()
    assert (stats.refused, stats.retries, len(service.asked)) == (1, 2, 3)


def test_a_refused_batch_is_halved_until_the_bad_record_stands_alone():
    taken = []

    def send(body: bytes) -> tuple[int, bytes]:
        records = json.loads(body)["records"]
        if 5 in records:
            return 400, b"records: bad"
        taken.extend(records)
        return 202, b"{}"

    queue = TelemetryQueue(send, max_age=30, batch=16)
    for number in range(16):
        queue.put(b"%d" % number)
    assert queue.flush(time.monotonic() + 5)
    assert sorted(taken) == [n for n in range(16) if n != 5]
    assert (queue.stats().accepted, queue.stats().refused) == (15, 1)
    queue.close(time.monotonic() + 1)


def test_a_full_queue_lets_the_oldest_go_and_counts_them(service, reply):
    service.answer(202, {"accepted": 1}, wait=0.2)
    with Client(service.url, KEY, queue_capacity=5, batch_size=1, batch_age=0) as client:
        started = time.monotonic()
        for number in range(20):
            client.telemetry(reply, latency_ms=number)
        assert time.monotonic() - started < 0.15
        assert client.flush(10)
        stats = client.stats()
    assert stats.dropped in (14, 15)
    assert [record["latency_ms"] for record in service.records()][-5:] == [15, 16, 17, 18, 19]
    assert balanced(stats)


def test_many_threads_lose_nothing(service, reply):
    service.answer(202, {"accepted": 1})
    with Client(service.url, KEY, batch_age=0.01) as client:
        threads = [
            threading.Thread(target=lambda: [client.telemetry(reply) for _ in range(200)], name=f"caller-{n}")
            for n in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert client.flush(5)
        assert client.stats().accepted == 800
    assert len(service.records()) == 800


def test_what_could_not_be_delivered_waits_in_the_spool_for_the_next_process(service, reply, tmp_path):
    spool = tmp_path / "telemetry.spool"
    with Client("http://127.0.0.1:9", KEY, spill=spool, exit_flush=0.1) as client:
        for number in range(3):
            client.telemetry(reply, latency_ms=number)
    stats = client.stats()
    assert (stats.spilled, stats.pending, stats.accepted) == (3, 0, 0)
    assert spool.stat().st_mode & 0o777 == 0o600
    service.answer(202, {"accepted": 1})
    with Client(service.url, KEY, spill=spool) as client:
        client.telemetry(reply, latency_ms=3)
        assert client.flush(5)
    assert [record["latency_ms"] for record in service.records()] == [0, 1, 2, 3]
    assert list(tmp_path.iterdir()) == []
    assert balanced(client.stats())


# What a process does that is killed when it has claimed the spool and read it, and is about to remove it.
KILLED = """
import os, signal, sys
from pathlib import Path
from policy_client.spool import claim_spool
def last_moment(event, arguments):
    if event == "os.remove" and str(arguments[0]).endswith(".claimed"):
        print("claimed", flush=True)
        if sys.stdin.readline():
            os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(last_moment)
claim_spool(Path(sys.argv[1]))
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs signals")
def test_what_a_killed_process_had_claimed_is_taken_up_by_the_next_and_by_none_while_it_lives(tmp_path):
    spool = tmp_path / "spool"
    assert write_spool(spool, [b"1", b"2"])
    command = [sys.executable, "-c", KILLED, spool]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as doomed:
        assert doomed.stdout.readline() == "claimed\n"
        assert claim_spool(spool) == []
        write_spool(spool, [b"3"])
        doomed.stdin.write("now\n")
        doomed.stdin.flush()
        assert doomed.wait(30) == -signal.SIGKILL
    (left,) = tmp_path.glob("spool.*.claimed")
    assert left.read_text() == "1\n2\n"
    write_spool(tmp_path / "spool.receipts", [b"4"])
    assert claim_spool(tmp_path / "spool.receipts") == [b"4"]
    assert claim_spool(spool) == [b"1", b"2", b"3"]
    assert list(tmp_path.iterdir()) == []


def test_without_a_spool_what_is_left_at_the_end_is_counted(reply):
    with Client("http://127.0.0.1:9", KEY, exit_flush=0.05) as client:
        client.telemetry(reply)
    assert client.stats().refused == 1
    assert client.telemetry(reply) is False


def test_a_process_that_simply_ends_still_delivers(service, reply_document):
    service.answer(202, {"accepted": 1})
    script = """
import json, sys
from policy_client import Client, HmacCredentials
from policy_client.reply import reply_from_wire
client = Client(sys.argv[1], HmacCredentials("k", b"s"), batch_age=60)
for _ in range(7):
    client.telemetry(reply_from_wire(json.loads(sys.argv[2])))
"""
    subprocess.run([sys.executable, "-c", script, service.url, json.dumps(reply_document)], check=True, timeout=30)
    assert len(service.records()) == 7


def test_a_report_takes_microseconds_even_when_nothing_listens(reply):
    with Client("http://127.0.0.1:9", KEY, exit_flush=0.05) as client:
        client.telemetry(reply)
        started = time.perf_counter()
        for _ in range(500):
            client.telemetry(reply)
        assert (time.perf_counter() - started) / 500 < 0.002


def test_stats_are_a_copy(service, reply):
    with Client("http://127.0.0.1:9", KEY, exit_flush=0.05) as client:
        before = client.stats()
        client.telemetry(reply)
        assert astuple(before)[0] == 0
