"""Simulated worlds with drift, a degradation, a newcomer, a flip and late feedback: the numbers asked of the learner.

    python bench/learning/simulated.py [--seeds 20] [--first-seed 0] [--length 15000] [--rivals all|none|A,B]
        [--snapshot-seconds 15]

Net utility is the expected one, in percent of an oracle that knows every rate. Differences are paired by seed.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import fmean

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(Path(__file__).parent)]

from peers import under_bench_venv

under_bench_venv(ROOT)

from engine_router import SNAPSHOT_SECONDS, EngineRouter, InverseGapRouter
from intervals import mean_interval, median
from online import Router, play
from rivals import LEARNERS, Always, Random
from worlds import FLOOR, NEWCOMER, TASKS, VALUE_NANODOLLARS, World, flip_world, world

from policy_lang.ir import And, Explore, Floor, PickTerm, Policy, Route, Tier

_WIDTH = 200
#: Decisions before the fall that say whether an arm is in use, and the share from which it counts as such.
_BEFORE, _USED = 1_000, 0.05


def value_policy(arms: tuple[str, ...]) -> Policy:
    return _policy(arms, PickTerm("best_value", value_nanodollars=VALUE_NANODOLLARS))


def floor_policy(arms: tuple[str, ...], floor: float = FLOOR) -> Policy:
    """`floor success >= 80%`, `pick cheapest`."""
    return _policy(arms, PickTerm("cheapest"), Floor("success", round(floor * 1e6)))


def proven_policy(arms: tuple[str, ...], floor: float = FLOOR) -> Policy:
    """The same, `proven 90%`; the likeliest arm serves until one is."""
    return _policy(arms, PickTerm("cheapest"), Floor("success", round(floor * 1e6), 900_000))


def _policy(arms: tuple[str, ...], pick: PickTerm, *floors: Floor) -> Policy:
    explore = Explore(50_000, 300_000)
    route = Route("general", And(()), ("all",), (pick,), floors=floors, explore=explore)
    return Policy("bench/simulated", (*TASKS, "other"), (Tier("all", arms),), (), (), route, ("birch/m7",))


def measured(found: World, served: Sequence[str], router: Router) -> dict[str, float]:
    """The figures of one router in one world."""
    numbers = range(len(served))
    best = [found.best(number) for number in numbers]
    ours = sum(found.utility(number, served[number]) for number in numbers)
    row = {"net_utility_pct": 100 * ours / sum(found.utility(number, best[number]) for number in numbers)}
    row["under_floor_pct"] = 100 * fmean(under_floor(found, number, served[number], FLOOR) for number in numbers)
    fallen, joined, flipped = found.changes
    still = [n for n in range(fallen, joined) if _close(found, n, found.degraded)]
    wrong = [served[n] == found.degraded for n in range(fallen, joined) if n not in set(still)]
    row["eviction"] = _first(wrong, lambda window: sum(window) * 10 <= len(window)) / max(1, len(wrong))
    row["eviction"] *= joined - fallen
    wins = [n for n in range(joined, flipped) if best[n] == NEWCOMER]
    place = _first([served[n] == NEWCOMER for n in wins], lambda window: 2 * sum(window) >= len(window))
    row["adoption"] = wins[place] - joined if place < len(wins) else flipped - joined
    tail = numbers[-1_500:]
    row["best_share_pct"] = 100 * fmean(_close(found, n, served[n]) for n in tail)
    if isinstance(router, EngineRouter):
        row |= _resets(found, router)
        row["in_use"] = _in_use(found, served)
        row["explored_share"] = fmean(router.explored)
    return row


def under_floor(found: World, number: int, arm: str, floor: float) -> bool:
    """More than two points under the floor where some arm reaches it."""
    attainable = any(found.rate(number, other) >= floor for other in found.calls[number].arms)
    return attainable and found.rate(number, arm) < floor - 0.02


def _close(found: World, number: int, arm: str) -> bool:
    return found.utility(number, arm) >= found.utility(number, found.best(number)) - 0.02


def _resets(found: World, router: EngineRouter) -> dict[str, float]:
    """A reset is true when its arm has fallen since: the degraded one, or the one that the flip sank."""
    fallen, _, flipped = found.changes
    true = {(found.degraded, fallen), (found.sunk, flipped)}
    false = [n for n, arm in router.resets if not any(arm == who and n >= since for who, since in true)]
    caught = any(arm == found.degraded and n >= fallen for n, arm in router.resets)
    return {"false_resets": len(false), "degradation_caught": float(caught)}


def _in_use(found: World, served: Sequence[str]) -> float:
    """Share of the last 1,000 decisions before the fall that the arm had which fell: with none of it nothing is lost,
    and nothing can be noticed."""
    fallen = found.changes[0]
    return fmean(arm == found.degraded for arm in served[max(0, fallen - _BEFORE) : fallen])


def _first(flags: Sequence[bool], holds: Callable[[Sequence[bool]], bool]) -> int:
    for first in range(max(0, len(flags) - _WIDTH) + 1):
        if holds(flags[first : first + _WIDTH]):
            return first
    return len(flags)


def routers(found: World, seed: int, names: Sequence[str], period: int) -> list[Router]:
    """Ours first."""
    catalog, arms = found.catalog, tuple(sorted(found.catalog.models))
    prices = {arm: (3 * m.price_in + m.price_out) * 0.1 for arm, m in catalog.models.items()}
    common = (arms, (*TASKS, "other"), VALUE_NANODOLLARS, prices, seed)
    ours: list[Router] = [kind(value_policy, catalog, seed, period) for kind in (EngineRouter, InverseGapRouter)]
    for kind, policy in (("floor", floor_policy), ("proven", proven_policy)):
        ours.append(EngineRouter(policy, catalog, seed, period))
        ours[-1].name = f"pointsman, {kind}"
    first = found.calls[: found.changes[0]]
    table = max(found.calls[0].arms, key=lambda arm: fmean(found.utility(call.number, arm) for call in first))
    ours += [Always(*common, arm=table, name="best static arm at start"), Random(*common)]
    ours += [LEARNERS[name](*common) for name in names]
    return ours


def main() -> None:
    options = _options()
    names = {"all": tuple(LEARNERS), "none": ()}.get(options.rivals, tuple(options.rivals.split(",")))
    rows: dict[str, list[dict[str, float]]] = {}
    for seed in range(options.first_seed, options.first_seed + options.seeds):
        for name, row in one_seed(seed, options.length, names, options.snapshot_seconds).items():
            rows.setdefault(name, []).append(row)
        print(
            json.dumps({"seed": seed, **{name: found[-1] for name, found in rows.items()}}), file=sys.stderr, flush=True
        )
    print("\n".join(table(rows)))


def one_seed(seed: int, length: int, names: Sequence[str], period: int) -> dict[str, dict[str, float]]:
    """The figures of every router in one world, and of ours where two arms exchange their quality."""
    found = world(seed, length)
    rows = {
        router.name: measured(found, play(router, found.calls, found.answer, seed), router)
        for router in routers(found, seed, names, period)
    }
    flipped = flip_world(seed)
    for kind in (EngineRouter, InverseGapRouter):
        router = kind(value_policy, flipped.catalog, seed, period)
        served = play(router, flipped.calls, flipped.answer, seed)
        tail = range(len(served) * 3 // 4, len(served))
        rows[router.name]["flip_best_share_pct"] = 100 * fmean(served[n] == flipped.best(n) for n in tail)
    return rows


def table(rows: dict[str, list[dict[str, float]]]) -> list[str]:
    """One line a router: net utility in percent of the oracle's, how far ours is ahead (paired), and the rest."""
    lines = []
    for name, found in rows.items():
        utility = mean_interval([row["net_utility_pct"] for row in found])
        pairs = zip(rows["pointsman"], found, strict=True)
        ahead = mean_interval([ours["net_utility_pct"] - other["net_utility_pct"] for ours, other in pairs])
        line = f"{name:26s} {utility['mean']:6.2f} [{utility['low']:.2f}, {utility['high']:.2f}]"
        line += f"  ours ahead {ahead['mean']:+.2f} [{ahead['low']:+.2f}, {ahead['high']:+.2f}]"
        line += f"  under floor {fmean(row['under_floor_pct'] for row in found):5.1f}"
        line += f"  eviction {median([row['eviction'] for row in found]):5.0f}"
        line += f"  adoption {median([row['adoption'] for row in found]):5.0f}"
        line += f"  within 2 points of the best, last 1,500: {fmean(row['best_share_pct'] for row in found):5.1f}"
        if used := [row for row in found if row.get("in_use", 0) >= _USED]:
            caught = fmean(row["degradation_caught"] for row in used)
            line += f"  degradation caught where in use {caught:.3f} of {len(used)}"
        for key in ("degradation_caught", "false_resets", "explored_share", "flip_best_share_pct"):
            if key in found[0]:
                line += f"  {key.replace('_', ' ')} {fmean(row[key] for row in found):.3f}"
        lines.append(line)
    return lines


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--length", type=int, default=15_000)
    parser.add_argument("--rivals", default="all")
    parser.add_argument("--snapshot-seconds", type=int, default=SNAPSHOT_SECONDS)
    return parser.parse_args()


if __name__ == "__main__":
    main()
