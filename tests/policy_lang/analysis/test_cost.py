"""Costs against looking at every call, and by hand."""

from fractions import Fraction
from heapq import nlargest

import pytest

from policy_engine.costs import expected_usage
from policy_engine.outlook import MAX_STEPS
from policy_engine.snapshot import PRIOR
from policy_lang.analysis.analyse import analyse
from policy_lang.analysis.cost import MOST_STEPS, cost_bound, static_pick
from policy_lang.analysis.traffic import Traffic
from policy_lang.envelope import typical_tokens
from policy_lang.ir import And, Parameter, PickTerm, Route
from policy_lang.vocabulary import OUTCOMES


@pytest.mark.parametrize("seed", range(0, 24, 2))
def test_bounds_are_the_greatest_over_every_call(seed, brute, small_catalog):
    truth = brute(seed)
    once, worst = {}, {}
    for call in truth.calls:
        route = truth.route(call)
        for size in ("tiny", "small", "medium", "large", "huge"):
            for context in ("short", "medium", "long", "extended"):
                # Calls are told once per value that the policy mentions; what it does not mention may be any value.
                if not possible(truth, call, context, size):
                    continue
                first, whole = bills(truth, call, route, context, size, small_catalog)
                once[route.name] = max(once.get(route.name, 0), first)
                worst[route.name] = max(worst.get(route.name, 0), whole)
    found = analyse(truth.policy, small_catalog).costs
    assert {cost.route: cost.once_nanodollars for cost in found} == once
    assert {cost.route: cost.worst_nanodollars for cost in found} == worst
    assert sum(cost.share for cost in found) == 1


def possible(truth, call, context, size):
    fields = {name for fields in truth.memo.values() if isinstance(fields, tuple) for name in fields[0]}
    envelope = call.envelope
    fixed = {
        "context": any(name.startswith("context") for name in fields),
        "tokens": any(name.startswith("tokens") for name in fields),
    }
    return (not fixed["context"] or envelope.context_length == context) and (
        not fixed["tokens"] or envelope.estimated_tokens == size
    )


def bills(truth, call, route, context, size, catalog):
    cost = {arm: cost_bound(catalog.models[arm], context, size, route) for arm in truth.may(call)}
    levels, taken = [], set()
    for name in route.cascade.tiers if route.cascade else ():
        arms = truth.in_tiers(call, route, [name])
        if arms:
            dearest = max(arms, key=lambda arm: (cost[arm], arm))
            levels.append(cost[dearest])
            taken.add(dearest)
    billed = {name for name, fault in OUTCOMES.items() if fault == "model"} | {"timeout"}
    attempts = 1 + sum(rule.retries for rule in route.failures if rule.outcome in billed)
    others = nlargest(max(0, 5 - len(levels)), [cost[arm] for arm in cost if arm not in taken])
    return max(sum(levels), *cost.values(), 0, 0), attempts * (sum(levels) + sum(others))


def plain(*parameters):
    return Route("general", And(()), ("all",), (PickTerm("cheapest"),), parameters=parameters)


@pytest.mark.parametrize(
    ("parameters", "context", "tokens", "nanodollars"),
    [
        # p/a: $0.1 in, $0.4 out per million tokens, at most 4,000 out.
        ((), "short", "tiny", -(-499 * 400_000 // 1000)),
        ((), "extended", "large", (27_999 * 100_000 + 4_000 * 400_000) // 1000),
        ((), "short", "large", (1_999 * 100_000 + 4_000 * 400_000) // 1000),
        ((Parameter("max_tokens", "at_most", 10**6),), "short", "large", (1_999 * 100_000 + 1_000 * 400_000) // 1000),
        ((Parameter("max_tokens", "at_least", 3_000_000),), "short", "tiny", (499 * 100_000 + 3_000 * 400_000) // 1000),
        ((Parameter("max_tokens", "set", 9_000_000),), "short", "tiny", (499 * 100_000 + 4_000 * 400_000) // 1000),
    ],
)  # fmt: skip
def test_a_bound_is_the_dearest_split_of_the_buckets(parameters, context, tokens, nanodollars, small_catalog):
    assert cost_bound(small_catalog.models["p/a"], context, tokens, plain(*parameters)) == nanodollars


def test_a_prompt_may_be_billed_as_a_cache_write(small_catalog):
    route = plain(Parameter("max_tokens", "at_most", 0))
    assert cost_bound(small_catalog.models["q/c"], "short", "large", route) == 1_999 * 3_750_000 // 1000


def test_the_length_of_a_plan_and_the_size_of_a_call_without_tools_are_those_of_the_engine(brute):
    assert MOST_STEPS == MAX_STEPS
    for call in brute(0).calls:
        if call.envelope.tools_used == "0":
            usage = expected_usage(call.envelope, PRIOR)
            assert typical_tokens(call.envelope) == (usage.prompt, usage.output)


def test_traffic_weighs_the_typical_cost(brute, small_catalog):
    truth = brute(1)
    call = truth.calls[0]
    found = analyse(truth.policy, small_catalog, Traffic(((call, 7),))).costs
    assert {cost.route: cost.share for cost in found if cost.share} == {truth.route(call).name: Fraction(1)}


@pytest.mark.parametrize(
    ("terms", "arm"),
    [
        ((PickTerm("cheapest"),), "p/a"),
        ((PickTerm("prefer", arms=("q/d", "p/a")),), "q/d"),
        ((PickTerm("cheapest", 1_000_000), PickTerm("prefer", arms=("p/b",))), "p/a"),
        ((PickTerm("cheapest", 1_000_000), PickTerm("cheapest", 0)), "p/a"),
        ((PickTerm("fastest", metric="ttft_p95"), PickTerm("prefer", arms=("p/b",))), "p/b"),
        ((PickTerm("best_value", value_nanodollars=10**12), PickTerm("prefer", arms=("p/b",))), "p/b"),
    ],
)
def test_the_static_pick_follows_the_terms_with_nothing_learned(terms, arm, small_catalog, brute):
    envelope = brute(0).calls[0].envelope
    assert static_pick(small_catalog.models.values(), terms, envelope)[0].arm == arm
