from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from policy_engine.decision import Circumstances, decide, decision_id_for
from policy_engine.pins import Pin
from policy_engine.snapshot import EMPTY
from policy_engine.table import compile_table
from policy_lang.ir import PPM

NOW = 1_790_000_000_000


def circumstances(number: int = 0, **fields) -> Circumstances:
    return Circumstances("acme", decision_id_for(NOW, str(number).encode()), NOW, **fields)


def served(decision) -> dict[str, str]:
    return {step.arm: step.role for step in decision.plan}


def test_the_until_proven_arm_serves_while_no_arm_has_earned_the_floor(table, request_for):
    decision = decide(request_for("label"), table, EMPTY, circumstances(degraded=True))
    assert (decision.arm, decision.floor, decision.plan[0].role) == ("b/strong", "unproven", "until_proven")


def test_the_cheapest_arm_that_earned_the_floor_serves(table, request_for, learned):
    snapshot = learned(("label", "b/plain", 400, 4), ("label", "b/strong", 400, 1), ("label", "a/cheap", 100, 60))
    decision = decide(request_for("label"), table, snapshot, circumstances(degraded=True))
    assert (decision.arm, decision.floor) == ("b/plain", "cleared")
    assert decision.confidence_ppm >= 900_000


def test_a_failed_arm_keeps_only_its_support_share(table, request_for, learned):
    snapshot = learned(("label", "b/plain", 400, 4), ("label", "a/cheap", 20, 200))
    decision = decide(request_for("label"), table, snapshot, circumstances())
    odds = dict(decision.cell.outlook.odds)
    assert odds["a/cheap"] == 10_000 // 4


def test_a_gate_removes_a_candidate_and_unknown_data_fails_the_gate(table, request_for):
    decision = decide(request_for("pii-extract"), table, EMPTY, circumstances())
    survey = decision.cell.survey
    verdicts = {c.model.arm: c.reasons[0].verdict for c in survey.candidates if c.barred}
    assert verdicts == {"b/plain": "violated", "b/strong": "violated", "c/blank": "unknown"}
    assert decision.arm == "a/cheap"
    assert survey.candidates[-1].reasons[0].line == 6


def test_nothing_outside_the_gates_is_ever_explored_or_planned(table, request_for):
    for number in range(300):
        decision = decide(request_for("pii-extract"), table, EMPTY, circumstances(number))
        assert {step.arm for step in decision.plan} == {"a/cheap"}


def test_propensities_are_exact_integers_that_match_the_draws(table, request_for):
    drawn: Counter[str] = Counter()
    for number in range(4_000):
        decision = decide(request_for("label"), table, EMPTY, circumstances(number))
        drawn[decision.arm] += 1
        odds = dict(decision.cell.outlook.odds)
        assert sum(odds.values()) == PPM
        assert decision.propensity_ppm == odds[decision.arm]
        assert decision.explored == (decision.arm != "b/strong")
    for arm, share in odds.items():
        assert drawn[arm] / 4_000 == pytest.approx(share / PPM, abs=0.03)


def test_the_same_inputs_give_the_same_decision_whether_memos_are_warm_or_cold(policy, catalog, request_for, learned):
    from policy_engine.receipt import receipt_body
    from policy_engine.table import compile_table

    snapshot = learned(("label", "b/plain", 40, 4))
    warm = compile_table(policy, catalog)
    for number in range(50):
        request = request_for("label" if number % 2 else "analysis")
        cold = compile_table(policy, catalog)
        left = decide(request, warm, snapshot, circumstances(number))
        right = decide(request, cold, snapshot, circumstances(number))
        assert receipt_body(request, left, snapshot) == receipt_body(request, right, snapshot)


def test_exploration_stops_when_the_money_of_the_day_is_spent(table, request_for, learned):
    spent = learned(("label", "b/plain", 3, 0), spent={"acme/support/labelling": 2_000_000_000})
    decision = decide(request_for("label"), table, spent, circumstances())
    assert decision.cell.outlook.odds == (("b/strong", PPM),)
    tomorrow = Circumstances("acme", decision_id_for(NOW, b"x"), NOW + 86_400_000)
    assert len(decide(request_for("label"), table, spent, tomorrow).cell.outlook.odds) > 1


def test_no_money_for_exploration_explores_nothing_on_any_day(policy, catalog, request_for, learned):
    route = replace(policy.routes[0], explore=replace(policy.routes[0].explore, daily_nanodollars=0))
    table = compile_table(replace(policy, routes=(route,)), catalog)
    for snapshot in (EMPTY, learned(("label", "a/cheap", 3, 1))):
        assert decide(request_for("label"), table, snapshot, circumstances()).cell.outlook.odds == (("b/strong", PPM),)


def test_a_degraded_decision_explores_nothing(table, request_for):
    decision = decide(request_for("label"), table, EMPTY, circumstances(degraded=True))
    assert (decision.propensity_ppm, decision.explored) == (PPM, False)


def pin(arm: str, **fields) -> Pin:
    return Pin(**{"tenant": "acme", "session": "s1", "route": "labelling", "arm": arm, "until_ms": NOW + 1, **fields})


HALF_HOUR = 1_800_000


@pytest.mark.parametrize(
    ("left", "then"),
    [
        (HALF_HOUR, HALF_HOUR),
        (HALF_HOUR * 7 // 8, HALF_HOUR * 7 // 8),
        (HALF_HOUR * 7 // 8 - 1, HALF_HOUR),
        (1, HALF_HOUR),
    ],
)
def test_a_pinned_session_keeps_its_arm_with_certainty_and_a_pin_that_lasts_while_it_goes_on(
    table, request_for, left, then
):
    held = pin("b/strong", until_ms=NOW + left)
    pinned = decide(request_for("label", session="s1"), table, EMPTY, circumstances(pin=held))
    assert (pinned.arm, pinned.plan[0].role, pinned.propensity_ppm) == ("b/strong", "pinned", PPM)
    assert pinned.pin("s1") == pin("b/strong", until_ms=NOW + then)


@pytest.mark.parametrize(
    ("task", "held", "session"),
    [
        ("label", pin("b/plain", until_ms=NOW), "s1"),
        ("label", pin("b/plain", route="general"), "s1"),
        ("label", pin("b/plain"), "s2"),
        ("label", pin("b/plain"), None),
        ("label", pin("x/gone"), "s1"),
        ("analysis", pin("b/plain", route="general"), "s1"),
    ],
)
def test_a_pin_that_does_not_hold_is_ignored(table, request_for, task, held, session):
    decision = decide(request_for(task, session=session), table, EMPTY, circumstances(pin=held, degraded=True))
    assert decision.plan[0].role != "pinned"


def test_a_first_turn_starts_a_pin_and_a_call_without_session_none(table, request_for):
    first = decide(request_for("label", session="s1"), table, EMPTY, circumstances(degraded=True))
    assert first.pin("s1") == pin("b/strong", until_ms=NOW + 1_800_000)
    assert first.pin(None) is None


def test_a_session_leaves_an_arm_that_failed_its_floor(table, request_for, learned):
    snapshot = learned(("label", "b/plain", 20, 200), ("label", "b/strong", 300, 1))
    decision = decide(request_for("label", session="s1"), table, snapshot, circumstances(pin=pin("b/plain")))
    assert decision.cell.outlook.pin.kept is False
    assert decision.plan[0].role != "pinned"


def test_nothing_is_explored_inside_a_tool_loop(table, request_for):
    decision = decide(request_for("label", tool_loop=True), table, EMPTY, circumstances())
    assert decision.cell.outlook.odds == (("b/strong", PPM),)


def test_an_open_breaker_takes_an_arm_out_of_the_plan(table, request_for):
    decision = decide(request_for("label"), table, EMPTY, circumstances(breakers=frozenset({"b/strong"})))
    assert "b/strong" not in served(decision)
    rows = decision.cell.candidates_json
    assert '"fate":"breaker_open"' in rows


def test_no_survivor_is_a_loud_status_of_its_own(table, request_for):
    decision = decide(request_for("label", candidates=("x/nothing",)), table, EMPTY, circumstances())
    assert (decision.status, decision.arm, decision.plan) == ("no_candidates", None, ())


def test_a_task_outside_the_policy_is_decided_as_other(table, request_for):
    first = decide(request_for("poetry"), table, EMPTY, circumstances())
    second = decide(request_for("other"), table, EMPTY, circumstances())
    assert first.cluster == second.cluster


def test_the_plan_falls_back_in_the_order_cleared_until_proven_fallback(table, request_for, learned):
    snapshot = learned(("label", "a/cheap", 400, 4), ("label", "c/blank", 400, 4), ("label", "b/strong", 9, 1))
    decision = decide(request_for("label"), table, snapshot, circumstances(degraded=True))
    assert served(decision) == {
        "a/cheap": "pick",
        "c/blank": "cleared",
        "b/strong": "until_proven",
        "b/plain": "fallback",
    }


def test_a_price_change_acts_on_the_next_decision(policy, catalog, request_for, learned):
    from policy_engine.table import compile_table

    snapshot = learned(("label", "a/cheap", 400, 4), ("label", "c/blank", 400, 4))
    before = decide(request_for("label"), compile_table(policy, catalog), snapshot, circumstances(degraded=True))
    dearer = catalog.repriced("a/cheap", price_in=500_000, price_out=2_000_000)
    after = decide(request_for("label"), compile_table(policy, dearer), snapshot, circumstances(degraded=True))
    assert (before.arm, after.arm) == ("a/cheap", "c/blank")


def test_decision_ids_sort_by_time_and_carry_128_bits():
    early, late = decision_id_for(NOW, b"zz"), decision_id_for(NOW + 1, b"aa")
    assert early < late
    assert len(early) == 32
