"""Nothing lost and nothing counted twice, whatever goes wrong: every case ends with all identities checked.

`make soak` makes every run ten times as long, `make soak HOURS=1` goes on with ever new seeds for an hour; both print a
row a run.
"""

from __future__ import annotations

import itertools
import os
import sys
import time
import tomllib
from collections import Counter
from pathlib import Path

import pytest

CASES = [case["name"] for case in tomllib.loads(Path(__file__).with_name("cases.toml").read_text())["case"]]
HOURS = float(os.environ.get("POINTSMAN_SOAK_HOURS", "0"))
SCALE = 10 if os.environ.get("POINTSMAN_SOAK") else 1
EVENTS = 300
# Lambda ends `route` after ten seconds; what a caller may wait at worst stays well below.
LONGEST_ANSWER_S = 7.0


@pytest.mark.parametrize("case", CASES)
def test_the_books_balance_after(world, told, case):
    here = world(case, seed=7)
    events = EVENTS * SCALE
    identities = _balanced(here, events)
    assert here.statuses[200] >= events / 10
    assert all(count >= events / 30 for count in _applied(identities).values())
    assert _shown(here) >= set(here.case.shows)
    told(case, 7, here, identities)


@pytest.mark.skipif(not HOURS, reason="make soak HOURS=1")
def test_the_books_balance_hour_after_hour(world, told):
    ends = time.monotonic() + HOURS * 3600
    applied: Counter[tuple[str, str]] = Counter()
    for seed in itertools.count(100):
        case = CASES[seed % len(CASES)]
        with world(case, seed) as here:
            identities = _balanced(here, EVENTS)
            told(case, seed, here, identities)
        applied.update({(case, tenant): count for tenant, count in _applied(identities).items()})
        # One seed may leave a tenant next to nothing; all of them together may not.
        if time.monotonic() > ends and seed >= 100 + len(CASES):
            assert {case for case, _ in applied} == set(CASES)
            assert min(applied.values()) >= EVENTS / 30
            return


@pytest.fixture
def told(capsys):
    """Prints what a long run came to."""
    began = time.process_time()

    def say(case, seed, here, identities):
        nonlocal began
        if SCALE == 1 and not HOURS:
            return
        ends = [identity.right for (_, name), identity in identities.items() if name == "I2"]
        states = "/".join(
            str(sum(end[state] for end in ends)) for state in ("applied", "duplicate", "late", "rejected")
        )
        decided, faults = sum(map(len, here.decided.values())), sum(here.wire.seen.values())
        wait, seconds = max(here.waits), time.process_time() - began
        with capsys.disabled():
            sys.stdout.write(
                f"\n{case:60} seed {seed:5} {here.events:6} events {decided:5} decisions {states:>20} telemetry "
                f"{faults:5} faults {here.redriven:4} redriven {wait:4.1f} s longest answer {seconds:6.1f} s CPU"
            )
        began = time.process_time()

    return say


def _balanced(here, events):
    """Run, put everything right that can be, and hold all identities; they are returned."""
    here.run(events)
    here.settle()
    assert here.events >= events
    identities = here.identities()
    assert {where: identity.findings for where, identity in identities.items() if identity.findings} == {}
    assert not [where for where, identity in identities.items() if identity.unchecked]
    assert max(here.waits) <= LONGEST_ANSWER_S
    for queue, bodies in here.poison.items():
        letters = here.dead(queue)
        assert {letter.body for letter in letters} == bodies
        assert all(letter.reason for letter in letters)
    return identities


def _applied(identities):
    """Telemetry applied, by tenant."""
    return {tenant: identity.right["applied"] for (tenant, name), identity in identities.items() if name == "I2"}


def _shown(here) -> set[str]:
    """What the run met, and what it led to."""
    degraded = [reply for replies in here.replies.values() for reply in replies if reply["degraded"]]
    met = {
        **here.wire.seen,
        "repeated": sum(box.repeated for box in here.boxes.values()),
        "degraded": len(degraded),
        "unanswered": len(here.unanswered),
        "carried": sum(map(len, here.carried.values())),
        "poison": sum(map(len, here.poison.values())),
        "late": len(here.held_back),
        "redriven": here.redriven,
        "spooled": here.wire.spooled,
        "full": here.full(),
    }
    return {name for name, times in met.items() if times}
