"""Canaries with a stop-loss: counted lane by lane, stopped for their losses, and tried again once published anew."""

from __future__ import annotations

import pytest

from functions.stores.messages import pack_telemetry
from functions.stores.secrets import KeyRing
from policy_engine.decision import decision_id_for
from policy_engine.replay import replay
from policy_engine.state import watched_trials
from policy_engine.token import TokenArm, TokenClaims, mint
from policy_engine.trials import MAIN, TrialLane, lane_of, trial_of
from policy_engine.wire import TelemetryRecord

STOPPING = '\ncanary "acme/next" 30% until 2099-12-31 stop when success drops 3%\n'
SONNET = "anthropic/claude-sonnet-4-5"


@pytest.fixture
def trial(cloud, policy_text):
    """A policy with a canary that serves the same models by another floor."""
    cloud.publish(policy_text.replace('"acme/support"', '"acme/next"').replace("proven 90%", "proven 80%"), "acme/next")
    assert cloud.publish(policy_text + STOPPING)[0] == 200
    return cloud


@pytest.fixture
def fare(trial):
    """Let outcomes of so many decisions a lane arrive, of which every n-th is wrong."""
    keys = KeyRing(trial.secretsmanager, trial.secret).at(trial.now)

    def arrive(canary, main):
        (lane,) = [lane for lane, _ in watched_trials(trial.state.current("acme"), trial.now)]
        for side, (decisions, nth) in ((lane, canary), (TrialLane(lane.trial, MAIN), main)):
            tokens = [mint(claims(f"{side.lane} {number}", side, trial.now), keys) for number in range(decisions)]
            records = [
                TelemetryRecord(token, 0, SONNET, "ok" if number % nth else "wrong")
                for number, token in enumerate(tokens)
            ]
            bodies = pack_telemetry("acme", f"request {side.lane} {trial.now}", trial.now, records)
            messages = [{"messageId": f"m{number}", "body": body} for number, body in enumerate(bodies)]
            assert trial.learn(messages) == []

    return arrive


def claims(name, lane, now):
    decision_id = decision_id_for(now, name.encode())
    arm = TokenArm(SONNET, 0, 1, 1, 1, 1)
    return TokenClaims("acme", decision_id, "ab" * 10, "label", "r", (arm,), 300_000, False, now, trial=lane)


def test_lanes_are_counted_once_whatever_is_delivered_twice(trial, report):
    replies = [trial.route()[1] for _ in range(40)]
    trial.ingest([report(reply, "ok" if number % 4 else "wrong") for number, reply in enumerate(replies)])
    trial.ingest([report(reply, None, quality=0.5) for reply in replies])
    messages = trial.take("telemetry")
    for _ in range(3):
        assert trial.learn(messages) == []
    tallies = trial.statistics.tallies("acme")
    assert {lane.lane for lane in tallies} == {
        MAIN,
        lane_of("acme/next", trial.state.current("acme").aliases["acme/next"]),
    }
    total = {name: sum(tally[name] for tally in tallies.values()) for name in ("n", "s", "qn", "q", "qq")}
    assert total == {"n": 40, "s": 30, "qn": 40, "q": 20_000_000, "qq": 40 * 250_000_000_000}
    canary = sum(reply["lane"].get("policy") == "acme/next" for reply in replies)
    assert {tally["n"] for tally in tallies.values()} == {canary, 40 - canary}


def test_decisions_without_a_stop_loss_count_in_no_lane(cloud, report, policy_text):
    cloud.publish(policy_text.replace('"acme/support"', '"acme/next"'), "acme/next")
    cloud.publish(policy_text + '\ncanary "acme/next" 30% until 2099-12-31\n')
    replies = [cloud.route()[1] for _ in range(10)]
    assert {"acme/next", None} >= {reply["lane"]["policy"] for reply in replies}
    cloud.ingest([report(reply) for reply in replies])
    cloud.learn(cloud.take("telemetry"))
    assert cloud.statistics.tallies("acme") == {}


def test_a_canary_that_loses_is_stopped_told_of_and_serves_no_more_until_it_is_published_anew(
    trial, fare, alerts, policy_text
):
    fare(canary=(70, 2), main=(140, 20))
    trial.now += 60_000
    trial.watch()
    state = trial.state.current("acme")
    lane = f"{trial_of(state.aliases['acme/support'][0][0])}/{lane_of('acme/next', state.aliases['acme/next'])}"
    assert dict(state.stopped) == {lane: trial.now}
    assert alerts() == [("canary_stopped", "acme", "acme/next")]
    trial.now += 31_000
    assert all(trial.route()[1]["lane"] == {} for _ in range(20))
    trial.watch()
    assert alerts() == []
    changed = policy_text.replace('"acme/support"', '"acme/next"').replace("$2/day", "$3/day")
    assert trial.publish(changed, "acme/next")[0] == 200
    trial.watch()
    assert trial.state.current("acme").stopped == {}
    trial.now += 31_000
    assert {trial.route()[1]["lane"]["policy"] for _ in range(40)} == {"acme/next", None}


def test_a_canary_that_does_as_well_goes_on(trial, fare, alerts):
    fare(canary=(70, 14), main=(140, 20))
    trial.now += 60_000
    trial.watch()
    assert trial.state.current("acme").stopped == {}
    assert alerts() == []


GATED = """policy "acme/gated" language 1
tasks label, chat
tier t = [claude-haiku-4-5, gpt-5-mini]
forbid "no openai for labs" when org == labs and model.provider == openai
default route general { use t  pick cheapest }
fallback claude-haiku-4-5
canary "acme/free" 50% until 2099-12-31
"""
FREE = """policy "acme/free" language 1
tasks label, chat
tier t = [gpt-5-mini, claude-sonnet-4-5]
default route general { use t  pick cheapest }
fallback gpt-5-mini
"""
OTHER_ATTRIBUTE = """attribute plan = [gold]
forbid "no sonnet for gold" when attribute.plan == gold and model.provider == anthropic
"""


def test_a_canary_obeys_the_gates_of_the_policy_it_is_drawn_from(cloud, wanted):
    cloud.publish(FREE, "acme/free")
    assert cloud.publish(GATED, "acme/gated")[0] == 200
    served = {}
    for org in ("labs", "sales"):
        replies = [cloud.route(wanted(policy="acme/gated", org=org))[1] for _ in range(24)]
        canary = [reply for reply in replies if reply["lane"]["policy"] == "acme/free"]
        assert canary
        served[org] = {step["arm"] for reply in canary for step in reply["plan"]}
    assert served["labs"] == {SONNET}
    assert "openai/gpt-5-mini" in served["sales"]
    policies = {
        fingerprint: (kept.policy, kept.lines) for fingerprint, kept in cloud.state.current("acme").policies.items()
    }
    assert all(replay(message["body"].split("\n")[1], policies).equal for message in cloud.take("records"))


def test_a_canary_that_the_gates_leave_nothing_takes_no_share(cloud, wanted):
    cloud.publish(FREE.replace("gpt-5-mini, claude-sonnet-4-5", "gpt-5-mini"), "acme/free")
    assert cloud.publish(GATED, "acme/gated")[0] == 200
    lanes = [cloud.route(wanted(policy="acme/gated"))[1]["lane"] for _ in range(16)]
    assert lanes == [{}] * 16


BUDGETED = """policy "acme/gated" language 1
tier t = [claude-sonnet-4-5]
tier cheap = [gpt-5-nano]
default route general { use t  pick cheapest }
fallback claude-sonnet-4-5
canary "acme/free" 50% until 2099-12-31 stop when success drops 3%
"""


def lanes_until(cloud, wanted, arm_or_status):
    """Lane and expected cost of every call served until an arm serves or a status is answered, and of ten more."""
    found, left = [], 10
    for _ in range(400):
        status, reply = cloud.route(wanted(policy="acme/gated"))
        end = arm_or_status in (status, reply.get("arm"))
        left -= end
        if not left:
            return found
        if status == 200:
            found.append((reply["lane"].get("policy"), reply["expected_cost_nanodollars"], end, reply["lane"]))
    raise AssertionError(f"{arm_or_status} never came")


def test_a_canary_spends_the_budget_of_the_policy_it_is_drawn_from(cloud, wanted):
    assert cloud.publish(FREE, "acme/free")[0] == 200
    assert cloud.publish(BUDGETED + "budget org labs $0.10/day", "acme/gated")[0] == 200
    served = lanes_until(cloud, wanted, 429)
    assert {lane for lane, *_ in served} == {None, "acme/free"}
    spent = sum(cost for _, cost, *_ in served)
    assert 100_000_000 <= spent < 100_000_000 + max(cost for _, cost, *_ in served)
    policies = {
        fingerprint: (kept.policy, kept.lines) for fingerprint, kept in cloud.state.current("acme").policies.items()
    }
    assert all(replay(message["body"].split("\n")[1], policies).equal for message in cloud.take("records"))


def test_a_strained_budget_sends_the_canary_to_rest_and_its_policy_degrades(cloud, wanted):
    assert cloud.publish(FREE, "acme/free")[0] == 200
    budget = "budget org labs $0.10/day warn 50% then tier cheap"
    assert cloud.publish(BUDGETED + budget, "acme/gated")[0] == 200
    served = lanes_until(cloud, wanted, "openai/gpt-5-nano")
    strained = [lane for *_, end, lane in served if end]
    assert len(strained) == 9
    assert strained == [{}] * 9
    assert {lane for lane, *_ in served} == {None, "acme/free"}


def test_a_call_may_say_what_its_policy_declares_whatever_the_canary_declares(cloud, wanted):
    declared = "attribute plan = [free, pro]\n"
    declared += 'forbid "openai is for pro" when model.provider == openai and attribute.plan != pro\n'
    assert cloud.publish(FREE.replace("tier t =", f"{OTHER_ATTRIBUTE}tier t ="), "acme/free")[0] == 200
    assert cloud.publish(GATED.replace("tier t =", f"{declared}tier t ="), "acme/gated")[0] == 200
    answers = [cloud.route(wanted(policy="acme/gated", attributes={"plan": "free"})) for _ in range(24)]
    assert {status for status, _ in answers} == {200}
    lanes = {reply["lane"].get("policy"): {step["arm"] for step in reply["plan"]} for _, reply in answers}
    assert lanes == {None: {"anthropic/claude-haiku-4-5"}, "acme/free": {SONNET}}
    policies = {
        fingerprint: (kept.policy, kept.lines) for fingerprint, kept in cloud.state.current("acme").policies.items()
    }
    assert all(replay(message["body"].split("\n")[1], policies).equal for message in cloud.take("records"))
