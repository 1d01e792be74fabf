"""What becomes of a telemetry record before any store is asked."""

from __future__ import annotations

import json

import pytest

from policy_engine.settlement import (
    OUTCOME_LIMIT_MS,
    QUALITY_LIMIT_MS,
    CellKey,
    MarkerKey,
    Telemetry,
    outcome_record,
    record_state,
    settle,
)
from policy_engine.statistics import epoch_of, outcome_sums, quality_sums
from policy_engine.token import SigningKeys, TokenArm, TokenClaims, mint
from policy_engine.wire import TelemetryRecord

NOW = 1_790_000_000_000
KEYS = SigningKeys("k1", {"k1": b"secret"})
ARMS = (TokenArm("a/cheap", 2, 100_000, 400_000, 10_000, 125_000), TokenArm("b/strong", 0, 3_000_000, 1, 1, 1))


@pytest.fixture
def settled():
    """Settle a record of a decision made at NOW; fields of the claims and of the record by keyword."""

    def build(*, age=1_000, tenant="acme", keys=KEYS, token=None, charges=(), **fields):
        claims = TokenClaims(
            "acme", "d" * 32, "ab" * 10, "label", "labelling", ARMS, 950_000, False, NOW, charges=charges
        )
        told = {"arm": "a/cheap", "hop": 0, "outcome": "ok", "input_tokens": 300, "output_tokens": 20, **fields}
        record = TelemetryRecord(token or mint(claims, KEYS), **told)
        return settle(Telemetry(tenant, "r:0", NOW + age, record), keys)

    return build


def test_an_outcome_adds_to_the_cell_of_its_decision_at_its_decisions_time(settled):
    settlement = settled(age=3_600_000)
    (effect,) = settlement.effects
    assert effect.marker == MarkerKey("acme", "d" * 32, 0, "outcome")
    assert effect.cell == CellKey("acme", "ab" * 10, "label", "a/cheap", 2, epoch_of(NOW))
    assert effect.sums == outcome_sums(settlement.telemetry.record, NOW) | {"k": settlement.cost_nanodollars}
    assert effect.charges == ()


def test_a_quality_is_an_effect_of_its_own(settled):
    effects = settled(quality_ppm=750_000).effects
    assert [effect.marker.field for effect in effects] == ["outcome", "quality"]
    assert effects[1].sums == quality_sums(750_000, NOW)
    assert effects[0].cell == effects[1].cell


MONEY, TOKENS = "org:growth:$/month@682", "tenant::tokens/day@20717"


@pytest.mark.parametrize(
    ("fields", "money", "tokens"),
    [
        ({}, 38_000 - 50_000, 320 - 400),
        ({"input_tokens": 1_300}, 138_000 - 50_000, 1_320 - 400),
        ({"input_tokens": 420}, 0, 440 - 400),
        ({"output_tokens": None}, 0, 0),
        ({"outcome": "timeout", "output_tokens": None}, -50_000, -400),
        ({"outcome": "timeout"}, 38_000 - 50_000, 320 - 400),
        ({"hop": 1}, 38_000, 320),
        ({"hop": 1, "output_tokens": None}, 50_000, 400),
        ({"hop": 1, "outcome": "timeout", "output_tokens": None}, 0, 0),
        ({"outcome": "cancelled", "output_tokens": None}, 0, 0),
    ],
)
def test_what_a_hop_used_takes_the_place_of_what_was_expected(settled, fields, money, tokens):
    effects = settled(charges=((MONEY, 50_000), (TOKENS, 400)), quality_ppm=1, **fields).effects
    found = dict(effects[0].charges)
    assert found.get(MONEY, 0) == money
    assert found.get(TOKENS, 0) == tokens
    assert 0 not in found.values()
    assert (effects[0].day, effects[1].charges) == (NOW // 86_400_000, ())


@pytest.mark.parametrize(
    ("tokens", "cost"),
    [
        ({}, 300 * 100 + 20 * 400),
        ({"cached_read_tokens": 100}, 200 * 100 + 100 * 10 + 20 * 400),
        ({"cached_read_tokens": 100, "cached_write_tokens": 200}, 100 * 10 + 200 * 125 + 20 * 400),
        ({"output_tokens": None}, None),
    ],
)
def test_cost_is_counted_at_the_prices_of_the_decision(settled, tokens, cost):
    assert settled(**tokens).cost_nanodollars == cost


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"token": "rubbish-of-sixteen"}, "malformed_token"),
        ({"keys": SigningKeys("k1", {"k1": b"other"})}, "bad_signature"),
        ({"keys": SigningKeys("k2", {"k2": b"secret"})}, "bad_signature"),
        ({"tenant": "globex"}, "foreign_tenant"),
        ({"arm": "c/other"}, "unknown_arm"),
    ],
)
def test_what_cannot_be_trusted_is_rejected_with_a_reason(settled, change, reason):
    settlement = settled(**change)
    assert (settlement.reason, settlement.effects, settlement.late) == (reason, (), ())
    assert outcome_record(settlement, {})["reason"] == reason
    assert record_state(settlement, {}) == "rejected"


@pytest.mark.parametrize(
    ("age", "applied", "late"),
    [
        (0, ["outcome", "quality"], ()),
        (-5, ["outcome", "quality"], ()),
        (OUTCOME_LIMIT_MS, ["outcome", "quality"], ()),
        (OUTCOME_LIMIT_MS + 1, ["quality"], ("outcome",)),
        (QUALITY_LIMIT_MS, ["quality"], ("outcome",)),
        (QUALITY_LIMIT_MS + 1, [], ("outcome", "quality")),
    ],
)
def test_each_field_has_its_own_limit(settled, age, applied, late):
    settlement = settled(age=age, quality_ppm=1)
    assert ([effect.marker.field for effect in settlement.effects], settlement.late) == (applied, late)


@pytest.mark.parametrize(
    ("fields", "state"),
    [
        ({"outcome": "applied", "quality": "late"}, "applied"),
        ({"outcome": "duplicate", "quality": "applied"}, "applied"),
        ({"outcome": "late", "quality": "duplicate"}, "duplicate"),
        ({"outcome": "late"}, "late"),
    ],
)
def test_a_record_is_counted_by_its_best_field(settled, fields, state):
    assert record_state(settled(), fields) == state


def test_an_outcome_record_holds_all_but_the_token(settled):
    settlement = settled(quality_ppm=250_000, latency_ms=700, quality_slugs=("short",))
    assert outcome_record(settlement, {"outcome": "applied", "quality": "applied"}) == {
        "format": 1,
        "record_id": "r:0",
        "tenant": "acme",
        "decision_id": "d" * 32,
        "hop": 0,
        "arm": "a/cheap",
        "state": "applied",
        "fields": {"outcome": "applied", "quality": "applied"},
        "outcome": "ok",
        "input_tokens": 300,
        "output_tokens": 20,
        "latency_ms": 700,
        "quality_ppm": 250_000,
        "quality_slugs": ["short"],
        "cost_nanodollars": 38_000,
        "at_ms": NOW,
        "received_ms": NOW + 1_000,
        "cluster": "ab" * 10,
        "task": "label",
        "route": "labelling",
        "explored": False,
        "propensity_ppm": 950_000,
    }


def test_a_foreign_token_tells_its_sender_nothing(settled):
    told = json.dumps(outcome_record(settled(tenant="globex"), {}))
    assert "d" * 32 not in told
    assert "labelling" not in told
