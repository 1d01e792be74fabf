from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policy_engine.estimate import PRIOR, Belief
from policy_engine.priors import SHARED_WEIGHT_MILLI, TenantMean, catalog_priors, shared_priors
from policy_lang.catalog import Model

HONEST = [TenantMean(500, ppm) for ppm in (880_000, 900_000, 900_000, 910_000, 920_000)]


def model(arm: str, price: int) -> Model:
    return Model(arm, arm.partition("/")[0], arm.partition("/")[2], price, 4 * price)


def tried(success_ppm: int) -> Belief:
    return Belief(success_ppm, success_ppm, 10_000)


@pytest.mark.parametrize(
    ("means", "expected"),
    [
        (HONEST, 900_000),
        (HONEST[:4], None),  # fewer than five tenants
        ([*HONEST[:4], TenantMean(49, 900_000)], None),  # the fifth has too little to say
        ([*HONEST, TenantMean(10**9, 0)], 900_000),  # one tenant, one vote
        ([*HONEST, TenantMean(10**9, 0), TenantMean(10**9, 0)], 900_000),
    ],
)
def test_a_shared_prior_is_the_median_of_enough_tenants(means, expected):
    found = shared_priors({"a/cheap": means}).get("a/cheap")
    assert (found and found.success_ppm) == expected
    assert found is None or found.weight_milli == SHARED_WEIGHT_MILLI


@given(st.permutations([*HONEST, TenantMean(700, 500_000), TenantMean(80, 990_000)]))
def test_the_order_of_tenants_does_not_matter(means):
    assert shared_priors({"a/cheap": means}) == shared_priors({"a/cheap": sorted(means, key=repr)})


def test_an_untried_catalog_is_ordered_by_price_alone():
    priors = catalog_priors([model("a/small", 100_000), model("a/middle", 400_000), model("a/large", 1_600_000)], {})
    means = [priors[arm].success_ppm for arm in ("a/small", "a/middle", "a/large")]
    assert means == sorted(means)
    assert means[1] == PRIOR.success_ppm


def test_a_newcomer_starts_near_its_neighbours_its_own_family_first():
    rows = [model("a/old", 1_000_000), model("b/old", 1_000_000), model("a/new", 1_000_000)]
    found = catalog_priors(rows, {"a/old": tried(900_000), "b/old": tried(600_000)})
    assert found["a/new"].success_ppm == pytest.approx(800_000, abs=1_000)


def test_an_arm_is_no_neighbour_of_itself():
    rows = [model("a/old", 1_000_000), model("b/old", 1_000_000)]
    found = catalog_priors(rows, {"a/old": tried(900_000), "b/old": tried(600_000)})
    assert (found["a/old"].success_ppm, found["b/old"].success_ppm) == (600_000, 900_000)
