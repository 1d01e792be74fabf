from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policy_engine.snapshot import EMPTY, PRIOR, build_snapshot, snapshot_document, snapshot_from_document
from policy_engine.statistics import HALF_LIFE_MS, CellRow, epoch_of, merge_sums, outcome_sums
from policy_engine.wire import TelemetryRecord

NOW = 1_790_000_000_000


def row(cluster: str, arm: str, good: int, bad: int, *, task: str = "label", generation: int = 0, at_ms: int = NOW):
    def sums(outcome: str, times: int) -> dict[str, int]:
        one = outcome_sums(TelemetryRecord("t" * 20, 0, arm, outcome, 300, 80, latency_ms=700), at_ms)
        return {name: value * times for name, value in one.items()}

    return CellRow(cluster, task, arm, generation, epoch_of(at_ms), merge_sums([sums("ok", good), sums("wrong", bad)]))


ROWS = [
    row("c1", "a/x", 40, 10),
    row("c1", "a/y", 5, 5),
    row("c2", "a/x", 3, 1),
    row("c3", "a/x", 30, 2, task="code"),
    row("c3", "a/z", 9, 1, task="code"),
]


@given(st.permutations(ROWS))
def test_the_order_of_rows_does_not_matter(rows):
    assert build_snapshot(rows, NOW).fingerprint == build_snapshot(ROWS, NOW).fingerprint


def test_a_snapshot_survives_its_document():
    snapshot = build_snapshot(ROWS, NOW, spent_nanodollars={"general": 5}, previous=build_snapshot(ROWS[:2], NOW))
    again = snapshot_from_document(json.loads(json.dumps(snapshot_document(snapshot))))
    assert again == snapshot


def test_a_cell_with_many_outcomes_believes_itself():
    found = build_snapshot([row("c1", "a/x", 900, 100), row("c2", "a/x", 0, 900)], NOW).estimate("c1", "label", "a/x")
    assert found.success_ppm == pytest.approx(900_000, abs=30_000)
    assert (found.count, found.wins, found.tokens_in, found.tokens_out) == (1_000, 900, 300, 80)


def test_an_unseen_cell_is_given_its_task_and_an_unseen_task_the_tenant():
    snapshot = build_snapshot(ROWS, NOW)
    assert snapshot.estimate("new", "code", "a/x") == snapshot.tasks["code"]["a/x"]
    assert snapshot.estimate("new", "new", "a/x") == snapshot.overall["a/x"]
    assert EMPTY.estimate("new", "new", "a/x") == PRIOR


def test_an_untried_arm_is_given_what_the_others_did():
    snapshot = build_snapshot([row("c1", "a/x", 95, 5), row("c1", "a/y", 93, 7)], NOW)
    assert snapshot.estimate("c1", "label", "a/new").success_ppm > 900_000
    assert snapshot.estimate("c1", "label", "a/new").strength_milli == PRIOR.strength_milli


def test_a_hard_cell_is_held_against_no_one_in_it():
    hard = [row("hard", "a/x", 20, 80), row("easy", "a/x", 80, 20), row("easy", "a/y", 80, 20)]
    alone = build_snapshot(hard, NOW).estimate("hard", "label", "a/y")
    without = build_snapshot([row("easy", "a/y", 80, 20)], NOW).estimate("hard", "label", "a/y")
    assert alone.success_ppm < without.success_ppm - 100_000


def test_an_old_outcome_weighs_half_after_a_half_life_also_across_an_epoch():
    for lives in (1, 60):
        rows = [row("c1", "a/x", 512, 0)]
        found = build_snapshot(rows, NOW + lives * HALF_LIFE_MS).cells["c1"]["a/x"]
        assert found.n_milli == pytest.approx(512_000 / 2**lives, rel=0.06, abs=1)
        assert found.count == 512


def test_provider_faults_move_no_estimate_of_success():
    fault = outcome_sums(TelemetryRecord("t" * 20, 0, "a/x", "unavailable"), NOW)
    with_faults = [*ROWS, CellRow("c1", "label", "a/x", 0, epoch_of(NOW), {n: v * 500 for n, v in fault.items()})]
    before, after = build_snapshot(ROWS, NOW), build_snapshot(with_faults, NOW)
    for cluster, arms in before.cells.items():
        for arm, estimate in arms.items():
            found = after.cells[cluster][arm]
            assert (found.alpha_milli, found.beta_milli) == (estimate.alpha_milli, estimate.beta_milli)


@given(
    st.dictionaries(st.sampled_from(["n", "s", "c", "w", "q", "qn", "tn", "ti", "to"]), st.integers(-(10**38), 10**38))
)
def test_impossible_sums_never_give_an_impossible_estimate(sums):
    whole = {"ti": 0, "to": 0, **sums}
    snapshot = build_snapshot([CellRow("c1", "label", "a/x", 0, epoch_of(NOW), whole), *ROWS[1:]], NOW)
    for estimate in [*snapshot.cells["c1"].values(), *snapshot.overall.values()]:
        assert 0 < estimate.success_ppm < 1_000_000
        assert 0 <= estimate.quality_ppm <= 1_000_000
        assert estimate.n_milli >= 0


def test_a_fallen_arm_starts_a_new_generation_from_its_record_less_the_fall():
    first = build_snapshot([row("c1", "a/x", 90, 10), row("c1", "a/y", 90, 10)], NOW, previous=EMPTY)
    later = [row("c1", "a/x", 100, 60), row("c1", "a/y", 140, 15)]
    second = build_snapshot(later, NOW + 60_000, previous=first)
    assert second.generations == {"a/x": 1, "a/y": 0}
    assert second.moves["a/x"] < -500_000
    assert second.estimate("c1", "label", "a/x").success_ppm < 300_000
    third = build_snapshot([*later, row("c1", "a/x", 9, 1, generation=1)], NOW + 120_000, previous=second)
    assert third.generations["a/x"] == 1
    assert third.cells["c1"]["a/x"].count == 10


def test_seeing_the_same_statistics_twice_changes_no_score():
    first = build_snapshot([row("c1", "a/x", 90, 10)], NOW, previous=EMPTY)
    second = build_snapshot([row("c1", "a/x", 92, 14)], NOW, previous=first)
    assert second.watches
    assert build_snapshot([row("c1", "a/x", 92, 14)], NOW, previous=second).watches == second.watches
