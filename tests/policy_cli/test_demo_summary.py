"""The figures of a run, on a world small enough to reckon by hand."""

from __future__ import annotations

import pytest

from policy_cli.demo.calls import Call, Result, Scenario
from policy_cli.demo.report import report
from policy_cli.demo.summary import Hop, Served, summarise
from policy_lang.envelope import build_envelope

CENT = 10_000_000
ENVELOPE = build_envelope(task_type="label")


class Table:
    """`good` is always right for two cents, `bad` is right on even calls for one."""

    def result(self, call, arm):
        right = arm == "p/good" or call.number % 2 == 0
        return Result("ok" if right else "wrong", float(right), 2 * CENT if arm == "p/good" else CENT)


def _call(number):
    return Call(number, number, "t", "t/t", ENVELOPE, "k")


def _served(number, arm, *, explored=False):
    call = _call(number)
    return Served(call, f"{number:032x}", arm, arm[2:], "p/good", explored, (Hop(arm, Table().result(call, arm)),))


@pytest.fixture
def scenario():
    return Scenario("made", (), (), Table(), arms=("p/good", "p/bad"), value_nanodollars=10 * CENT)


def test_quality_cost_and_net_utility_beside_every_single_model_and_random(scenario):
    found = summarise(scenario, [_served(n, "p/good" if n < 5 else "p/bad") for n in range(10)])
    assert (found["decisions"], found["models"]) == (10, {"good": 5, "bad": 5})
    assert (found["quality"], found["cost_nanodollars"], found["baseline_nanodollars"]) == (0.7, 15 * CENT, 20 * CENT)
    assert found["net_utility"] == 0.55
    assert found["singles"] == {
        "p/good": {"quality": 1.0, "cost_nanodollars": 20 * CENT, "net_utility": 0.8},
        "p/bad": {"quality": 0.5, "cost_nanodollars": 10 * CENT, "net_utility": 0.4},
    }
    assert found["random"] == {"quality": 0.75, "cost_nanodollars": 15 * CENT, "net_utility": 0.6}
    assert found["best_static"] == {"arm": "p/good", "net_utility": 0.8}
    assert found["share_of_best_static"] == 0.6875


def test_the_last_thousand_are_compared_on_their_own(scenario):
    found = summarise(scenario, [_served(n, "p/bad" if n < 1000 else "p/good") for n in range(2000)])
    assert found["last_1000"]["net_utility"] == 0.8
    assert found["last_1000"]["share_of_best_static"] == 1.0
    assert found["share_of_best_static"] < 1


def test_exploration_is_counted_in_tenths_of_the_run(scenario):
    found = summarise(scenario, [_served(n, "p/bad", explored=n < 12) for n in range(100)])
    assert found["explored_by_tenth"] == [1.0, 0.2, *[0.0] * 8]
    assert (found["explored_first_tenth"], found["explored_last_tenth"]) == (1.0, 0.0)


def test_a_failover_pays_for_every_hop_and_is_worth_its_last(scenario):
    hops = (Hop("p/bad", Result("timeout", 0.0, 0)), Hop("p/good", Result("ok", 1.0, 2 * CENT)))
    found = summarise(scenario, [Served(_call(1), "0" * 32, "p/bad", "bad", "p/good", False, hops)])
    assert (found["quality"], found["cost_nanodollars"], found["failovers"]) == (1.0, 2 * CENT, 1)


def test_a_call_that_no_model_may_serve_is_a_decision_worth_nothing(scenario):
    found = summarise(scenario, [_served(0, "p/good"), Served(_call(1), "1" * 32)])
    assert (found["decisions"], found["no_candidates"], found["quality"]) == (2, 1, 0.5)


def test_a_run_stopped_before_its_first_decision_has_a_summary(scenario):
    found = summarise(scenario, [])
    assert (found["decisions"], found["quality"], found["explored_by_tenth"]) == (0, 0.0, [0.0] * 10)
    accounts = ("receipts", "replayed_equal", "telemetry_accepted", "telemetry_applied", "telemetry_duplicates")
    whole = (
        found
        | dict.fromkeys((*accounts, "telemetry_late", "telemetry_rejected"), 0)
        | {"problems": [], "complete": False}
    )
    assert "0 decisions by model" in report(scenario, whole)
