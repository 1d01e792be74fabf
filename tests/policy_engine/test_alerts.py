"""What is worth an alarm in the step from one state to the next."""

from __future__ import annotations

from dataclasses import replace

import pytest

from policy_engine.alerts import Alert, alerts
from policy_engine.aliases import alias_of
from policy_engine.breakers import Breaker
from policy_engine.snapshot import EMPTY, build_snapshot
from policy_engine.state import PublishedPolicy, RouteState, with_alias, with_policy, with_statistics, with_tallies
from policy_engine.statistics import CellRow, epoch_of, merge_sums, outcome_sums
from policy_engine.trials import MAIN, TrialLane, lane_of, trial_of
from policy_engine.wire import TelemetryRecord
from policy_lang.fingerprint import policy_fingerprint
from policy_lang.ir import Canary

NOW = 1_790_000_000_000


def rows(arm, good, bad):
    ok, wrong = (outcome_sums(TelemetryRecord("t" * 20, 0, arm, each), NOW) for each in ("ok", "wrong"))
    return [CellRow("ab" * 10, "label", arm, 0, epoch_of(NOW), merge_sums([ok] * good + [wrong] * bad))]


@pytest.mark.parametrize(
    ("before", "after", "kind"), [((190, 10), (195, 65), "arm_degraded"), ((100, 100), (190, 102), "arm_improved")]
)
def test_an_arm_that_moves_from_its_record_is_told_of_once(before, after, kind):
    arm = "openai/gpt-5-mini"
    then = with_statistics(RouteState("acme"), rows(arm, *before), NOW, {})
    now = with_statistics(then, rows(arm, *after), NOW + 60_000, {})
    (alert,) = alerts(then, now, NOW + 60_000)
    assert (alert.kind, alert.tenant, alert.subject) == (kind, "acme", arm)
    assert alert.facts["generation"] == 1
    assert (alert.facts["moved_ppm"] < 0) is (kind == "arm_degraded")
    later = with_statistics(now, rows(arm, *after), NOW + 120_000, {})
    assert alerts(now, later, NOW + 120_000) == []


def test_breakers_are_told_of_when_they_open_open_again_and_close():
    shut = RouteState("acme")
    opened = replace(shut, breakers={"b/plain": Breaker(NOW, NOW + 60_000)})
    probed = replace(shut, breakers={"b/plain": Breaker(NOW, NOW + 60_000, good=1)})
    again = replace(shut, breakers={"b/plain": Breaker(NOW + 60_000, NOW + 180_000)})
    assert alerts(shut, opened, NOW) == [
        Alert("breaker_opened", "acme", "b/plain", {"until_ms": NOW + 60_000, "again": 0})
    ]
    assert alerts(opened, probed, NOW) == []
    assert [(alert.kind, alert.facts["again"]) for alert in alerts(probed, again, NOW)] == [("breaker_opened", 1)]
    assert [alert.kind for alert in alerts(again, shut, NOW)] == ["breaker_closed"]


def test_a_snapshot_of_a_clock_that_jumped_ahead_is_stale():
    state = RouteState("acme", snapshot=build_snapshot((), NOW + 3_600_000))
    (alert,) = alerts(state, state, NOW)
    assert (alert.kind, alert.facts["cause"]) == ("snapshot_stale", "clock_before_snapshot")
    assert alerts(replace(state, snapshot=EMPTY), replace(state, snapshot=EMPTY), NOW) == []


@pytest.fixture
def trial(policy):
    """A state in which `acme/support` has a canary with a stop-loss, and the lane of it."""
    canary = replace(policy, name="acme/next", baseline="a/cheap")
    terms = Canary("acme/next", 100_000, "call", 30_000, "success", 30_000)
    state = RouteState("acme")
    for each in (canary, replace(policy, canaries=(terms,))):
        state = with_policy(state, policy_fingerprint(each), PublishedPolicy(each, {}))
    (main, _), *_ = state.aliases["acme/support"]
    return state, TrialLane(trial_of(main), lane_of("acme/next", state.aliases["acme/next"]))


def test_a_canary_is_stopped_and_told_of_once_and_the_state_forgets_it_when_either_policy_moves(trial, policy):
    state, lane = trial
    tallies = {TrialLane(lane.trial, MAIN): {"n": 1_000, "s": 950}, lane: {"n": 200, "s": 120}}
    stopped = with_tallies(state, tallies, NOW)
    assert dict(stopped.stopped) == {lane.key: NOW}
    assert [(alert.kind, alert.subject) for alert in alerts(state, stopped, NOW)] == [("canary_stopped", "acme/next")]
    assert with_tallies(stopped, tallies, NOW + 60_000) is stopped
    for name in ("acme/next", "acme/support"):
        other = replace(policy, name=name, fallback=("a/cheap",))
        fingerprint = policy_fingerprint(other)
        moved = with_alias(stopped, name, alias_of(fingerprint), {fingerprint: PublishedPolicy(other, {})})
        assert moved.stopped == {}


def test_a_canary_past_its_day_is_not_judged(trial):
    state, lane = trial
    tallies = {TrialLane(lane.trial, MAIN): {"n": 1_000, "s": 950}, lane: {"n": 200, "s": 120}}
    assert with_tallies(state, tallies, 30_001 * 86_400_000) is state
