"""When a canary is stopped: seldom by chance, soon when it loses what its policy does not allow."""

from __future__ import annotations

import random
from statistics import median

import pytest

from policy_engine.stop_loss import FALSE_STOP, compared
from policy_engine.trials import outcome_tally, quality_tally
from policy_engine.wire import TelemetryRecord
from policy_lang.ir import Canary

TERMS = Canary("acme/next", 50_000, "call", 30_000, "success", 30_000)


def tally(good, bad):
    return {"n": good + bad, "s": good}


@pytest.mark.parametrize(
    ("main", "canary", "stop"),
    [
        (tally(9_500, 500), tally(950, 50), False),
        (tally(9_500, 500), tally(900, 100), True),
        (tally(9_500, 500), tally(925, 75), False),  # a drop, and short of three points
        (tally(95, 5), tally(90, 10), False),  # a drop, and nothing but chance
        (tally(9_500, 500), tally(15, 30), True),
        (tally(9_000, 1_000), tally(990, 10), False),  # better
    ],
)
def test_a_canary_is_stopped_for_a_drop_that_is_large_and_beyond_doubt(main, canary, stop):
    assert compared(main, canary, TERMS).stop is stop


def test_too_little_says_nothing_and_no_stop_loss_asks_nothing():
    assert compared(tally(1_000, 0), tally(0, 29), TERMS) is None
    assert compared({}, tally(0, 500), TERMS) is None
    assert compared(tally(500, 0), tally(0, 500), Canary("acme/next", 50_000, "call", 30_000)) is None


def test_quality_is_compared_by_what_was_rated():
    terms = Canary("acme/next", 50_000, "call", 30_000, "quality", 30_000)

    def rated(n, ppm):
        return {"qn": n, "q": n * ppm, "qq": n * ppm * ppm}

    assert compared(rated(5_000, 900_000), rated(500, 860_000), terms).stop
    assert not compared(rated(5_000, 900_000), rated(500, 890_000), terms).stop
    assert compared(rated(5_000, 900_000), tally(0, 500), terms) is None


def trial(chance, good_main, good_canary, *, looks, calls=200, share=0.05):
    """Decisions of the canary until it is stopped; None where it never is."""
    main, canary = {"n": 0, "s": 0}, {"n": 0, "s": 0}
    for _ in range(looks):
        drawn = sum(chance.random() < share for _ in range(calls))
        rest = calls - drawn
        spread = (rest * good_main * (1 - good_main)) ** 0.5
        main["n"] += rest
        main["s"] += min(rest, max(0, round(chance.gauss(rest * good_main, spread))))
        canary["n"] += drawn
        canary["s"] += sum(chance.random() < good_canary for _ in range(drawn))
        found = compared(main, canary, TERMS)
        if found is not None and found.stop:
            return canary["n"]
    return None


def test_a_canary_that_loses_nothing_is_hardly_ever_stopped_though_it_is_looked_at_every_minute():
    chance = random.Random(7)
    stopped = [trial(chance, 0.95, 0.95, looks=200) for _ in range(100)]
    assert sum(found is not None for found in stopped) <= 100 * FALSE_STOP


@pytest.mark.parametrize(("good", "soon"), [(0.90, 900), (0.85, 400), (0.50, 100)])
def test_a_canary_that_loses_is_stopped_soon(good, soon):
    chance = random.Random(8)
    delays = [trial(chance, 0.95, good, looks=400) for _ in range(15)]
    assert all(delay is not None for delay in delays)
    assert median(delays) <= soon


@pytest.mark.parametrize(
    ("hop", "outcome", "adds"),
    [
        (0, "ok", {"n": 1, "s": 1}),
        (0, "wrong", {"n": 1}),
        (0, "unavailable", {"n": 1}),
        (1, "ok", {"s": 1}),
        (1, "wrong", {}),
        (0, "cancelled", {}),
    ],
)
def test_a_decision_counts_once_and_its_success_with_whichever_call_it_came(hop, outcome, adds):
    assert outcome_tally(TelemetryRecord("t" * 20, hop, "a/cheap", outcome)) == adds


def test_the_square_of_a_quality_is_exact():
    assert quality_tally(999_999) == {"qn": 1, "q": 999_999, "qq": 999_998_000_001}
