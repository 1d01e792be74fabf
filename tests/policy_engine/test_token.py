from __future__ import annotations

import pytest

from policy_engine.token import SigningKeys, TokenArm, TokenClaims, TokenError, mint, verify

KEYS = SigningKeys("k2", {"k1": b"old" * 11, "k2": b"new" * 11})
CLAIMS = TokenClaims(
    tenant="acme",
    decision_id="0" * 32,
    cluster="c" * 20,
    task="label",
    route="labelling",
    arms=(TokenArm("a/x", 0, 1_000_000, 5_000_000, 100_000, 1_250_000),),
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
