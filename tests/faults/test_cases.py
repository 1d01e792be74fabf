"""Nothing lost and nothing counted twice, whatever goes wrong: every case ends with all identities checked."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path

import pytest

CASES = [case["name"] for case in tomllib.loads(Path(__file__).with_name("cases.toml").read_text())["case"]]
SCALE = 10 if os.environ.get("POINTSMAN_SOAK") else 1
EVENTS = 300 * SCALE
# Lambda ends `route` after ten seconds; what a caller may wait at worst stays well below.
LONGEST_ANSWER_S = 7.0


@pytest.mark.parametrize("case", CASES)
def test_the_books_balance_after(world, case):
    here = world(case, seed=7)
    here.run(EVENTS)
    here.settle()
    assert here.events >= EVENTS
    assert here.statuses[200] >= EVENTS / 10
    identities = here.identities()
    assert {where: identity.findings for where, identity in identities.items() if identity.findings} == {}
    assert not [where for where, identity in identities.items() if identity.unchecked]
    assert all(identities[tenant, "I2"].right["applied"] >= EVENTS / 30 for tenant in here.decided)
    assert _shown(here) >= set(here.case.shows)
    assert max(here.waits) <= LONGEST_ANSWER_S
    for queue, bodies in here.poison.items():
        letters = here.dead(queue)
        assert {letter.body for letter in letters} == bodies
        assert all(letter.reason for letter in letters)


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
    }
    return {name for name, times in met.items() if times}
