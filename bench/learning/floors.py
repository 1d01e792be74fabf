"""Floors of several heights in the simulated worlds: how often they are missed, and what they cost.

    python bench/learning/floors.py [--floors 60,80,90,95] [--seeds 20] [--first-seed 0] [--length 15000]
        [--snapshot-seconds 15]

A decision misses its floor when its arm is more than two points under it and some arm is not under it at all. Cost is
in percent of an oracle's, which serves the cheapest arm that reaches the floor, or the best one where none does; and of
always serving the dearest.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from statistics import fmean

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(Path(__file__).parent)]

from peers import under_bench_venv

under_bench_venv(ROOT)

from engine_router import SNAPSHOT_SECONDS, EngineRouter
from intervals import mean_interval
from online import play
from simulated import floor_policy, proven_policy, under_floor
from worlds import World, world

COLUMNS = (("> 2 points under, %", 22), ("cost, % of the oracle", 26), ("of the dearest", 16), ("reachable", 11))
KINDS = {"steering": floor_policy, "proven 90%": proven_policy}


def main() -> None:
    options = _options()
    rows: dict[tuple[float, str], list[dict[str, float]]] = {}
    for seed in range(options.first_seed, options.first_seed + options.seeds):
        found = world(seed, options.length)
        for floor in options.floors:
            for kind, policy in KINDS.items():
                router = EngineRouter(partial(policy, floor=floor), found.catalog, seed, options.snapshot_seconds)
                served = play(router, found.calls, found.answer, seed)
                rows.setdefault((floor, kind), []).append(measured(found, served, floor))
        print(f"seed {seed}: " + "  ".join(_brief(*key, mine[-1]) for key, mine in rows.items()), file=sys.stderr)
    print(f"{'floor':16s}" + "".join(f"{name:>{width}s}" for name, width in COLUMNS))
    for (floor, kind), mine in rows.items():
        under, cost = (_interval([row[key] for row in mine]) for key in ("under", "cost"))
        dearest, reachable = (fmean(row[key] for row in mine) for key in ("dearest", "reachable"))
        cells = (under, cost, f"{dearest:.1f}", f"{reachable:.1f}")
        line = "".join(f"{cell:>{width}s}" for cell, (_, width) in zip(cells, COLUMNS, strict=True))
        print(f"{floor:4.0%} {kind:11s}{line}")


def measured(found: World, served: Sequence[str], floor: float) -> dict[str, float]:
    """Percentages: decisions under the floor, cost of the oracle's and of the dearest, calls some arm is fit for."""
    spent = best = most = 0.0
    reachable = 0
    for number, (call, arm) in enumerate(zip(found.calls, served, strict=True)):
        costs = {other: found.costs[call.envelope, other] for other in call.arms}
        fit = [other for other in call.arms if found.rate(number, other) >= floor]
        reachable += bool(fit)
        spent += costs[arm]
        best += min(costs[other] for other in fit) if fit else costs[_best(found, number)]
        most += max(costs.values())
    under = fmean(under_floor(found, number, arm, floor) for number, arm in enumerate(served))
    shares = {"under": under, "cost": spent / best, "dearest": spent / most, "reachable": reachable / len(served)}
    return {key: 100 * share for key, share in shares.items()}


def _best(found: World, number: int) -> str:
    return max(found.calls[number].arms, key=lambda arm: found.rate(number, arm))


def _brief(floor: float, kind: str, row: dict[str, float]) -> str:
    return f"{floor:.0%} {kind} {row['under']:.1f} % at {row['cost']:.0f} %"


def _interval(values: Sequence[float]) -> str:
    found = mean_interval(values)
    return f"{found['mean']:.1f} [{found['low']:.1f}, {found['high']:.1f}]"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--floors", type=_percents, default=(0.6, 0.8, 0.9, 0.95))
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--length", type=int, default=15_000)
    parser.add_argument("--snapshot-seconds", type=int, default=SNAPSHOT_SECONDS)
    return parser.parse_args()


def _percents(text: str) -> tuple[float, ...]:
    """`60,80` as shares of one."""
    try:
        found = tuple(float(part) / 100 for part in text.split(","))
    except ValueError:
        found = (0.0,)
    if not all(0 < floor < 1 for floor in found):
        raise argparse.ArgumentTypeError(f"`{text}` is no list of percentages between 0 and 100, such as 60,80,90")
    return found


if __name__ == "__main__":
    main()
