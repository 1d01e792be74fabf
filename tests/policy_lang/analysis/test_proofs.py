"""Every proof against plain enumeration of every call there is."""

from collections import Counter
from fractions import Fraction

import pytest

from policy_lang.analysis.analyse import analyse
from policy_lang.analysis.may import World, served_whole
from policy_lang.analysis.space import bits
from policy_lang.analysis.testcoverage import coverage
from policy_lang.gates import mentioned_fields

SEEDS = range(24)


@pytest.fixture(params=SEEDS)
def truth(request, brute):
    return brute(request.param)


@pytest.fixture
def served(truth, small_catalog):
    claims = [e for a in truth.policy.assertions for e in (a.given, a.claim)]
    return served_whole(World(truth.policy, small_catalog, {}), claims)


@pytest.fixture
def analysis(truth, small_catalog):
    return analyse(truth.policy, small_catalog)


def share(served, cells):
    return Fraction(served.space.count(cells), served.space.total)


def fraction(truth, holds):
    return Fraction(sum(n for call, n in truth.weights.items() if holds(call)), truth.weights.total())


def test_who_may_serve_agrees_call_by_call(truth, served):
    for call in truth.calls:
        cell = served.space.cell_of(call.facts())
        assert {arm for arm in served.arms if served.may(arm) & cell} == truth.may(call)
        assert {arm for arm in served.arms if served.survives(arm) & cell} == truth.survivors(call)


def test_cells_are_counted_exactly(truth, served):
    for arm in sorted(served.arms):
        assert share(served, served.may(arm)) == fraction(truth, lambda call, arm=arm: arm in truth.may(call))


def test_unreachable_routes_are_those_no_call_takes(truth, analysis):
    taken = {truth.route(call).name for call in truth.calls}
    found = {f.rule for f in analysis.findings if f.code in ("P511", "P512")}
    assert found == {f"route:{route.name}" for route in truth.policy.routes} - {f"route:{name}" for name in taken}


def test_idle_gates_are_those_whose_absence_changes_nothing(truth, analysis):
    fires, alone = set(), set()
    for call in truth.calls:
        for arm in truth.candidates(call, truth.route(call)):
            barring = truth.barring(call, arm)
            fires |= barring
            alone |= barring if len(barring) == 1 else set()
    gates = {gate.reason for gate in truth.policy.gates}
    assert {f.rule for f in analysis.findings if f.code == "P521"} == gates - fires
    redundant = {f.rule for f in analysis.findings if f.code == "P522"}
    assert redundant <= fires - alone
    assert redundant or not fires - alone


def test_gaps_are_the_calls_whose_tiers_are_empty(truth, analysis):
    found = Counter()
    for call in truth.calls:
        route = truth.route(call)
        if not truth.in_tiers(call, route, [*route.use, *(route.cascade.tiers if route.cascade else ())]):
            nets = truth.survivors(call)
            until = route.until_proven in nets
            found[route.name, "until proven" if until else "fallback" if nets else "nothing"] += truth.weights[call]
    gaps = {(gap.route, gap.left): gap for gap in analysis.gaps}
    assert set(gaps) == set(found)
    for (route, left), gap in gaps.items():
        assert truth.route(gap.witness.call).name == route
        assert bool(truth.survivors(gap.witness.call)) == (left != "nothing")


def test_models_that_never_serve_are_those_no_call_could_get(truth, analysis):
    policy = truth.policy
    named = {arm for tier in policy.tiers for arm in tier.arms} | {*policy.fallback}
    named |= {route.until_proven for route in truth.routes if route.until_proven}
    ever = set().union(*map(truth.may, truth.calls))
    assert {f.rule.removeprefix("model:") for f in analysis.findings if f.code == "P533"} == named - ever


def test_asserts_are_proved_exactly_if_no_call_speaks_against_them(truth, analysis):
    for proof in analysis.proofs:
        verdicts = [against(truth, proof.assertion, call) for call in truth.calls]
        assert proof.verdict == ("refuted" if any(verdicts) else "proved")
        if proof.witness:
            assert against(truth, proof.assertion, proof.witness.call)
            assert proof.witness.arm is None or proof.witness.arm in truth.may(proof.witness.call)


def against(truth, assertion, call):
    """Whether a call refutes an assert, straight from the words of `assertions.py`."""

    def given(arm):
        verdict = truth.holds(assertion.given, call, arm)
        facts = call.facts()
        stated = all(facts.get(n) is not None for n in mentioned_fields(assertion.given) if not n.startswith("model."))
        return verdict is True or (verdict is None and stated)

    if assertion.quantifier == "some":
        concerned = {arm for arm in truth.survivors(call) if given(arm)}
        needed = truth.holds(assertion.given, call) is True or (
            any(name.startswith("model.") for name in mentioned_fields(assertion.given)) and bool(concerned)
        )
        if any(name.startswith("model.") for name in mentioned_fields(assertion.given)):
            needed = bool(concerned)
        return needed and not any(truth.holds(assertion.claim, call, arm) is True for arm in concerned)
    wanted = assertion.quantifier == "always"
    return any(given(arm) and truth.holds(assertion.claim, call, arm) is not wanted for arm in truth.may(call))


def test_a_box_describes_only_calls_of_its_set(truth, served):
    for arm in served.arms:
        for cells in (served.may(arm), served.space.all & ~served.may(arm)):
            if cells:
                box = served.space.box(cells)
                inside = served.space.all
                for name, value in box.items():
                    classes = served.space.dimension(name).classes
                    inside &= served.space.mask(name, (next(i for i, c in enumerate(classes) if value in c),))
                assert inside
                assert not inside & ~cells


def test_each_cell_holds_the_call_it_is_named_by(served):
    for cell in list(bits(served.space.all))[:: max(1, served.space.size // 300)]:
        assert served.space.cell_of(served.space.call(1 << cell).facts()) == 1 << cell


def test_coverage_sees_every_outcome_and_its_witness_adds_the_missing_one(truth, small_catalog):
    calls = truth.calls[:3]
    before = coverage(truth.policy, small_catalog, calls)
    witnesses = [rule.missing.call for rule in before.rules if rule.missing]
    for _ in range(2):
        after = coverage(truth.policy, small_catalog, [*calls, *witnesses])
        witnesses += [rule.missing.call for rule in after.rules if rule.missing]
    assert after.share == 1
    for rule in before.rules[: len(truth.policy.gates)]:
        seen = {
            any(rule.rule in truth.barring(call, arm) for arm in truth.candidates(call, truth.route(call)))
            for call in calls
        }
        assert (rule.fired == "yes", rule.spared == "yes") == (True in seen, False in seen)
