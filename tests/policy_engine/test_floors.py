from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policy_engine.beta import tail_ppm
from policy_engine.estimate import PRIOR, Belief, Estimate, Evidence, estimated, updated
from policy_engine.floors import expected_shortfall, floor_state
from policy_lang.ir import PPM, Floor

STEERING = (Floor("success", 900_000),)
PROVEN = (Floor("success", 900_000, 900_000),)


def estimate(good: int, bad: int, quality_ppm: int | None = None) -> Estimate:
    mean = good * PPM // max(1, good + bad)
    return Estimate(good * 1_000, bad * 1_000, 0, 0, mean if quality_ppm is None else quality_ppm)


@pytest.mark.parametrize(
    ("floors", "good", "bad", "state"),
    [
        ((), 1, 9, "none"),
        (STEERING, 3, 1, "unproven"),  # the prior alone proves nothing
        (STEERING, 46, 4, "unproven"),  # 0.7 points short in expectation
        (STEERING, 47, 3, "cleared"),
        (STEERING, 902, 98, "cleared"),  # many outcomes leave little doubt, and little shortfall
        (PROVEN, 46, 4, "unproven"),  # even odds are no proof
        (PROVEN, 196, 4, "cleared"),
        (PROVEN, 20, 20, "failed"),
        (STEERING, 20, 20, "failed"),
        ((*PROVEN, Floor("quality", 999_000)), 196, 4, "failed"),  # the worst of several
    ],
)
def test_a_floor_has_three_states_by_evidence(floors, good, bad, state):
    assert floor_state(floors, estimate(good, bad))[0] == state


@given(st.integers(1, 400), st.integers(1, 60), st.integers(1, 60), st.sampled_from([STEERING, PROVEN]))
def test_more_failures_never_raise_a_floor(good, bad, more, floors):
    order = ["failed", "unproven", "cleared"]
    before, confidence = floor_state(floors, estimate(good, bad))
    after, lower = floor_state(floors, estimate(good, bad + more))
    assert lower <= confidence + 1
    # Evidence may turn a doubt into a verdict, but never failures into a clearance.
    assert order.index(after) <= max(order.index(before), order.index("unproven"))


@pytest.mark.parametrize(("good", "bad"), [(3, 1), (12, 12), (46, 4), (380, 20), (500, 2_000), (9_000, 1_000)])
@pytest.mark.parametrize("at_least", [0.05, 0.6, 0.9, 0.95])
def test_the_expected_shortfall_is_the_integral_of_the_posterior_below_the_floor(good, bad, at_least):
    steps = 2_000
    # E[max(0, x - X)] is the integral of P(X < t) over t up to x (by parts).
    below = [
        1 - tail_ppm(good * 1_000, bad * 1_000, round((n + 0.5) / steps * at_least * PPM)) / PPM for n in range(steps)
    ]
    wanted = sum(below) / steps * at_least
    found = expected_shortfall((Floor("success", round(at_least * PPM)),), estimate(good, bad))
    assert found == pytest.approx(wanted * PPM, abs=6)


@given(st.integers(1, 400), st.integers(1, 60), st.integers(1, 60))
def test_more_failures_never_lessen_the_expected_shortfall(good, bad, more):
    more_of_them = expected_shortfall(STEERING, estimate(good, bad + more))
    assert more_of_them >= expected_shortfall(STEERING, estimate(good, bad)) - 2
    both = (*STEERING, Floor("quality", 500_000))
    assert expected_shortfall(both, estimate(good, bad)) >= expected_shortfall(STEERING, estimate(good, bad))


RATED = (Floor("quality", 850_000, 900_000),)


@pytest.mark.parametrize(
    ("ratings", "state"),
    [
        ((), "cleared"),  # where nobody rates, success stands for quality
        ((PPM,), "cleared"),  # one rating does not outweigh three hundred outcomes
        ((PPM, 0), "unproven"),
        ((0,) * 12, "failed"),  # nor three hundred outcomes a dozen ratings
        ((600_000,) * 300, "failed"),
        ((PPM,) * 300, "cleared"),
    ],
)
def test_a_floor_on_quality_rests_on_ratings_where_there_are_any(ratings, state):
    known = Evidence(303_000, 300_000, len(ratings) * 1_000, sum(ratings) * 1_000)
    stranger = Belief(PRIOR.success_ppm, PRIOR.quality_ppm, PRIOR.strength_milli)
    belief = updated(known, stranger, PRIOR.strength_milli)
    assert floor_state(RATED, estimated(belief, known, {}))[0] == state
    assert belief.quality_milli is None or belief.quality_milli <= belief.weight_milli


@given(st.integers(0, 40), st.integers(0, 40), st.integers(0, PPM))
def test_a_better_rating_never_lowers_the_mean_of_quality(outcomes, ratings, rating):
    ratings = min(ratings, outcomes)
    stranger = Belief(PRIOR.success_ppm, PRIOR.quality_ppm, PRIOR.strength_milli)

    def mean(each):
        return updated(
            Evidence(outcomes * 1_000, outcomes * 500, ratings * 1_000, ratings * each * 1_000), stranger, 4_000
        )

    assert mean(rating).quality_ppm <= mean(min(PPM, rating + 1_000)).quality_ppm
