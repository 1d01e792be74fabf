from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policy_engine.bandit import NEWCOMER_PPM, NEWCOMERS_PPM, SUPPORT_PPM, propensities
from policy_engine.beta import tail_ppm
from policy_engine.estimate import Estimate
from policy_engine.selection import Option, ranked
from policy_engine.table import Candidate
from policy_lang.catalog import Model
from policy_lang.ir import PPM, And, Explore, Floor, PickTerm, Route

VALUE = PickTerm("best_value", value_nanodollars=10_000_000)
USUAL = Explore(50_000, 300_000)


def route(*, pick=VALUE, floors=(), explore=USUAL) -> Route:
    return Route("general", And(()), ("all",), (pick,), floors=floors, explore=explore)


def option(arm: str, *, cost: int = 1_000_000, good: int = 70, bad: int = 30, state="none", confidence=PPM) -> Option:
    estimate = Estimate(good * 1_000, bad * 1_000, 0, good + bad, good * PPM // (good + bad))
    candidate = Candidate(Model(arm, "a", arm[2:], 1, 1), "all", (), False, "{}")
    return Option(arm, candidate, estimate, cost, state, confidence, good + bad)


def odds(options, found: Route) -> dict[str, int]:
    order = ranked(options, found.pick)
    pick = next((o for o in order if o.state in ("cleared", "none")), order[-1])
    return propensities(options, order, pick, found)


options_strategy = st.lists(
    st.tuples(
        st.integers(0, 10**8),
        st.integers(1, 500),
        st.integers(1, 500),
        st.sampled_from(["cleared", "unproven", "failed"]),
        st.integers(0, PPM),
    ),
    min_size=1,
    max_size=12,
)


@given(options_strategy, st.booleans(), st.integers(0, PPM), st.none() | st.integers(0, PPM))
def test_propensities_are_whole_ppm_that_sum_to_a_million_within_the_cap(rows, floored, rate, unproven):
    options = [
        option(f"a/m{place}", cost=cost, good=good, bad=bad, state=state if floored else "none", confidence=confidence)
        for place, (cost, good, bad, state, confidence) in enumerate(rows)
    ]
    floors = (Floor("success", 900_000, 900_000),) if floored else ()
    found = odds(options, route(floors=floors, explore=Explore(rate, unproven)))
    assert set(found) == {o.arm for o in options}
    assert sum(found.values()) == PPM
    assert min(found.values()) >= 0
    assert PPM - max(found.values()) <= max(rate, unproven or 0) or max(rate, unproven or 0) > PPM // 2


@given(st.permutations([option("a/x"), option("a/y", good=60, bad=40), option("a/z", cost=9_000_000)]))
def test_the_order_of_options_does_not_matter(options):
    assert odds(options, route()) == odds(sorted(options, key=lambda o: o.arm), route())


def test_without_exploration_the_pick_has_all_of_it():
    assert odds([option("a/x"), option("a/y", good=10)], route(explore=None)) == {"a/x": PPM, "a/y": 0}


def test_a_rate_of_nothing_still_looks_where_nothing_is_proven():
    """`explore at most 0%, 30% while unproven`"""
    floored = route(
        floors=(Floor("success", 900_000, 900_000),), explore=Explore(0, 300_000), pick=PickTerm("cheapest")
    )
    cheap = option("a/x", state="unproven", confidence=500_000)
    assert odds([cheap, option("a/y", cost=2_000_000, state="cleared")], floored) == {"a/x": 0, "a/y": PPM}
    assert min(odds([cheap, option("a/y", state="unproven", confidence=400_000)], floored).values()) > 0


def test_an_arm_that_cannot_gain_keeps_only_its_support():
    found = odds([option("a/x", good=900, bad=100), option("a/dear", cost=9_000_000, good=900, bad=100)], route())
    assert found["a/dear"] == SUPPORT_PPM // 2


def test_a_dearer_dominated_arm_is_never_preferred():
    for dearer in (1, 1_000, 10**7):
        cheap, dear = option("a/z"), option("a/a", cost=1_000_000 + dearer)
        for pick in (VALUE, PickTerm("cheapest"), PickTerm("best_quality")):
            found = odds([dear, cheap], route(pick=pick))
            assert found["a/z"] > found["a/a"]


def test_an_open_question_is_explored_at_the_higher_rate_and_a_settled_one_at_the_lower():
    settled = [option("a/x", good=900, bad=100), option("a/y", good=850, bad=150)]
    open_question = [option("a/x", good=7, bad=3), option("a/y", good=3, bad=1)]
    assert PPM - odds(settled, route())["a/x"] <= 50_000
    assert PPM - odds(open_question, route())["a/x"] > 200_000


def test_a_failed_arm_is_not_explored_and_a_likely_one_is():
    floors = (Floor("success", 900_000, 900_000),)
    pick = option("a/pick", cost=5_000_000, state="cleared", confidence=950_000)
    likely = option("a/likely", good=18, bad=2, state="unproven", confidence=600_000)
    failed = option("a/failed", state="failed", confidence=10_000)
    found = odds([pick, likely, failed], route(pick=PickTerm("cheapest"), floors=floors))
    assert found["a/failed"] == SUPPORT_PPM // 3
    assert found["a/likely"] == SUPPORT_PPM // 3 + 40_000 * 600_000 // PPM


@pytest.mark.parametrize(
    ("floor", "good", "bad", "chance", "tried"),
    [
        (950_000, 22, 2, 0.321, True),  # one failure in twenty, and what the prior adds: as short of it as it can be
        (800_000, 18, 6, 0.305, False),
        (800_000, 19, 5, 0.499, True),
        (600_000, 13, 11, 0.287, False),
        (600_000, 14, 10, 0.444, True),
    ],
)
def test_the_chance_that_a_trial_needs_follows_from_how_far_it_may_fall_short(floor, good, bad, chance, tried):
    arm = option("a/arm", good=good, bad=bad, state="unproven", confidence=tail_ppm(good * 1000, bad * 1000, floor))
    assert arm.confidence_ppm == pytest.approx(chance * PPM, abs=1_000)
    pick = option("a/pick", cost=5_000_000, state="cleared")
    found = odds([pick, arm], route(pick=PickTerm("cheapest"), floors=(Floor("success", floor, 900_000),)))
    assert (found["a/arm"] > SUPPORT_PPM // 2) is tried


def test_a_small_gain_is_looked_for_in_proportion():
    pick = option("a/pick", good=900, bad=100)
    shares = [odds([pick, option("a/arm", good=good, bad=100 - good)], route())["a/arm"] for good in (80, 85, 87, 89)]
    assert shares[0] == SUPPORT_PPM // 2
    assert SUPPORT_PPM // 2 < shares[1] < shares[2] < shares[3] == 50_000 - SUPPORT_PPM // 2


def test_many_newcomers_share_what_nine_are_given():
    arms = [option("a/pick", good=7, bad=2), *(option(f"a/m{place}", good=0, bad=1) for place in range(48))]
    for arm in arms[1:]:
        arm.outcomes, arm.state, arm.confidence_ppm = 1, "unproven", 0
    arms[0].state = "unproven"
    floors = (Floor("success", 100_000, 900_000),)
    found = odds(arms, route(floors=floors, explore=USUAL))
    assert min(found.values()) >= SUPPORT_PPM // 49 + NEWCOMERS_PPM // 48


def test_a_newcomer_is_tried_however_dear_until_it_has_ten_outcomes():
    pick = option("a/pick", good=900, bad=100)
    for outcomes, share in ((0, SUPPORT_PPM // 2 + NEWCOMER_PPM), (10, SUPPORT_PPM // 2)):
        dear = option("a/dear", cost=10**9)
        dear.outcomes = outcomes
        assert odds([pick, dear], route())["a/dear"] == share


def test_under_pick_fastest_an_arm_of_unknown_speed_is_tried():
    known = Option("a/x", option("a/x").candidate, Estimate(1, 1, 1, 1, 1, latency_p95_ms=500), 1, "none", PPM, 5)
    found = odds([known, option("a/new")], route(pick=PickTerm("fastest", metric="latency_p95")))
    assert found["a/new"] > SUPPORT_PPM
