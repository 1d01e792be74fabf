"""Budgets, exploration and floors: which finding which policy gives."""

import gc
import weakref
from dataclasses import replace

import pytest

from policy_engine import estimate, shrinkage, statistics
from policy_engine import floors as engine_floors
from policy_engine.floors import floor_state
from policy_engine.snapshot import build_snapshot
from policy_engine.statistics import CellRow, decay_weight, epoch_of
from policy_lang.analysis import floors, may, space
from policy_lang.analysis.analyse import analyse
from policy_lang.analysis.space import Call
from policy_lang.analysis.traffic import Traffic
from policy_lang.envelope import Envelope
from policy_lang.ir import And, Budget, Compare, CompareFields, Explore, Floor, Gate, PickTerm, Policy, Route, Tier

DAY, MONTH = "day", "month"
PROVEN = Floor("success", 950_000, 900_000)


def policy(budgets=(), gates=(), audit="off", **route):
    default = Route("general", And(()), ("all",), (PickTerm("cheapest"),), **route)
    tiers = (Tier("all", ("p/a", "p/b")), Tier("dear", ("q/c",)))
    return Policy("t/p", ("chat", "other"), tiers, gates, (), default, ("q/d",), budgets=budgets, audit=audit)


def money(scope, dollars, period, name=None, **rest):
    return Budget(scope, dollars * 10**9, "nanodollars", period, name, **rest)


CASES = [
    ((money("tenant", 1, DAY), money("tenant", 400, MONTH)), {}, {"P552"}),
    ((money("tenant", 1, DAY), money("tenant", 31, MONTH)), {}, set()),
    ((money("tenant", 900, DAY), money("tenant", 400, MONTH)), {}, {"P552"}),
    ((money("tenant", 900, DAY), money("tenant", 400, MONTH, at_limit="warn")), {}, set()),
    ((money("tenant", 100, MONTH), money("org", 101, MONTH, "labs")), {}, {"P553"}),
    ((money("tenant", 100, MONTH), money("org", 100, MONTH, "labs")), {}, set()),
    ((money("tenant", 1, DAY), money("team", 32, MONTH, "a")), {}, {"P553"}),
    ((Budget("tenant", 5, "tokens", DAY), money("team", 32, MONTH, "a")), {}, set()),
    ((money("tenant", 1, DAY),), {"explore": Explore(50_000, None, 2 * 10**9)}, {"P554"}),
    ((money("tenant", 30, MONTH),), {"explore": Explore(50_000, None, 2 * 10**9)}, {"P554"}),
    ((money("tenant", 56, MONTH),), {"explore": Explore(50_000, None, 2 * 10**9)}, set()),
    ((), {"explore": Explore(50_000, None, 0)}, {"P555"}),
    ((), {"explore": Explore(50_000), "audit": "on"}, {"P555"}),
    ((), {"explore": Explore(50_000, 10_000), "floors": (PROVEN,)}, {"P556"}),
    ((), {"floors": (PROVEN,)}, {"P561"}),
    ((), {"floors": (Floor("success", 950_000),)}, set()),
]


@pytest.mark.parametrize(("budgets", "rest", "codes"), CASES)
def test_limits_that_contradict_each_other_are_found(budgets, rest, codes, small_catalog):
    found = analyse(policy(budgets, **rest), small_catalog).findings
    assert {finding.code for finding in found if finding.code >= "P55"} == codes


def test_a_budget_that_degrades_to_nobody_names_the_calls(small_catalog):
    budgets = (money("org", 400, MONTH, "labs", warn_ppm=800_000, degrade="dear"),)
    gate = Gate("chat is cheap", "forbid", And((Compare("task", "eq", "chat"), Compare("model.provider", "eq", "q"))))
    (found,) = [f for f in analyse(policy(budgets, (gate,)), small_catalog).findings if f.code == "P557"]
    assert found.rule == "budget:org:labs"
    assert found.witness.given == {"task": "chat", "org": "labs"}
    assert found.witness.call.org == "labs"


CHAT, LABEL = (Envelope(task, "prose", "short", "0", False, "tiny") for task in ("chat", "other"))


@pytest.mark.parametrize(
    ("floor", "daily", "explore", "codes"),
    [
        (Floor("success", 999_000, 999_000), 1, 50_000, {"P562"}),
        (Floor("success", 1_000_000, 900_000), 10**6, 50_000, {"P562"}),
        (PROVEN, 500, 200_000, set()),
        (PROVEN, 50, 10_000, {"P563"}),
        (PROVEN, 1, 10_000, {"P562"}),
    ],
)
def test_floors_beyond_the_traffic_are_found(floor, daily, explore, codes, small_catalog):
    given = policy(floors=(floor,), explore=Explore(explore))
    traffic = Traffic(((Call(CHAT), 3), (Call(LABEL), 1)), daily)
    assert {f.code for f in analyse(given, small_catalog, traffic).findings if f.code >= "P55"} == codes


@pytest.mark.parametrize(
    ("at_least", "proven", "needed"), [(0.95, 0.9, 43), (0.9, 0.9, 20), (0.5, 0.6, 8), (1.0, 0.9, None), (0.0, 0.9, 0)]
)
def test_outcomes_needed_without_a_failure(at_least, proven, needed):
    assert floors.outcomes_needed(Floor("success", int(at_least * 1e6), int(proven * 1e6))) == needed


@pytest.mark.parametrize("own", [0, 5, 40, 400])
@pytest.mark.parametrize("siblings", [0, 20, 300])
@pytest.mark.parametrize("others", [0, 25, 500])
def test_no_history_beats_the_bound(own, siblings, others):
    now = 1_790_000_000_000

    def row(cluster, task, count):
        sums = {"n": count * decay_weight(now), "s": count * decay_weight(now), "c": count}
        return CellRow(cluster, task, "p/a", 0, epoch_of(now), sums)

    rows = [row("x", "chat", own), row("y", "chat", siblings), row("z", "plan", others)]
    estimate = build_snapshot([row for row in rows if row.sums["c"]], now).estimate("x", "chat", "p/a")
    for at_least in (800_000, 950_000, 999_000):
        floor = Floor("success", at_least, 900_000)
        state, confidence = floor_state((floor,), estimate)
        bound = floors.best_confidence(floor, own, siblings, others)
        assert confidence <= bound * 1e6 + 1 or state == "unproven"
        assert (state == "cleared") <= (bound >= 0.9)


def test_a_steady_stream_is_never_worth_more_than_the_bound():
    week = statistics.HALF_LIFE_MS
    times = [week * 60 - n * 86_400_000 // 24 for n in range(24 * 7 * 12)]
    worth = sum(2 ** (-(times[0] - at) // (week // 16) / 16) for at in times)
    assert worth <= floors.lasting_outcomes(24)
    assert worth >= 0.95 * floors.lasting_outcomes(24)


def test_the_constants_are_those_of_the_engine():
    assert floors.TASK_WEIGHT * 1000 == shrinkage.TASK_WEIGHT_MILLI
    assert floors.TENANT_WEIGHT * 1000 == shrinkage.TENANT_WEIGHT_MILLI
    assert floors.PRIOR_WEIGHT * 1000 == shrinkage.PRIOR_WEIGHT_MILLI
    assert floors.PRIOR_MEAN * 1e6 == estimate.PRIOR_MEAN_PPM
    assert floors.MIN_EVIDENCE * 1000 == engine_floors.MIN_EVIDENCE_MILLI


@pytest.mark.parametrize("seed", range(24))
def test_arm_by_arm_the_verdicts_are_those_of_the_whole_space(seed, random_policy, small_catalog, monkeypatch):
    given = random_policy(seed)
    whole = analyse(given, small_catalog)
    monkeypatch.setattr("policy_lang.analysis.may.served_whole", lambda *_: None)
    monkeypatch.setattr("policy_lang.analysis.analyse.served_whole", lambda *_: None)
    parts = analyse(given, small_catalog)
    for one, other in zip(whole.proofs, parts.proofs, strict=True):
        assert other.verdict == ("not proved" if one.assertion.quantifier == "some" else one.verdict)
    arm_wise = ("P521", "P522", "P533")
    assert [f for f in whole.findings if f.code in arm_wise] == [f for f in parts.findings if f.code in arm_wise]
    assert "P571" in {finding.code for finding in parts.findings}


def test_beyond_the_work_budget_nothing_is_claimed(random_policy, small_catalog, monkeypatch):
    monkeypatch.setattr(space, "MAX_CELLS", 0)
    found = analyse(random_policy(3), small_catalog)
    assert {proof.verdict for proof in found.proofs} == {"not proved"}
    assert not found.holds
    assert (found.shapes, found.costs, found.gaps) == (None, (), ())
    assert {finding.code for finding in found.findings} <= {"P510", "P542", "P571"}
    assert may.serve(may.World(random_policy(3), small_catalog, {})) == []


def test_what_a_proof_read_goes_with_it(small_catalog):
    """Sets of megabytes: the collector is not told of them, and one proof after another would keep all of theirs."""
    fits = CompareFields("model.context", "lt", 1_000_000, "tokens.upper")
    world = may.World(policy(gates=(Gate("fits", "forbid", fits),)), small_catalog, {})
    gc.disable()
    try:
        (part,) = may.serve(world)
        gone = weakref.ref(part.reading)
        barred = part.space.all ^ part.may("p/a")
        del part
        assert barred
        assert gone() is None
    finally:
        gc.enable()


def test_an_unreachable_route_and_its_shadows_are_named(small_catalog):
    when = Compare("task", "eq", "chat")
    routes = tuple(Route(name, when, ("all",), (PickTerm("cheapest"),)) for name in ("first", "second"))
    (found,) = [f for f in analyse(replace(policy(), routes=routes), small_catalog).findings if f.code == "P512"]
    assert (found.rule, "`first`" in found.help) == ("route:second", True)
