from __future__ import annotations

from math import exp, log, log1p

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policy_engine.beta import logistic_ppm, natural_log, softplus, tail_ppm
from policy_lang.ir import PPM


@pytest.mark.parametrize(
    ("alpha", "beta", "at_least", "expected"),
    [
        (1_000, 1_000, 300_000, 700_000),  # uniform
        (2_000, 1_000, 500_000, 750_000),  # density 2x
        (1_000, 3_000, 500_000, 125_000),  # (1 - x)^3
        (3_000, 3_000, 500_000, 500_000),  # symmetric
        (10_000, 1_000, 900_000, 651_322),  # 1 - 0.9^10
        (1_000, 1_000, 0, PPM),
        (1_000, 1_000, PPM, 0),
    ],
)
def test_the_tail_of_a_beta_has_its_closed_form_values(alpha, beta, at_least, expected):
    assert abs(tail_ppm(alpha, beta, at_least) - expected) <= 1


@given(st.integers(1, 400_000), st.integers(1, 400_000), st.integers(1, PPM - 1))
def test_a_tail_and_its_mirror_image_sum_to_one(alpha, beta, at_least):
    assert abs(tail_ppm(alpha, beta, at_least) + tail_ppm(beta, alpha, PPM - at_least) - PPM) <= 2


@given(st.integers(1, 200_000), st.integers(1, 200_000), st.integers(1, PPM - 1), st.integers(1, 50_000))
def test_more_successes_never_lower_a_tail(alpha, beta, at_least, more):
    assert tail_ppm(alpha + more, beta, at_least) >= tail_ppm(alpha, beta, at_least) - 1


@given(st.floats(1e-12, 1e12))
def test_the_logarithm_is_that_of_libm_to_thirteen_digits(x):
    assert natural_log(x) == pytest.approx(log(x), rel=1e-13, abs=1e-13)


@given(st.floats(-40, 40))
def test_softplus_and_logistic_are_their_definitions(x):
    assert softplus(x) == pytest.approx(x if x > 30 else log1p(exp(x)), rel=1e-9, abs=1e-12)
    assert logistic_ppm(x) == pytest.approx(PPM / (1 + exp(-1.702 * x)), abs=1)
