"""Killed with SIGKILL before and after every call to AWS: who dies anywhere loses nothing and counts nothing twice.

The functions run in a process of their own, AWS in this one, so that nothing of the dead one is left but what it wrote.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from policy_cli.dev.aws import answered_by_moto
from policy_cli.dev.events import schedule_event
from policy_cli.dev.execution import lambda_environment
from policy_cli.dev.server import HttpServer

HERE = Path(__file__).parent


@pytest.fixture
def here(world):
    """A World with some decisions made and reported, nothing worked off."""
    made = world("calm", seed=3)
    for _ in range(6):
        made.ask("acme")
    made.tell("acme")
    return made


@pytest.fixture(scope="module")
def worker():
    """One for all: what an invocation leaves behind ends with its fork."""
    own = {"PYTHONPATH": str(HERE.parents[1]), "AWS_ACCESS_KEY_ID": "worker", "AWS_SECRET_ACCESS_KEY": "worker"}
    with lambda_environment(verbose=False):
        started = subprocess.Popen(
            [sys.executable, str(HERE / "worker.py")], cwd=HERE.parents[1], env={**os.environ, **own}, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip
    yield started
    started.stdin.close()
    assert started.wait() == 0
    started.stdout.close()


@pytest.fixture
def invoke(here, worker):
    """Run a function of `here` in the worker; with `die` it is killed at that boundary."""
    turn = threading.Lock()

    def answer(request):
        with turn:
            return answered_by_moto(request)

    server = HttpServer(answer, 0)
    environment = {**here.resources.variables, "AWS_ENDPOINT_URL": server.url}

    def ask(function, event, die=None):
        asked = {"module": f"functions.{function}.app", "event": event, "die": die, "environment": environment}
        worker.stdin.write(json.dumps(asked) + "\n")
        worker.stdin.flush()
        return json.loads(worker.stdout.readline())

    yield ask
    server.close()


def boundaries(calls, of=None):
    return [[n, when] for n, call in enumerate(calls) if of is None or call in of for when in ("before", "after")]


def balanced(here):
    here._requeued()
    here.settle()
    assert here.broken() == set()


@pytest.mark.parametrize(("function", "queue"), [("learn", "telemetry"), ("record", "records")])
def test_a_consumer_killed_at_every_step_of_its_commit_path_loses_nothing(here, invoke, function, queue):
    if queue == "records":
        here.deliver("telemetry")
    here.boxes[queue].put("not one of ours", poison=True)
    here.poison[queue].add("not one of ours")

    def batch():
        return {"Records": [{"messageId": each.id, "body": each.body} for each in here.boxes[queue].messages]}

    first = invoke(function, batch())
    steps = {
        "learn": {"dynamodb.TransactWriteItems", "sqs.SendMessageBatch", "sqs.SendMessage"},
        "record": {"s3.PutObject"},
    }
    assert steps[function] <= set(first["calls"])
    for die in boundaries(first["calls"]):
        here._requeued()
        here.boxes[queue].messages.clear()
        for _ in range(3):
            here.ask("acme")
        here.tell("acme")
        if queue == "records":
            here.deliver("telemetry")
        here.boxes[queue].put("not one of ours", poison=True)
        assert invoke(function, batch(), die)["killed"], die
        again = invoke(function, batch())
        assert again["answer"] == {"batchItemFailures": []}
    here.boxes[queue].messages.clear()
    balanced(here)


def test_route_killed_anywhere_has_either_no_decision_or_its_receipt(here, invoke):
    event = _asking(here)
    calls = invoke("route", event)["calls"]
    here.unanswered |= _decision(here)
    for die in boundaries(calls):
        event = _asking(here)
        here.unanswered |= _decision(here)
        assert invoke("route", event, die)["killed"], die
    balanced(here)


def test_ingest_killed_anywhere_has_the_batch_told_again(here, invoke):
    for _ in range(4):
        here.ask("acme")
    records = here.reports["acme"][:8]
    calls = invoke("ingest", _telling(here, records))["calls"]
    for die in boundaries(calls):
        assert invoke("ingest", _telling(here, records), die)["killed"], die
    balanced(here)


def test_watch_killed_at_every_write_drains_the_spool_all_the_same(here, invoke):
    writes = ("s3.PutObject", "s3.DeleteObject", "sqs.SendMessage", "dynamodb.TransactWriteItems")
    while here.boxes["telemetry"].messages:
        here.deliver("telemetry")
    here.wire.down = frozenset({"sqs"})
    here.ask("acme")
    here.wire.down = frozenset()
    here.now += 60_000
    calls = invoke("watch", {**schedule_event("watch", here.now, "w"), "tenant": "acme"})["calls"]
    assert set(writes) <= set(calls)
    for die in boundaries(calls, writes):
        here.wire.down = frozenset({"sqs"})
        here.ask("acme")
        here.wire.down = frozenset()
        here.now += 60_000
        assert invoke("watch", {**schedule_event("watch", here.now, "w"), "tenant": "acme"}, die)["killed"], die
    balanced(here)


def _asking(here):
    # Always the same call to the same route: each of its requests takes the same steps.
    envelope = here._envelope() | {"task_type": "label"}
    body = {"policy": "acme/support", "org": "labs", "envelope": envelope}
    return here.event("acme", "/v1/route", body)


def _telling(here, records):
    event = here.event("acme", "/v1/telemetry", {"records": records})
    here.unacknowledged |= {f"request-{here.requests}:{position}" for position in range(len(records))}
    return event


def _decision(here):
    return here.decision_of("acme")
