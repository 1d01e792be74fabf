"""The schedule: what was learned reaches the decisions, and nothing reaches them twice or backwards."""

from __future__ import annotations

import json
import threading

import pytest
from moto.core.botocore_stubber import BotocoreStubber

from functions.stores.errors import StoreError
from policy_engine.snapshot import EMPTY


@pytest.fixture
def learned(cloud, report):
    """A hundred outcomes of served decisions, nine of ten good."""
    replies = [cloud.route()[1] for _ in range(100)]
    cloud.ingest([report(reply, "ok" if number % 10 else "wrong") for number, reply in enumerate(replies)])
    assert cloud.learn(cloud.take("telemetry")) == []
    cloud.record()
    return cloud


def test_what_was_learned_is_in_the_next_decision(learned):
    before = learned.route()[1]
    learned.now += 60_000
    assert learned.watch() == {"versions": {"acme": 2, "globex": 1}, "drained": 0}
    after = learned.route()[1]
    assert after["fingerprints"]["snapshot"] != before["fingerprints"]["snapshot"] == EMPTY.fingerprint
    state = learned.state.current("acme")
    assert sum(state.snapshot.outcomes.values()) == 100
    assert state.snapshot.made_ms == learned.now
    assert sum(state.snapshot.spent_nanodollars.values()) > 0


def test_a_snapshot_with_nothing_new_moves_no_pointer(learned):
    learned.watch()
    learned.now += 60_000
    blobs = learned.keys("state-bucket")
    assert learned.watch()["versions"]["acme"] == 2
    assert learned.keys("state-bucket") == blobs


def test_an_older_snapshot_never_replaces_a_newer_one(learned, report):
    learned.now += 600_000
    learned.watch()
    newest = learned.state.current("acme").snapshot
    learned.ingest([report(learned.route()[1])])
    learned.learn(learned.take("telemetry"))
    learned.now -= 300_000
    learned.watch()
    assert learned.state.current("acme").snapshot == newest


def test_publishing_keeps_the_snapshot_and_watching_keeps_the_policy(learned, policy_text):
    learned.watch()
    snapshot = learned.state.current("acme").snapshot
    learned.publish(policy_text.replace("90% proven", "80% proven"))
    state = learned.state.current("acme")
    assert state.snapshot == snapshot
    learned.now += 24 * 3_600_000
    learned.watch()
    assert learned.state.current("acme").aliases == state.aliases


def test_one_tenant_can_be_refreshed_alone(learned):
    assert learned.watch(tenant="acme")["versions"] == {"acme": 2}


def test_one_tenants_trouble_does_not_keep_the_others_waiting(learned, failing):
    learned.registry.enrol("aaa")
    # The first query lists the tenants, the second is the first tenant's.
    learned.faults.append(failing("dynamodb.Query", after=1, times=1, code="AccessDenied"))
    with pytest.raises(StoreError) as outage:
        learned.watch()
    assert outage.value.cause == "AccessDenied"
    assert learned.state.current("aaa").version == 0
    assert learned.state.current("acme").version == 2


def test_books_that_cannot_be_read_are_one_tenants_trouble(learned):
    learned.registry.enrol("aaa")
    stray = {"pk": {"S": "aaa#0"}, "sk": {"S": "cell#not-a-cell"}, "task": {"S": "label"}}
    learned.dynamodb.put_item(TableName="statistics", Item=stray)
    with pytest.raises(StoreError, match="the books of `aaa`") as trouble:
        learned.watch()
    assert isinstance(trouble.value.__cause__, ValueError)
    assert learned.state.current("acme").version == 2
    assert learned.keys("state-bucket", "_passing/credentials/")


@pytest.fixture
def crowd(learned, monkeypatch):
    """Eight tenants and as many workers, on a moto that is asked one thing at a time: it is not safe under threads."""
    for number in range(6):
        learned.registry.enrol(f"tenant-{number}")
    turn, answered = threading.Lock(), BotocoreStubber.__call__

    def in_turn(*asked, **how):
        with turn:
            return answered(*asked, **how)

    monkeypatch.setattr(BotocoreStubber, "__call__", in_turn)
    monkeypatch.setenv("WATCH_WORKERS", "8")
    learned.restart()
    return learned


@pytest.fixture
def meet(crowd):
    """Nobody's visit goes on before all eight have begun; one after another they would wait in vain."""
    met, here = threading.Barrier(8, timeout=10), threading.local()

    def wait(_):
        if threading.current_thread() is not threading.main_thread() and not hasattr(here, "met"):
            here.met = met.wait()

    crowd.faults.append(wait)


@pytest.mark.usefixtures("meet")
def test_tenants_are_looked_at_side_by_side_and_told_of_by_name(crowd):
    versions = crowd.watch()["versions"]
    assert list(versions.items()) == [("acme", 2), ("globex", 1), *((f"tenant-{number}", 1) for number in range(6))]
    assert sum(crowd.state.current("acme").snapshot.outcomes.values()) == 100


@pytest.mark.usefixtures("meet")
def test_one_tenants_trouble_does_not_stop_those_at_its_side(crowd, failing):
    crowd.faults.append(failing("dynamodb.TransactWriteItems", times=1, code="AccessDenied"))
    with pytest.raises(StoreError):
        crowd.watch()
    versions = [crowd.state.current(member.tenant).version for member in crowd.registry.members()]
    assert sum(version == before for version, before in zip(versions, [1, 0, *[0] * 6], strict=True)) == 1


def test_an_arm_that_got_worse_is_told_of_with_its_ids(cloud, report, alerts, capsys):
    """Two hundred good outcomes, a look, sixty bad ones, a look."""

    def told(outcome, calls):
        replies = []
        while len(replies) < calls:
            reply = cloud.route()[1]
            replies += [reply] if reply["arm"] == "anthropic/claude-sonnet-4-5" else []
        cloud.ingest([report(reply, outcome) for reply in replies])
        cloud.learn(cloud.take("telemetry"))
        cloud.take("records")
        cloud.now += 60_000
        cloud.watch()

    told("ok", 100)
    assert alerts() == []
    told("wrong", 25)
    (record,) = [json.loads(line) for line in capsys.readouterr().out.splitlines() if '"ArmsDegraded"' in line]
    assert (record["alert"], record["tenant"]) == ("arm_degraded", "acme")
    assert record["subject"] == "anthropic/claude-sonnet-4-5"
    assert (record["level"], record["ArmsDegraded"]) == ("ERROR", [1.0])


def test_a_tenant_whose_snapshot_cannot_be_renewed_for_five_minutes_is_told_of(learned, failing, alerts):
    learned.watch()
    learned.faults.append(failing("dynamodb.TransactWriteItems", "dynamodb.Query", after=1))
    told = []
    for _ in range(6):
        learned.now += 60_000
        with pytest.raises(StoreError):
            learned.watch()
        learned.faults.clear()
        learned.faults.append(failing("dynamodb.Query", after=1))
        told.append({alert for alert in alerts() if alert[1] == "acme"})
    assert told == [set()] * 4 + [{("snapshot_stale", "acme", "acme")}] * 2


def test_what_an_hour_brings_is_told_by_the_name_of_its_rule(learned):
    assert "swept" in learned.hourly()
    assert "versions" in learned.watch(resources=["arn:aws:events:us-east-1:1:rule/p-WatchFunctionEveryMinute-X"])


def test_a_look_at_a_tenant_that_is_not_enrolled_is_an_error(learned):
    with pytest.raises(ValueError, match="no tenant `stranger` is enrolled"):
        learned.watch(tenant="stranger")
    assert learned.watch(tenant="acme")["versions"] == {"acme": 2}
