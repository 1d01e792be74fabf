from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policy_engine.statistics import (
    HALF_LIFE_MS,
    decay_weight,
    epoch_of,
    merge_sums,
    outcome_sums,
    quality_sums,
)
from policy_engine.wire import TelemetryRecord

NOW = 1_790_000_000_000
EPOCH_MS = 48 * HALF_LIFE_MS


def record(outcome: str, **fields) -> TelemetryRecord:
    return TelemetryRecord("t" * 20, 0, "a/cheap", outcome, **fields)


@pytest.mark.parametrize(
    ("outcome", "floor_relevant", "success", "provider_fault"),
    [
        ("ok", 1, 1, 0),
        ("wrong", 1, 0, 0),
        ("invalid_output", 1, 0, 0),
        ("refused", 1, 0, 0),
        ("truncated", 1, 0, 0),
        ("empty", 1, 0, 0),
        ("rate_limited", 0, 0, 1),
        ("timeout", 0, 0, 1),
        ("unavailable", 0, 0, 1),
        ("context_window", 0, 0, 1),
        ("auth", 0, 0, 1),
        ("cancelled", 0, 0, 0),
        ("caller_error", 0, 0, 0),
    ],
)
def test_only_the_models_own_faults_count_against_it(outcome, floor_relevant, success, provider_fault):
    sums = outcome_sums(record(outcome), NOW)
    assert (sums.get("c", 0), sums.get("w", 0), sums.get("p", 0)) == (floor_relevant, success, provider_fault)
    assert (sums.get("n", 0) > 0, sums.get("s", 0) > 0) == (bool(floor_relevant), bool(success))


@given(st.permutations(range(8)), st.lists(st.integers(0, 5), max_size=4))
def test_sums_do_not_depend_on_order_or_batching(order, cuts):
    outcomes = ["ok", "wrong", "timeout", "ok", "refused", "ok", "caller_error", "ok"]
    parts = [
        outcome_sums(record(outcomes[place], latency_ms=100 << place, input_tokens=9, output_tokens=place), NOW + place)
        for place in range(8)
    ]
    batches = [merge_sums(parts[place] for place in order[cut : cut + 1]) for cut in range(8)]
    assert merge_sums(batches) == merge_sums(parts)
    assert merge_sums([merge_sums(batches[: len(cuts)]), merge_sums(batches[len(cuts) :])]) == merge_sums(parts)


def test_a_half_life_doubles_the_weight_of_an_event():
    start = epoch_of(NOW) * EPOCH_MS
    assert [decay_weight(start + lives * HALF_LIFE_MS) for lives in range(3)] == [65_536, 131_072, 262_144]
    weights = [decay_weight(start + step * HALF_LIFE_MS // 16) for step in range(48 * 16)]
    assert weights == sorted(weights)


def test_a_cell_stays_within_a_write_unit_and_dynamodbs_digits_for_a_whole_epoch():
    last = (epoch_of(NOW) + 1) * EPOCH_MS - 1
    parts = [
        outcome_sums(record("ok", latency_ms=1 << k, ttft_ms=1 << k, input_tokens=10**6, output_tokens=10**6), last)
        for k in range(20)
    ]
    dear = {"k": 10**12}
    whole = {name: value * 10**8 for name, value in merge_sums([*parts, quality_sums(10**6, last), dear]).items()}
    assert max(len(str(value)) for value in whole.values()) <= 38
    names, digits = sum(map(len, whole)), sum(len(str(value)) for value in whole.values())
    assert names + digits // 2 + 2 * len(whole) <= 1_024
    assert json.dumps(whole)
