"""Busy tenants: from the outcome that was told to the decision that knows of it, and what may go wrong in between."""

from __future__ import annotations

import pytest

from functions.learn.news import BUSY_OUTCOMES
from functions.stores.errors import StoreError

FOREIGN = "arn:aws:sts::222222222222:assumed-role/globex-app/s"
REFRESHED = "dynamodb.TransactWriteItems"


@pytest.fixture
def told(cloud, report):
    """Decide so many calls, report them and have them learned from; ids of the messages that failed."""

    def tell(calls, **how):
        replies = [cloud.route(**how)[1] for _ in range(calls)]
        cloud.ingest([report(reply) for reply in replies], **how)
        return cloud.learn(cloud.take("telemetry"))

    return tell


@pytest.fixture
def known(cloud):
    """How many outcomes a tenant's snapshot holds."""
    return lambda tenant="acme": sum(cloud.state.current(tenant).snapshot.outcomes.values())


def test_what_a_busy_tenant_told_decides_a_quarter_of_a_minute_later(cloud, told):
    before = cloud.route()[1]["fingerprints"]["snapshot"]
    cloud.now += 1_000
    told(BUSY_OUTCOMES)
    assert cloud.looked() == [{"versions": {"acme": 2}}]
    cloud.now += 14_001
    assert cloud.route()[1]["fingerprints"]["snapshot"] != before


def test_a_tenant_that_tells_little_is_looked_at_once_it_adds_up(cloud, told):
    told(BUSY_OUTCOMES - 1)
    assert cloud.asked == []
    told(1)
    assert [ask["busy"] for ask in cloud.asked] == [["acme"]]
    told(BUSY_OUTCOMES - 1)
    assert len(cloud.asked) == 1


def test_an_idle_tenant_costs_nothing_between_the_minutes(cloud, told, policy_text):
    cloud.publish(policy_text, principal=FOREIGN)
    told(1, principal=FOREIGN)
    told(BUSY_OUTCOMES)
    cloud.calls.clear()
    assert cloud.looked() == [{"versions": {"acme": 2}}]
    assert cloud.state.current("globex").snapshot.made_ms == 0


def test_what_counts_is_applied_not_delivered(cloud, report):
    replies = [cloud.route()[1] for _ in range(5)]
    for _ in range(6):
        cloud.ingest([report(reply) for reply in replies])
    cloud.learn(cloud.take("telemetry"))
    assert cloud.asked == []


def test_however_often_it_is_asked_for_a_snapshot_is_followed_by_none_for_a_while(cloud, told, known):
    told(BUSY_OUTCOMES)
    assert cloud.looked() == [{"versions": {"acme": 2}}]
    cloud.now += 14_999
    told(BUSY_OUTCOMES)
    cloud.asked *= 3
    cloud.calls.clear()
    assert cloud.looked() == [{"versions": {}}] * 3
    assert cloud.calls == ["dynamodb.GetItem"] * 3
    cloud.now += 1
    told(BUSY_OUTCOMES)
    cloud.asked *= 3
    assert cloud.looked() == [{"versions": {"acme": 3}}, {"versions": {}}, {"versions": {}}]
    assert known() == 3 * BUSY_OUTCOMES


def test_a_look_between_the_minutes_copies_nothing_and_drains_nothing(cloud, told, failing):
    cloud.watch()
    copied = cloud.copied("acme")
    passing = cloud.keys("state-bucket", "_passing/")
    cloud.faults.append(failing("sqs.SendMessage", times=2))
    cloud.route()
    cloud.faults.clear()
    cloud.now += 15_000
    told(BUSY_OUTCOMES)
    cloud.calls.clear()
    cloud.looked()
    assert cloud.calls.count("s3.PutObject") == 1
    assert not {"s3.ListObjectsV2", "sqs.SendMessage", "dynamodb.Scan"} & set(cloud.calls)
    assert len(cloud.keys("state-bucket", "_passing/")) == len(passing) + 2  # the blob, and what is spooled
    assert cloud.copied("acme") == copied
    cloud.watch()
    assert cloud.copied("acme") == cloud.state.current("acme")


def test_an_ask_that_is_lost_is_made_up_for_by_the_next_and_by_the_minute(cloud, told, known):
    told(BUSY_OUTCOMES)
    cloud.asked.clear()
    told(BUSY_OUTCOMES)
    assert cloud.looked() == [{"versions": {"acme": 2}}]
    assert known() == 2 * BUSY_OUTCOMES
    cloud.now += 60_000
    told(BUSY_OUTCOMES)
    cloud.asked.clear()
    cloud.watch()
    assert known() == 3 * BUSY_OUTCOMES


def test_asks_in_the_wrong_order_leave_the_newest_snapshot(cloud, told, known):
    told(BUSY_OUTCOMES)
    cloud.now += 20_000
    told(BUSY_OUTCOMES)
    newest = cloud.now
    cloud.asked.reverse()
    assert cloud.looked() == [{"versions": {"acme": 2}}, {"versions": {}}]
    assert (known(), cloud.state.current("acme").snapshot.made_ms) == (2 * BUSY_OUTCOMES, newest)


def test_a_look_that_was_overtaken_changes_nothing(cloud, told, known):
    """Two at once: while one has read and not yet written the other one finishes."""
    told(BUSY_OUTCOMES)
    overtaken = []

    def overtake(call):
        if call == REFRESHED and not overtaken:
            overtaken.append(call)
            told(BUSY_OUTCOMES)
            cloud.now += 20_000
            overtaken.append(cloud.watch())

    cloud.faults.append(overtake)
    assert cloud.looked()[0] == {"versions": {"acme": 2}}
    assert overtaken[1]["versions"]["acme"] == 2
    assert (known(), cloud.state.current("acme").snapshot.made_ms) == (2 * BUSY_OUTCOMES, cloud.now)


@pytest.mark.parametrize("down", ["dynamodb.", "s3."])
def test_a_look_that_fails_is_told_and_the_next_one_does_all_of_it(cloud, told, known, failing, down):
    told(BUSY_OUTCOMES)
    cloud.faults.append(failing(down))
    with pytest.raises(StoreError):
        cloud.looked()
    cloud.faults.clear()
    cloud.asked.clear()
    cloud.now += 1_000
    told(BUSY_OUTCOMES)
    assert cloud.looked() == [{"versions": {"acme": 2}}]
    assert known() == 2 * BUSY_OUTCOMES


def test_telemetry_counts_though_nobody_can_be_asked_and_the_next_batch_asks_again(cloud, told, failing):
    cloud.faults.append(failing("lambda.Invoke", code="TooManyRequestsException"))
    assert told(BUSY_OUTCOMES) == []
    assert cloud.asked == []
    assert cloud.calls.count("lambda.Invoke") == 1
    cloud.faults.clear()
    told(1)
    assert [ask["busy"] for ask in cloud.asked] == [["acme"]]
    assert sum(counted for counted, _ in cloud.cells().values()) == BUSY_OUTCOMES + 1


def test_all_busy_tenants_of_a_batch_are_asked_for_at_once(cloud, report, policy_text):
    cloud.publish(policy_text, principal=FOREIGN)
    for how in ({}, {"principal": FOREIGN}):
        replies = [cloud.route(**how)[1] for _ in range(BUSY_OUTCOMES)]
        cloud.ingest([report(reply) for reply in replies], **how)
    cloud.learn(cloud.take("telemetry"))
    assert [ask["busy"] for ask in cloud.asked] == [["acme", "globex"]]
    assert cloud.looked() == [{"versions": {"acme": 2, "globex": 2}}]


def test_who_was_never_enrolled_is_passed_over(cloud):
    cloud.asked.append({"busy": ["stranger"], "time": "2026-11-21T12:00:00.000+00:00"})
    assert cloud.looked() == [{"versions": {}}]


def test_a_breaker_opens_between_the_minutes(cloud, wanted, report, alerts):
    chat = wanted(envelope={**wanted()["envelope"], "task_type": "chat"})
    replies = [cloud.route(chat)[1] for _ in range(BUSY_OUTCOMES)]
    cloud.ingest([report(reply, "unavailable") for reply in replies])
    cloud.learn(cloud.take("telemetry"))
    cloud.looked()
    assert alerts() == [("breaker_opened", "acme", replies[0]["arm"])]
    cloud.now += 15_001
    assert cloud.route(chat)[1]["arm"] != replies[0]["arm"]


def test_an_environment_that_looks_only_now_and_then_does_not_take_that_for_staleness(cloud, told, failing, alerts):
    cloud.watch()
    cloud.now += 3_600_000
    cloud.faults.append(failing("dynamodb.Query", after=1))
    with pytest.raises(StoreError):
        cloud.watch()
    assert alerts() == []
