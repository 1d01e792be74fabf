from __future__ import annotations

import pytest

from policy_engine.degradation import CALM, Arrivals, advanced, moved_ppm
from policy_engine.estimate import Estimate


def expecting(rate_ppm: int, strength: int = 200) -> Estimate:
    alpha = strength * rate_ppm // 1_000
    return Estimate(alpha, strength * 1_000 - alpha, strength * 1_000, strength, rate_ppm)


def after(expected: Estimate, *batches: tuple[int, int]) -> int | None:
    watch = CALM
    for outcomes, successes in batches:
        watch = advanced(watch, [Arrivals(expected, outcomes, successes)])
        if (move := moved_ppm(watch)) is not None:
            return move
    return None


@pytest.mark.parametrize(
    ("rate_ppm", "batches", "moved"),
    [
        (900_000, [(10, 9)] * 100, None),  # as expected, for a thousand outcomes
        (900_000, [(10, 6)] * 10, -300_000),
        (900_000, [(20, 0)], -900_000),
        (600_000, [(10, 9)] * 20, 300_000),
        (900_000, [(10, 5), *[(10, 9)] * 50], None),  # one bad batch is forgotten
    ],
)
def test_a_lasting_move_is_noticed_and_measured(rate_ppm, batches, moved):
    found = after(expecting(rate_ppm), *batches)
    assert found == (None if moved is None else pytest.approx(moved, abs=20_000))


def test_nothing_new_changes_nothing():
    watch = advanced(CALM, [Arrivals(expecting(900_000), 10, 6)])
    assert advanced(watch, [Arrivals(expecting(900_000), 0, 0)]) == watch


def test_an_expectation_without_evidence_is_not_held_against_an_arm():
    assert advanced(CALM, [Arrivals(expecting(900_000, strength=10), 50, 0)]) == CALM
