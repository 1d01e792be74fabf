"""`mode shadow`: decided and logged, while the old path serves and tells what it used."""

from __future__ import annotations

import json

import pytest

from policy_engine.receipt import open_sealed
from policy_engine.replay import replay

OPUS = "anthropic/claude-opus-4-8"
SONNET = "anthropic/claude-sonnet-4-5"


@pytest.fixture
def shadow(cloud, policy_text):
    """A policy in shadow whose gates keep the baseline, which the old path uses, from ever serving."""
    text = policy_text.replace("baseline claude-sonnet-4-5", "baseline claude-opus-4-8\nmode shadow")
    barred = 'forbid "no opus" when model.price_out >= $20/Mtok\n'
    status, document = cloud.publish(text.replace("forbid", barred + "forbid", 1))
    assert status == 200, document
    return cloud


def test_the_reply_and_the_receipt_say_that_the_old_path_serves(shadow):
    reply = shadow.route()[1]
    assert reply["mode"] == "shadow"
    line = shadow.take("records")[-1]["body"].split("\n")[1]
    assert open_sealed(line)["mode"] == "shadow"
    kept = shadow.state.current("acme").policies[reply["fingerprints"]["policy"]]
    assert replay(line, {reply["fingerprints"]["policy"]: (kept.policy, kept.lines)}).equal


def test_the_arm_that_served_is_learned_from_though_the_plan_lacks_it(shadow, report):
    reply = shadow.route()[1]
    assert OPUS not in [step["arm"] for step in reply["plan"]]
    shadow.ingest([report(reply, arm=OPUS)])
    assert shadow.learn(shadow.take("telemetry")) == []
    shadow.record()
    assert shadow.cells() == {OPUS: (1, 1)}
    (outcome,) = shadow.outcomes().values()
    assert (outcome["state"], outcome["mode"]) == ("applied", "shadow")
    assert (outcome["arm"], outcome["decided"]) == (OPUS, reply["arm"])
    assert outcome["cost_nanodollars"] > 0


def test_an_arm_that_nobody_ever_named_is_refused_and_still_recorded(shadow, report):
    reply = shadow.route()[1]
    shadow.ingest([report(reply, arm="lab/unheard-of")])
    shadow.learn(shadow.take("telemetry"))
    shadow.record()
    (outcome,) = shadow.outcomes().values()
    assert (outcome["state"], outcome["reason"], outcome["decided"]) == ("rejected", "unknown_arm", reply["arm"])


def test_what_shadow_would_have_explored_costs_no_exploration_money(shadow, report):
    replies = [shadow.route()[1] for _ in range(120)]
    assert any(reply["explored"] for reply in replies)
    shadow.ingest([report(reply, arm=SONNET) for reply in replies])
    shadow.learn(shadow.take("telemetry"))
    shadow.watch()
    assert dict(shadow.state.current("acme").settled) == {}


def test_the_pick_of_a_call_is_the_same_whenever_it_is_asked(shadow, wanted):
    keyed = wanted(idempotency_key="order-7")
    first = shadow.route(keyed)[1]
    shadow.restart()
    assert json.dumps(shadow.route(keyed)[1]) == json.dumps(first)


def test_no_canary_of_a_shadow_is_stopped_for_what_the_old_path_did(shadow, report, policy_text):
    shadow.publish(policy_text.replace('"acme/support"', '"acme/next"'), "acme/next")
    stopping = '\nmode shadow\ncanary "acme/next" 30% until 2099-12-31 stop when success drops 3%\n'
    assert shadow.publish(policy_text + stopping)[0] == 200
    shadow.now += 31_000
    replies = [shadow.route()[1] for _ in range(12)]
    main = [reply for reply in replies if reply["mode"] == "shadow"]
    shadow.ingest([report(reply, arm=SONNET) for reply in main])
    shadow.learn(shadow.take("telemetry"))
    assert shadow.statistics.tallies("acme") == {}
