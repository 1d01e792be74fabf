"""Every rival over a grid of its own knobs, on worlds that no table reports: what `rivals.py` has as defaults.

    python bench/learning/tuning.py [--rivals A,B] [--seeds 2] [--first-seed 900] [--length 15000]

One row a configuration: net utility in percent of the oracle's, mean over the worlds.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping
from itertools import product
from pathlib import Path
from statistics import fmean

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(Path(__file__).parent)]

from peers import under_bench_venv

under_bench_venv(ROOT)

from online import play
from rivals import LEARNERS
from worlds import TASKS, VALUE_NANODOLLARS, World, world

#: Knob -> values, by rival; the grid is their product.
GRIDS: dict[str, dict[str, tuple[float, ...]]] = {
    "vw_squarecb": {"gamma_scale": (30, 100, 300, 1_000, 3_000), "rate": (0.1, 0.5, 1, 2)},
    "mabwiser_linucb": {"alpha": (0.02, 0.05, 0.1, 0.2, 0.3, 0.45, 0.6, 0.8, 1, 1.5)},
    "mabwiser_lints": {"alpha": (0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.45, 0.6, 1)},
    "thompson_cell": {"prior": (0.5, 1, 2, 3, 4, 6, 8, 12, 16, 24)},
    "thompson_hierarchical": {"weight": (3, 4, 6, 9, 12, 18, 25, 35, 50, 70)},
    "litellm_adaptive": {"quality_weight": (0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 0.98, 1)},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rivals", default=",".join(GRIDS))
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--first-seed", type=int, default=900)
    parser.add_argument("--length", type=int, default=15_000)
    options = parser.parse_args()
    worlds = [world(seed, options.length) for seed in range(options.first_seed, options.first_seed + options.seeds)]
    best = [sum(found.utility(n, found.best(n)) for n in range(options.length)) for found in worlds]
    for name in options.rivals.split(","):
        for knobs in configurations(name):
            shares = [100 * utility(found, name, knobs) / most for found, most in zip(worlds, best, strict=True)]
            stated = ", ".join(f"{knob} {value:g}" for knob, value in knobs.items())
            print(f"{name:24s} {stated:32s} {fmean(shares):6.2f}", flush=True)


def configurations(name: str) -> Iterator[dict[str, float]]:
    grid = GRIDS[name]
    for values in product(*grid.values()):
        yield dict(zip(grid, values, strict=True))


def utility(found: World, name: str, knobs: Mapping[str, float]) -> float:
    """Expected net utility of one rival in one world, summed."""
    catalog = found.catalog
    prices = {arm: (3 * model.price_in + model.price_out) * 0.1 for arm, model in catalog.models.items()}
    arms = tuple(sorted(catalog.models))
    rival = LEARNERS[name](arms, (*TASKS, "other"), VALUE_NANODOLLARS, prices, found.seed, **knobs)
    served = play(rival, found.calls, found.answer, found.seed)
    return sum(found.utility(number, arm) for number, arm in enumerate(served))


if __name__ == "__main__":
    main()
