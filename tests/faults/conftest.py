"""A deployment under faults: the template's functions on moto, and a seeded scheduler between them in place of AWS.

Messages travel through boxes of the scheduler's own, at least once and in any order; every other call to AWS goes to
moto by way of `Wire`, which loses, refuses and delays what the case says. Time is the scheduler's: sleeping costs none.
All of it is in `simulation/`, which pyproject.toml puts on the path.
"""

from __future__ import annotations

import gc

import pytest
from simulation.callers import POLICY
from simulation.case import CASES, Case
from simulation.stack import LOADER
from simulation.world import World


@pytest.fixture
def world(monkeypatch):
    """Makes Worlds, of a case by name or as given, in which sleeping only counts; each is left when the next begins, at
    the latest: what a run held would otherwise pile up for an hour.
    """
    # The handlers' graphs are large and stay: looking them over for garbage takes a quarter of the time.
    thresholds = gc.get_threshold()
    gc.set_threshold(200_000, 20, 20)
    monkeypatch.setattr("botocore.loaders.create_loader", lambda _: LOADER)
    begun: list[World] = []

    def build(case="calm", seed=1, mutant=None) -> World:
        while begun:
            begun.pop().end()
            gc.collect()
        here = World(Case(**CASES[case]) if isinstance(case, str) else case, seed, mutant)
        monkeypatch.setattr("time.sleep", here.wire.sleep)
        begun.append(here)
        return here.begin()

    yield build
    for here in begun:
        here.end()
    gc.set_threshold(*thresholds)


@pytest.fixture
def policy_text():
    return POLICY
