"""List prices from published costs: exact where costs are linear in tokens, mean-preserving where they are not."""

from __future__ import annotations

import pytest

from policy_cli.demo.prices import list_prices


def _calls(price_in, price_out, tokens):
    return [(i, o, (i * price_in + o * price_out) / 1e12) for i, o in tokens]


VARIED = [(431, 24), (495, 25), (1_200, 310), (80, 1)]


@pytest.mark.parametrize(
    ("price_in", "price_out"), [(3_000_000, 15_000_000), (150_000, 600_000), (35_000, 0), (0, 70_000), (0, 0)]
)
def test_prices_that_made_the_costs_are_found_to_the_pico_dollar(price_in, price_out):
    assert list_prices(_calls(price_in, price_out, VARIED)) == (price_in, price_out)


def test_a_constant_answer_length_still_tells_the_two_prices_apart():
    tokens = [(28, 1), (95, 1), (264, 1)]
    assert list_prices(_calls(10_000_000, 30_000_000, tokens)) == (10_000_000, 30_000_000)


@pytest.mark.parametrize(
    "calls",
    [
        [(500, 100, 0.003), (500, 100, 0.001), (500, 100, 0.0002)],
        [(509, 1, 0.00015), (30, 1, 0.0011), (900, 1, 0.00002)],
    ],
    ids=["the same tokens at every call", "costs that do not follow the tokens"],
)
def test_otherwise_one_blended_price_reproduces_the_total(calls):
    price_in, price_out = list_prices(calls)
    total = sum(i * price_in + o * price_out for i, o, _ in calls) / 1e12
    assert price_in == price_out
    assert total == pytest.approx(sum(cost for *_, cost in calls), rel=1e-5)


def test_no_price_is_negative():
    assert min(list_prices([(100, 50, 0.0010), (200, 50, 0.0009), (400, 90, 0.0011)])) >= 0


def test_an_arm_without_tokens_is_free():
    assert list_prices([(0, 0, 0.0)]) == (0, 0)
