"""The exact diff against comparing two policies call by call."""

import random
from dataclasses import replace
from fractions import Fraction

import pytest

from policy_lang.analysis.analyse import analyse
from policy_lang.analysis.diff import diff
from policy_lang.analysis.may import World, served_whole
from policy_lang.envelope import Envelope, cluster_id
from policy_lang.ir import And, Canary, Compare, Explore, Gate, PickTerm, Policy, Route, Tier

SEEDS = range(12)


def mutated(policy, chance):
    """A policy with a few of its parts exchanged."""
    gates = chance.sample(policy.gates, chance.randint(0, len(policy.gates)))
    routes = [
        replace(route, explore=Explore(50_000)) if chance.random() < 0.3 else replace(route, use=route.use[::-1])
        for route in chance.sample(policy.routes, len(policy.routes))
    ]
    return replace(policy, gates=tuple(sorted(gates, key=lambda gate: gate.reason)), routes=tuple(routes))


@pytest.mark.parametrize("seed", SEEDS)
def test_the_shares_are_those_of_comparing_every_call(seed, brute, small_catalog):
    old = brute(seed)
    new = replace_brute(old, mutated(old.policy, random.Random(seed)))
    found = diff(old.policy, new.policy, small_catalog)
    total = old.weights.total()
    seen = {
        "may": lambda call: old.may(call) != new.may(call),
        "tier": lambda call: first_tier(old, call) != first_tier(new, call),
        "order": lambda call: order(old, call, new) != order(new, call, old),
        "parameters": lambda call: settings(old, call) != settings(new, call),
    }
    for change in found.changes:
        differs = seen[change.aspect]
        assert change.share == Fraction(sum(n for call, n in old.weights.items() if differs(call)), total), (
            change.aspect
        )
        assert change.witness is None or differs(change.witness.call)


def replace_brute(old, policy):
    """The truth about another policy over the same calls."""
    new = type(old)(policy, old.theme)
    new.__dict__["weights"] = old.weights
    return new


def pool(truth, call):
    return truth.in_tiers(call, truth.route(call), truth.route(call).use)


def first_tier(truth, call):
    route = truth.route(call)
    return next((name for name in route.use if truth.in_tiers(call, route, [name])), None)


def order(truth, call, other):
    common = pool(truth, call) & pool(other, call)
    route = truth.route(call)
    sequence = [arm for name in route.use for arm in truth.tiers[name] if arm in common]
    return (route.pick, list(dict.fromkeys(sequence))) if len(common) > 1 else None


def settings(truth, call):
    names = set(Route.__slots__) - {"name", "when", "use", "pick", "where"}
    return {name: getattr(truth.route(call), name) for name in names}


def test_a_policy_does_not_differ_from_itself(brute, small_catalog):
    for seed in SEEDS:
        found = diff(brute(seed).policy, brute(seed).policy, small_catalog)
        assert (found.verdict, found.share) == ("equal", 0)


@pytest.mark.parametrize("seed", range(24))
def test_permuting_or_repeating_gates_changes_nothing(seed, random_policy, small_catalog):
    policy = random_policy(seed)
    gates = list(policy.gates)
    random.Random(seed).shuffle(gates)
    again = [replace(gate, reason=f"{gate.reason} again") for gate in gates]
    for other in (replace(policy, gates=tuple(gates)), replace(policy, gates=(*gates, *again))):
        assert diff(policy, other, small_catalog).verdict == "equal"
    before, after = analyse(policy, small_catalog), analyse(replace(policy, gates=tuple(gates)), small_catalog)
    assert [proof.verdict for proof in before.proofs] == [proof.verdict for proof in after.proofs]
    assert before.costs == after.costs
    assert before.gaps == after.gaps


@pytest.mark.parametrize("seed", range(24))
def test_another_forbid_never_adds_a_model(seed, random_policy, small_catalog):
    policy, other = random_policy(seed), random_policy(seed + 100)
    more = replace(policy, gates=(*policy.gates, *(replace(gate, reason=f"h {gate.reason}") for gate in other.gates)))
    assert not diff(policy, more, small_catalog).gains


def simple(gates=(), name="t/p"):
    route = Route("general", And(()), ("all",), (PickTerm("cheapest"),))
    tiers = (Tier("all", ("p/a", "p/b")),)
    return Policy(name, ("chat", "other", "plan"), tiers, gates, (), route, ("q/c",))


def test_a_histogram_weighs_the_change_by_traffic(small_catalog):
    new = simple((Gate("chat", "forbid", Compare("task", "eq", "chat")),))
    chat, plan = (Envelope(task, "prose", "short", "0", False, "tiny") for task in ("chat", "plan"))
    found = diff(simple(), new, small_catalog, {chat: 30, cluster_id(plan): 60})
    assert (found.share, found.traffic) == (Fraction(1, 3), Fraction(1, 3))
    assert diff(simple(), new, small_catalog, {chat: 3, plan: 1}).traffic == Fraction(3, 4)
    assert found.losses == {"p/a": Fraction(1, 3), "p/b": Fraction(1, 3), "q/c": Fraction(1, 3)}
    with pytest.raises(ValueError, match="is not the id of an envelope"):
        diff(simple(), new, small_catalog, {"0" * 20: 1})


def test_a_task_the_new_policy_declares_was_other_before(small_catalog):
    gate = Gate("other", "forbid", Compare("task", "eq", "other"))
    old = replace(simple((gate,)), tasks=("chat", "other"))
    found = diff(old, replace(old, tasks=("chat", "other", "plan")), small_catalog)
    assert {change.aspect: change.share for change in found.changes}["may"] == Fraction(1, 3)
    assert found.changes[0].witness.call.envelope.task_type == "plan"


def test_what_a_canary_may_choose_counts_as_what_may_serve(small_catalog):
    hidden = replace(simple(), canaries=(Canary("t/next", 50_000, "call", 30_000),))
    assert set(diff(simple(), hidden, small_catalog).gains) == {"q/d"}
    served = served_whole(World(hidden, small_catalog, {"t/next": simple()}))
    assert served.arms == {"p/a", "p/b", "q/c"}
