"""Advice from logs: the mix, the prices, and when routing is not worth it."""

import pytest

from policy_lang.analysis.advise import LogRow, advise
from policy_lang.ir import And, Compare, PickTerm, Policy, Route, Tier

CHAT = LogRow("chat", 1_000, 500)
PLAN = LogRow("plan", 20_000, 2_000)


def policy(baseline=None):
    plan = Route("hard", Compare("task", "eq", "plan"), ("dear",), (PickTerm("cheapest"),))
    default = Route("general", And(()), ("small",), (PickTerm("cheapest"),))
    tiers = (Tier("dear", ("q/c",)), Tier("small", ("p/a", "p/b")))
    return Policy("t/p", ("chat", "other", "plan"), tiers, (), (plan,), default, ("p/a",), baseline)


def test_calls_are_priced_on_every_tier_and_as_routed(small_catalog):
    advice = advise([CHAT, PLAN], policy(), small_catalog)
    chat, plan = {"p/a": 300_000, "q/c": 10_500_000}, {"p/a": 2_800_000, "q/c": 90_000_000}
    tiers = {tier.tier: (tier.cheapest, tier.cheapest_nanodollars) for tier in advice.tiers}
    assert tiers == {"dear": ("q/c", chat["q/c"] + plan["q/c"]), "small": ("p/a", chat["p/a"] + plan["p/a"])}
    assert (advice.baseline, advice.baseline_nanodollars) == ("q/c", chat["q/c"] + plan["q/c"])
    assert advice.routed_nanodollars == chat["p/a"] + plan["q/c"]
    assert [(share.task, share.calls) for share in advice.mix] == [("chat", 1), ("plan", 1)]


@pytest.mark.parametrize(
    ("rows", "reasons"),
    [
        ([CHAT, PLAN] * 20_000, ()),
        ([CHAT] * 30, ("too_few_calls", "one_task", "one_capability", "little_spend")),
        ([CHAT] * 30_000, ("one_task", "one_capability")),
        ([PLAN] * 30_000, ("one_task", "one_capability", "little_spend", "little_saving")),
        ([CHAT, LogRow("poem", 1_000, 500)] * 15_000, ("one_capability",)),
        ([CHAT, PLAN] * 100, ("little_spend",)),
    ],
)
def test_the_reasons_against_routing(rows, reasons, small_catalog):
    advice = advise(rows, policy(), small_catalog)
    assert advice.reasons == reasons
    assert advice.worth_it == (not reasons)


def test_what_was_spent_is_known_only_if_each_call_says_so(small_catalog):
    priced = [LogRow("chat", 1_000, 500, "q/c"), LogRow("chat", 1, 1, cost_nanodollars=7)]
    assert advise(priced, policy(), small_catalog).spent_nanodollars == 10_500_007
    assert advise([*priced, CHAT], policy(), small_catalog).spent_nanodollars is None


def test_a_longer_log_is_a_smaller_saving_a_month(small_catalog):
    rows = [CHAT, PLAN] * 20_000
    assert advise(rows, policy(), small_catalog, days=90).reasons == ("little_spend",)
    assert advise(rows, policy("p/a"), small_catalog).saving_ppm < 0


def test_an_empty_log_is_an_error(small_catalog):
    with pytest.raises(ValueError, match="holds no calls"):
        advise([], policy(), small_catalog)
