from __future__ import annotations

from dataclasses import replace

import pytest

from policy_engine.costs import Usage, call_cost
from policy_engine.token import SigningKeys, TokenArm, TokenClaims, TokenError, fitting, mint, priced_arm, verify
from policy_engine.trials import TrialLane
from policy_engine.wire import record_from_wire
from policy_lang.catalog import Model, Prices
from policy_lang.vocabulary import OUTCOMES

KEYS = SigningKeys("k2", {"k1": b"old" * 11, "k2": b"new" * 11})
CLAIMS = TokenClaims(
    tenant="acme",
    decision_id="0" * 32,
    cluster="c" * 20,
    task="label",
    route="labelling",
    arms=(
        TokenArm("a/x", 0, 1_000_000, 5_000_000, 100_000, 1_250_000),
        TokenArm("a/long", 3, 1, 2, 3, 4, ((200_000, 5, 6, 7, 8), (500_000, 9, 10, 11, 12))),
    ),
    propensity_ppm=700_000,
    explored=True,
    at_ms=1_790_000_000_000,
    charges=(("org:growth:$/month@682", 1_500_000),),
)


def test_a_token_carries_its_claims_back():
    assert verify(mint(CLAIMS, KEYS), KEYS) == CLAIMS


def test_a_token_of_a_rotated_key_still_verifies():
    old = SigningKeys("k1", KEYS.secrets)
    assert verify(mint(CLAIMS, old), KEYS) == CLAIMS


def test_a_token_that_all_arms_fit_in_has_them_all():
    assert fitting(CLAIMS.arms, CLAIMS.arms * 2) == CLAIMS.arms * 2
    assert fitting((), ()) == ()


def test_a_token_holds_as_many_arms_as_telemetry_admits_and_no_gap_between_them():
    longest, steps = "p/" + "m" * 118, ((200_000, *[9_000_000] * 4),)
    others = tuple(replace(CLAIMS.arms[0], arm=f"{longest[:-3]}{n:03}", tiers=steps) for n in range(200))
    kept = fitting(CLAIMS.arms, others)
    assert kept == others[: len(kept)]
    names = {"tenant": "t" * 48, "task": "k" * 48, "route": "r" * 48, "decided": longest, "charges": ()}
    trial, trips = TrialLane("t" * 120, "l" * 120), tuple(OUTCOMES)
    full = replace(CLAIMS, arms=(*CLAIMS.arms, *kept), trial=trial, trips=trips, **names)
    keys = SigningKeys("k" * 64, {"k" * 64: b"new" * 11})
    told = {"token": mint(full, keys), "arm": kept[-1].arm, "outcome": "ok"}
    assert verify(record_from_wire(told).token, keys) == full
    assert 14_000 < len(told["token"]) <= 16_384


@pytest.mark.parametrize(
    ("tamper", "code"),
    [
        (lambda token: token[:-2] + ("AA" if token[-2:] != "AA" else "BB"), "bad_signature"),
        (lambda token: token.replace(".k2.", ".k1."), "bad_signature"),
        (lambda token: token.replace(".k2.", ".k9."), "bad_signature"),
        (lambda token: "2" + token[1:], "malformed_token"),
        (lambda _: "x", "malformed_token"),
        (lambda _: "", "malformed_token"),
        (lambda token: token + "é", "bad_signature"),
    ],
)
def test_an_altered_token_is_refused_with_a_code(tamper, code):
    with pytest.raises(TokenError) as refused:
        verify(tamper(mint(CLAIMS, KEYS)), KEYS)
    assert refused.value.code == code


@pytest.mark.parametrize(
    ("tokens_in", "tokens_out", "read", "write", "expected"),
    [
        (1_000, 100, 0, 0, 1_500_000),
        (1_000, 100, 800, 0, 780_000),
        (1_000, 100, 0, 400, 1_600_000),
        (10, 0, 40, 0, 4_000),
        (0, 0, 0, 0, 0),
    ],
)
def test_cost_prices_each_token_class_once(tokens_in, tokens_out, read, write, expected):
    assert CLAIMS.arms[0].cost_nanodollars(tokens_in, tokens_out, read, write) == expected


TIERED = Model(
    "p/m",
    "p",
    "m",
    1_000_000,
    5_000_000,
    100_000,
    tiers=(Prices(2_000_000, 10_000_000, 200_000, 2_500_000, above=200_000), Prices(4_000_000, 0, above=500_000)),
    batch=(Prices(500_000, 2_500_000), Prices(900_000, 3_000_000, above=200_000)),
)


@pytest.mark.parametrize("batch", [False, True])
@pytest.mark.parametrize("prompt", [0, 1, 199_999, 200_000, 200_001, 500_000, 500_001])
def test_a_call_is_settled_at_the_prices_it_was_expected_at(prompt, batch):
    """Those of its size, and of the batch service where that counted."""
    arm = priced_arm(TIERED, 0, batch=batch)
    for cached_read, cached_write in ((0, 0), (prompt // 2, 0), (prompt // 4, prompt // 2)):
        expected = call_cost(TIERED, Usage(prompt, 100, cached_read, cached_write), batch=batch)
        assert arm.cost_nanodollars(prompt, 100, cached_read, cached_write) == expected
