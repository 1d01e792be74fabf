"""When an arm is left out and when it comes back, look by look."""

from __future__ import annotations

from dataclasses import replace

import pytest

from policy_engine.breakers import (
    LONGEST_COOL_DOWN_MS,
    PROBE_PPM,
    SHORTEST_COOL_DOWN_MS,
    Breaker,
    Counts,
    advanced,
    let_through,
    standing,
    totals,
)
from policy_engine.decision import Circumstances, decide, decision_id_for
from policy_engine.receipt import receipt_body, seal
from policy_engine.replay import replay
from policy_engine.snapshot import EMPTY
from policy_engine.statistics import CellRow, merge_sums, outcome_sums
from policy_engine.wire import TelemetryRecord

NOW = 1_790_000_000_000
MINUTE = 60_000
ARM = "b/plain"


def looked(*arrivals, every=MINUTE, start=NOW):
    """Breakers of one arm after looks that each found `(calls, faults[, strict])` more; and the time of the last."""
    pulses, breakers, seen, now = {}, {}, Counts(), start
    for arrival in arrivals:
        more = Counts(*arrival)
        seen = Counts(seen.calls + more.calls, seen.faults + more.faults, seen.strict + more.strict)
        pulses, breakers = advanced(pulses, breakers, {ARM: seen}, now)
        now += every
    return breakers


@pytest.mark.parametrize(
    ("arrivals", "opens"),
    [
        ([(4, 4)], False),
        ([(5, 5)], True),
        ([(10, 5)], True),
        ([(11, 5)], False),
        ([(1_000, 499)], False),
        ([(1_000, 500)], True),
        ([(1, 1)] * 4, False),
        ([(1, 1)] * 5, True),
        ([(15, 0), (5, 5)], False),  # 5 of the last 20
        ([(1_000, 0), (10, 10)], True),  # 10 of the last 20
        ([(1_000, 0), (9, 9)], False),
        ([(1_000, 0), (1_000, 900)], True),  # a busy minute speaks for itself
    ],
)
def test_half_of_the_recent_calls_and_at_least_five_open(arrivals, opens):
    assert (ARM in looked(*arrivals)) is opens


@pytest.mark.parametrize(
    ("arrivals", "opens"),
    [
        ([(150, 0), (150, 90)], False),  # a blip as long as the look: 90 of the last 250
        ([(150, 0), (150, 150)], True),  # 150 of them
        ([(150, 0), (150, 90), (150, 90)], False),
        ([(150, 0), (150, 90), (150, 90), (150, 90)], True),  # no blip
        ([(1, 0), (150, 90)], True),
    ],
)
def test_looks_that_come_every_quarter_of_a_minute_judge_by_three_quarters(arrivals, opens):
    assert (ARM in looked(*arrivals, every=15_000)) is opens


def test_a_look_as_of_an_earlier_time_forgets_nothing():
    assert looked((150, 0), (150, 140), every=-1_000) == {}


@pytest.mark.parametrize(
    ("arrivals", "opens"), [([(1, 1, 1)], True), ([(10, 1, 1)], True), ([(11, 1, 1)], False), ([(100, 10, 10)], True)]
)
def test_where_the_route_says_open_breaker_one_fault_in_ten_calls_is_enough(arrivals, opens):
    assert (ARM in looked(*arrivals)) is opens


def test_what_comes_while_it_is_open_belongs_to_earlier_calls():
    breakers = looked((5, 5), (50, 50), (50, 0), every=20_000)
    assert breakers == {ARM: Breaker(NOW, NOW + SHORTEST_COOL_DOWN_MS)}


def test_three_good_probes_close_it_and_the_past_is_forgotten():
    assert ARM in looked((5, 5), (2, 0))
    assert looked((5, 5), (2, 0), (1, 0)) == {}
    assert looked((5, 5), (3, 0), (4, 4)) == {}


def test_a_failed_probe_opens_it_for_twice_as_long_up_to_a_quarter_of_an_hour():
    pulses, breakers, now, seen = {}, {}, NOW, 0
    spans = []
    for _ in range(7):
        seen += 5
        pulses, breakers = advanced(pulses, breakers, {ARM: Counts(seen, seen)}, now)
        spans.append(breakers[ARM].cool_down_ms // MINUTE)
        now = breakers[ARM].until_ms
    assert spans == [1, 2, 4, 8, 16, 16, 16]
    assert breakers[ARM].cool_down_ms == LONGEST_COOL_DOWN_MS


def test_seeing_the_same_counters_twice_or_older_ones_late_changes_nothing():
    pulses, breakers = advanced({}, {}, {ARM: Counts(9, 4)}, NOW)
    assert advanced(pulses, breakers, {ARM: Counts(9, 4)}, NOW + MINUTE) == (pulses, breakers)
    assert advanced(pulses, breakers, {ARM: Counts(7, 3)}, NOW + MINUTE) == (pulses, breakers)
    late = advanced(pulses, breakers, {ARM: Counts(7, 3)}, NOW + MINUTE)
    assert advanced(*late, {ARM: Counts(10, 5)}, NOW + 2 * MINUTE)[1] != {}


@pytest.mark.parametrize(
    ("outcome", "counts"),
    [
        ("ok", Counts(1, 0, 0)),
        ("wrong", Counts(1, 0, 0)),
        ("unavailable", Counts(1, 1, 1)),
        ("rate_limited", Counts(1, 1, 0)),
        ("timeout", Counts(1, 1, 0)),
        ("auth", Counts(1, 1, 0)),
        ("context_window", Counts(0, 0, 0)),
        ("cancelled", Counts(0, 0, 0)),
    ],
)
def test_provider_faults_count_but_a_context_window_opens_nothing(outcome, counts):
    sums = outcome_sums(TelemetryRecord("t" * 20, 0, ARM, outcome), NOW, trips=("unavailable", "context_window"))
    row = CellRow("ab", "label", ARM, 0, 0, sums)
    assert totals([row])[ARM] == counts


def test_counters_add_up_over_cells_generations_and_epochs():
    sums = merge_sums([outcome_sums(TelemetryRecord("t" * 20, 0, ARM, "timeout"), NOW)] * 2)
    rows = [CellRow("ab", "label", ARM, 0, 0, sums), CellRow("cd", "chat", ARM, 1, 3, sums)]
    assert totals(rows) == {ARM: Counts(4, 4, 0)}


def test_it_is_half_open_once_it_has_cooled_down():
    breakers = {ARM: Breaker(NOW, NOW + MINUTE)}
    assert standing(breakers, ("a/cheap",), NOW + MINUTE - 1) == ({ARM}, frozenset())
    assert standing(breakers, ("a/cheap",), NOW + MINUTE) == (frozenset(), {ARM})


def test_the_first_of_a_fallback_list_that_is_all_out_stays_in():
    breakers = {arm: Breaker(NOW, NOW + MINUTE) for arm in ("a/cheap", "b/plain", "b/strong")}
    assert standing(breakers, ("b/plain", "a/cheap"), NOW) == ({"a/cheap", "b/strong"}, frozenset())
    assert standing(breakers, ("c/blank", "a/cheap"), NOW) == (set(breakers), frozenset())


def test_probing_draws_are_exact_and_only_over_arms_in_reach():
    ids = [decision_id_for(NOW, str(number).encode()) for number in range(10_000)]
    found = [let_through(frozenset(), frozenset({ARM, "x/gone"}), [ARM], each) for each in ids]
    assert set(found) == {(frozenset(), PROBE_PPM), (frozenset({ARM}), 1_000_000 - PROBE_PPM)}
    assert sum(not left_out for left_out, _ in found) == pytest.approx(1_000, abs=100)
    assert let_through(frozenset({"a/cheap"}), frozenset({ARM}), (), ids[0]) == ({"a/cheap"}, 1_000_000)


def test_a_half_open_arm_serves_a_tenth_and_the_plan_says_how_likely_it_was(table, request_for, policy):
    request, plans = request_for("chat"), set()
    for number in range(200):
        now = Circumstances(
            "acme", decision_id_for(NOW, str(number).encode()), NOW, half_open=frozenset({"c/blank"}), degraded=True
        )
        decision = decide(request, table, EMPTY, now)
        plans.add((any(step.arm == "c/blank" for step in decision.plan), decision.propensity_ppm))
        line = seal(receipt_body(request, decision, EMPTY))
        lines = {"PII stays in the EU": 6, "route:labelling": 9, "route:general": 16}
        assert replay(line, {decision.policy_fingerprint: (policy, lines)}).equal
    assert plans == {(True, PROBE_PPM), (False, 1_000_000 - PROBE_PPM)}


def test_a_half_open_arm_out_of_reach_shapes_no_plan(table, request_for):
    now = Circumstances("acme", "d" * 32, NOW, half_open=frozenset({"x/other"}), degraded=True)
    assert decide(request_for("chat"), table, EMPTY, now).propensity_ppm == 1_000_000
    assert decide(request_for("chat"), table, EMPTY, replace(now, half_open=frozenset())).propensity_ppm == 1_000_000
