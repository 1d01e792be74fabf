"""The suite can fail: deliberately broken copies of the functions are caught, by the identities that they break."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

MUTANTS = tomllib.loads(Path(__file__).with_name("mutants.toml").read_text())["mutant"]
EVENTS = 150


@pytest.mark.parametrize("mutant", MUTANTS, ids=[mutant["name"] for mutant in MUTANTS])
def test_the_books_do_not_balance_when(world, mutant):
    here = world(mutant["case"], seed=7, mutant=mutant)
    here.run(mutant.get("events", EVENTS))
    here.settle()
    assert here.broken() >= set(mutant["breaks"])
