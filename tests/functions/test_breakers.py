"""Breakers from end to end: telemetry opens them, the schedule writes them, decisions keep off and probe."""

from __future__ import annotations

import pytest

from policy_engine.receipt import open_sealed
from policy_engine.replay import replay

HAIKU = "anthropic/claude-haiku-4-5"


@pytest.fixture
def chat(wanted):
    """A request that `claude-haiku-4-5` or `gpt-5-mini` serves."""
    envelope = {**wanted()["envelope"], "task_type": "chat"}
    return wanted(envelope=envelope)


def told(cloud, chat, report, outcomes, **fields):
    """Report one decision per outcome, look, and let a minute pass."""
    replies = [cloud.route(chat)[1] for _ in outcomes]
    cloud.ingest([report(reply, outcome, **fields) for reply, outcome in zip(replies, outcomes, strict=True)])
    assert cloud.learn(cloud.take("telemetry")) == []
    cloud.watch()
    cloud.now += 60_000
    return replies


def test_an_arm_that_keeps_failing_is_left_out_probed_and_taken_back(cloud, chat, report, alerts):
    arm = told(cloud, chat, report, ["unavailable"] * 5)[0]["arm"]
    assert alerts() == [("breaker_opened", "acme", arm)]
    assert cloud.state.current("acme").breakers[arm].until_ms == cloud.now
    cloud.now -= 25_000
    reply = cloud.route(chat)[1]
    assert reply["arm"] != arm
    assert next(row["fate"] for row in reply["candidates"] if row["arm"] == arm) == "breaker_open"
    cloud.now += 25_000
    probes = []
    while len(probes) < 3:
        found = cloud.route(chat)[1]
        if found["arm"] == arm:
            assert found["probing_ppm"] == 100_000
            probes.append(found)
    cloud.ingest([report(reply) for reply in probes])
    cloud.learn(cloud.take("telemetry"))
    cloud.watch()
    assert alerts() == [("breaker_closed", "acme", arm)]
    cloud.now += 31_000
    assert cloud.route(chat)[1]["arm"] == arm


def test_decisions_with_half_open_arms_replay(cloud, chat, report):
    arm = told(cloud, chat, report, ["timeout"] * 6)[0]["arm"]
    cloud.take("records")
    served = {cloud.route(chat)[1]["arm"] for _ in range(60)}
    assert arm in served
    assert len(served) > 1
    policies = {
        fingerprint: (kept.policy, kept.lines) for fingerprint, kept in cloud.state.current("acme").policies.items()
    }
    for message in cloud.take("records"):
        line = message["body"].split("\n")[1]
        receipt = open_sealed(line)
        assert receipt["circumstances"]["half_open"] == [arm]
        assert receipt["probing_ppm"] in (100_000, 900_000)
        assert replay(line, policies).equal


def test_a_probe_that_fails_opens_it_for_longer(cloud, chat, report, alerts):
    arm = told(cloud, chat, report, ["unavailable"] * 5)[0]["arm"]
    alerts()
    while (found := cloud.route(chat)[1])["arm"] != arm:
        pass
    cloud.ingest([report(found, "unavailable")])
    cloud.learn(cloud.take("telemetry"))
    cloud.watch()
    assert alerts() == [("breaker_opened", "acme", arm)]
    assert cloud.state.current("acme").breakers[arm].cool_down_ms == 120_000


@pytest.mark.parametrize("outcome", ["context_window", "wrong", "refused", "cancelled"])
def test_what_is_no_fault_of_a_provider_opens_nothing(cloud, chat, report, outcome):
    told(cloud, chat, report, [outcome] * 12)
    assert cloud.state.current("acme").breakers == {}


def test_one_fault_is_enough_where_the_route_says_open_breaker(cloud, chat, report, policy_text):
    strict = "{ use small  pick cheapest  on unavailable open breaker then next }"
    cloud.publish(policy_text.replace("{ use small  pick cheapest }", strict))
    arm = told(cloud, chat, report, ["unavailable"])[0]["arm"]
    assert list(cloud.state.current("acme").breakers) == [arm]


def test_a_look_without_news_moves_no_pointer(cloud, chat, report):
    told(cloud, chat, report, ["unavailable"] * 5)
    version = cloud.state.current("acme").version
    cloud.watch()
    assert cloud.state.current("acme").version == version


def test_the_last_resort_serves_though_everything_fails(cloud, chat, report):
    for arm in (HAIKU, "openai/gpt-5-mini"):
        one = {**chat, "candidates": [arm]}
        assert {reply["arm"] for reply in told(cloud, one, report, ["unavailable"] * 5)} == {arm}
    assert set(cloud.state.current("acme").breakers) == {HAIKU, "openai/gpt-5-mini"}
    cloud.now -= 61_000
    cloud.restart()
    assert cloud.route(chat)[1]["arm"] == HAIKU


def test_one_tenants_faults_are_nobody_elses(cloud, chat, report, policy_text):
    foreign = "arn:aws:sts::222222222222:assumed-role/globex-app/s"
    cloud.publish(policy_text, principal=foreign)
    told(cloud, chat, report, ["unavailable"] * 9)
    assert cloud.state.current("globex").breakers == {}
