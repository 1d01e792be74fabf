"""Routers on line over published outcomes, learning included.

    python bench/learning/outcomes.py FILE.parquet --strong MODEL [--models A,B,...] [--passes N]
        [--policy FILE.policy] [--scenario plain|flip|join|onetask] [--strong-weight 0.1]
        [--rivals all|none|A,B] [--snapshot-seconds 15] --seeds K --format json|table

Net utility = quality - cost / V, V such that the strong model's mean cost weighs `--strong-weight`. The last line of
the output is one JSON object. Feedback is late: latency of the call, reporting delay, and snapshots as deployed.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from statistics import fmean

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(Path(__file__).parent)]

from peers import under_bench_venv

under_bench_venv(ROOT)

import recorded as replayed
from engine_router import SNAPSHOT_SECONDS, EngineRouter
from intervals import mean_interval, median
from online import Call, Outcome, Router, play
from recorded import Recorded
from rivals import LEARNERS, Always, Random

from policy_lang.ir import And, Explore, PickTerm, Policy, Route, Tier

_WINDOW = 1_000
#: Without `--passes` the file is gone through until so many decisions are made.
_LEAST_CALLS = 5_000


@dataclass(frozen=True)
class Trial:
    """One seed of one scenario: calls, the answers that hold at each, and what a success is worth."""

    recorded: Recorded
    calls: Sequence[Call]
    answers: Sequence[Mapping[str, Outcome]]
    value_nanodollars: float
    strong: str
    changed: str | None
    change_at: int | None

    def utility(self, number: int, model: str) -> float:
        found = self.answers[number][model]
        return found.quality - found.cost_nanodollars / self.value_nanodollars

    def mean_utility(self, served: Sequence[str], first: int = 0) -> float:
        return fmean(self.utility(number, served[number]) for number in range(first, len(served)))


def scenario(
    recorded: Recorded, name: str, strong: str, weight: float, passes: int, seed: int, worst: Sequence[str]
) -> Trial:
    """plain: as recorded. flip: half-way the best arm's columns become the worst's. join: it joins at 60 %."""
    calls, queries = replayed.calls(recorded, passes, seed)
    answers = [recorded.outcomes[query] for query in queries]
    value = recorded.mean_cost(strong) / weight
    whole = Trial(recorded, calls, answers, value, strong, None, None)
    if name in ("plain", "onetask"):
        return whole
    best = max(recorded.models, key=lambda model: recorded.net_utility(model, value))
    if name == "flip":
        at = len(calls) // 2
        sunk = next(model for model in worst if model != best)
        flipped = [*answers[:at], *({**row, best: row[sunk]} for row in answers[at:])]
        return replace(whole, answers=flipped, changed=best, change_at=at)
    at = len(calls) * 6 // 10
    without = tuple(model for model in recorded.models if model != best)
    early = [replace(call, arms=without) for call in calls[:at]]
    return replace(whole, calls=[*early, *calls[at:]], changed=best, change_at=at)


def measured(trial: Trial, served: Sequence[str], explored: Sequence[bool] | None) -> dict[str, float]:
    """The figures of one router in one trial, shares as percentages."""
    numbers = range(len(served))
    strong = trial.strong
    found = {
        "quality_pct": 100
        * sum(trial.answers[n][served[n]].quality for n in numbers)
        / sum(trial.answers[n][strong].quality for n in numbers),
        "cost_pct": 100
        * sum(trial.answers[n][served[n]].cost_nanodollars for n in numbers)
        / sum(trial.answers[n][strong].cost_nanodollars for n in numbers),
    }
    arms = static_arms(trial)
    utility, best = trial.mean_utility(served), max(arms.values())
    random = fmean(fmean(trial.utility(n, m) for m in trial.calls[n].arms) for n in numbers)
    found |= {
        "net_utility": utility,
        "best_static_net_utility": best,
        "net_utility_pct": 100 * utility / best,
        "above_random_pct": 100 * (utility - random) / (best - random) if best > random else 0.0,
        "last_1000_pct": 100 * _last(trial, served),
        "strong_share_pct": 100 * sum(m == strong for m in served) / len(served),
    }
    if explored is not None:
        found["explored_share"] = sum(explored) / len(explored)
    if trial.change_at is not None:
        found |= after_change(trial, served)
    return found


def static_arms(trial: Trial) -> dict[str, float]:
    """Mean net utility of each static arm that may serve throughout; an arm that joins is not one."""
    whole = trial.calls[0].arms
    return {m: fmean(trial.utility(n, m) for n in range(len(trial.calls))) for m in whole}


def _last(trial: Trial, served: Sequence[str]) -> float:
    first = max(0, len(served) - _WINDOW)
    arms = trial.calls[-1].arms
    best = max(fmean(trial.utility(n, m) for n in range(first, len(served))) for m in arms)
    return trial.mean_utility(served, first) / best


def after_change(trial: Trial, served: Sequence[str]) -> dict[str, float]:
    """Decisions until the changed arm serves under a tenth (flip) or over half of its best tasks (join), of 200."""
    at, arm = trial.change_at, trial.changed
    assert at is not None
    assert arm is not None
    if trial.calls[0].arms == trial.calls[-1].arms:
        return {"eviction_decisions": _first(served[at:], lambda window: window.count(arm) <= 10, 100)}
    best_in = _tasks_where_best(trial, arm)
    mine = [n for n in range(at, len(served)) if trial.calls[n].envelope.task_type in best_in]
    reached = _first([served[n] for n in mine], lambda window: 2 * window.count(arm) >= len(window), 50)
    tail = [n for n in mine if at + 1_500 <= n < at + 2_000]
    by_task: dict[str, list[bool]] = {}
    for n in tail:
        by_task.setdefault(trial.calls[n].envelope.task_type, []).append(served[n] == arm)
    won = fmean(2 * sum(hits) > len(hits) for hits in by_task.values()) if by_task else 0.0
    adopted = mine[int(reached)] if reached < len(mine) else len(served)
    return {"adoption_decisions": adopted - at, "adopted_shapes_pct": 100 * won}


def _tasks_where_best(trial: Trial, arm: str) -> set[str]:
    sums: dict[str, dict[str, float]] = {}
    for n in range(len(trial.calls)):
        task = sums.setdefault(trial.calls[n].envelope.task_type, {})
        for model in trial.recorded.models:
            task[model] = task.get(model, 0.0) + trial.utility(n, model)
    return {task for task, found in sums.items() if max(found, key=found.__getitem__) == arm}


def _first(served: Sequence[str], holds: Callable[[Sequence[str]], bool], width: int) -> float:
    """Decisions until a window of `width` first satisfies `holds`, counted to its start; all of them if none does."""
    for first in range(len(served) - width + 1):
        if holds(served[first : first + width]):
            return first
    return len(served)


def default_policy(recorded: Recorded, strong: str, value: float) -> Callable[[tuple[str, ...]], Policy]:
    """Written in advance: serve the best value, explore 5 %, 30 % while unproven."""

    def policy(models: tuple[str, ...]) -> Policy:
        arms = tuple(recorded.arms[model] for model in models)
        pick = (PickTerm("best_value", value_nanodollars=round(value)),)
        route = Route("general", And(()), ("all",), pick, explore=Explore(50_000, 300_000))
        tasks = tuple(sorted({*recorded.tasks, "other"}))
        tier = (Tier("all", arms),)
        return Policy("bench/outcomes", tasks, tier, (), (), route, (recorded.arms[strong],), recorded.arms[strong])

    return policy


class Pointsman(EngineRouter):
    """The engine under the file's model names instead of arm ids."""

    def __init__(
        self,
        trial: Trial,
        seed: int,
        policy: Callable[[tuple[str, ...]], Policy],
        snapshot_seconds: int = SNAPSHOT_SECONDS,
    ) -> None:
        super().__init__(policy, trial.recorded.catalog, seed, snapshot_seconds)
        self._arm = trial.recorded.arms
        self._model = {arm: model for model, arm in self._arm.items()}

    def choose(self, call: Call) -> str:
        return self._model[super().choose(call)]

    def learn(self, call: Call, arm: str, outcome: Outcome) -> None:
        super().learn(call, self._arm[arm], outcome)


def run(trial: Trial, router: Router, seed: int) -> dict[str, float]:
    served = play(router, trial.calls, lambda call, model: trial.answers[call.number][model], seed)
    found = measured(trial, served, getattr(router, "explored", None))
    if isinstance(router, EngineRouter):
        found["resets"] = len(router.resets)
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    options = _options(arguments)
    recorded, worst = world_of(options)
    passes = options.passes or -(-_LEAST_CALLS // len(recorded.envelopes))
    rows: dict[str, list[dict[str, float]]] = {}
    for seed in range(options.first_seed, options.first_seed + options.seeds):
        trial = scenario(recorded, options.scenario, options.strong, options.strong_weight, passes, seed, worst)
        for name, found in one_seed(trial, options, seed).items():
            rows.setdefault(name, []).append(found)
        print(f"seed {seed}: net utility {rows['pointsman'][-1]['net_utility_pct']:.1f} %", file=sys.stderr, flush=True)
    report = reported(rows, recorded, options, passes)
    if options.format == "table":
        print(_table(rows))
    print(json.dumps(report))


def world_of(options: argparse.Namespace) -> tuple[Recorded, Sequence[str]]:
    """The file as asked for, and its two worst models, one of which the flip takes; what cannot be measured is told."""
    chosen = options.models.split(",") if options.models else None
    recorded = replayed.load(options.file, chosen, structure=options.scenario != "onetask")
    strong = options.strong
    if strong not in recorded.models:
        raise SystemExit(f"`{strong}` is not among the models: {', '.join(recorded.models)}")
    if len(recorded.models) < 2:
        raise SystemExit("a router chooses among at least two models")
    if recorded.mean_cost(strong) <= 0:
        raise SystemExit(f"`{strong}` costs nothing in {options.file.name}, so no V can be set by its cost")
    value = recorded.mean_cost(strong) / options.strong_weight
    if recorded.mean_quality(strong) == 0 or max(recorded.net_utility(m, value) for m in recorded.models) <= 0:
        raise SystemExit(
            f"at --strong-weight {options.strong_weight:g} no model is worth its cost, or `{strong}` is never right: "
            "shares of it say nothing; a lower weight makes a success worth more"
        )
    if options.scenario != "flip":
        return recorded, ()
    everything = replayed.load(options.file)
    worst = sorted(everything.models, key=everything.mean_quality)[:2]
    hidden = [model for model in worst if model not in recorded.models]
    return _with_hidden(options.file, recorded, hidden) if hidden else recorded, worst


def one_seed(trial: Trial, options: argparse.Namespace, seed: int) -> dict[str, dict[str, float]]:
    """Ours, the static baselines in hindsight, and the rivals, on the same calls and answers."""
    recorded = trial.recorded
    policy = default_policy(recorded, options.strong, trial.value_nanodollars)
    if options.policy:
        policy = written_policy(options.policy, recorded)
    rows = {"pointsman": run(trial, Pointsman(trial, seed, policy, options.snapshot_seconds), seed)}
    prices = {model: replayed.list_price(recorded, model) for model in recorded.models}
    common = (recorded.models, recorded.tasks, trial.value_nanodollars, prices, seed)
    always = {"all_strong": options.strong, "all_cheap": min(prices, key=prices.__getitem__)}
    always["best_static"] = max(static := static_arms(trial), key=static.__getitem__)
    for name, arm in always.items():
        rows[name] = run(trial, Always(*common, arm=arm, name=name), seed)
    rows["best_task_table"] = measured(trial, task_table(trial), None)
    rows["random"] = run(trial, Random(*common), seed)
    for name in wanted(options.rivals):
        rows[name] = run(trial, LEARNERS[name](*common), seed)
    return rows


def wanted(rivals: str) -> tuple[str, ...]:
    """Names of the learning rivals; those whose package is missing are left out of `all`."""
    if rivals == "none":
        return ()
    if rivals != "all":
        names = tuple(rivals.split(","))
        if unknown := [name for name in names if name not in LEARNERS]:
            raise SystemExit(f"no rival `{unknown[0]}`; there are {', '.join(LEARNERS)}, all, none")
        return names
    return tuple(
        name
        for name in LEARNERS
        if find_spec(name.partition("_")[0].replace("vw", "vowpalwabbit")) or not name.startswith(("vw", "mabwiser"))
    )


def task_table(trial: Trial) -> list[str]:
    """The best arm of each task over the whole run, known in hindsight."""
    sums: dict[str, dict[str, float]] = {}
    for call in trial.calls:
        task = sums.setdefault(call.envelope.task_type, {})
        for model in trial.calls[0].arms:
            task[model] = task.get(model, 0.0) + trial.utility(call.number, model)
    best = {task: max(found, key=found.__getitem__) for task, found in sums.items()}
    return [best[call.envelope.task_type] for call in trial.calls]


def written_policy(path: Path, recorded: Recorded) -> Callable[[tuple[str, ...]], Policy]:
    """A policy file over the file's models; an arm that has not joined yet is left out of its tiers."""
    from policy_lang.compiler import compile_policy

    compiled = compile_policy(path.read_bytes(), recorded.catalog, str(path))
    if compiled.policy is None:
        raise SystemExit(compiled.render())
    whole = compiled.policy

    def policy(models: tuple[str, ...]) -> Policy:
        arms = {recorded.arms[model] for model in models}
        tiers = tuple(replace(t, arms=kept) for t in whole.tiers if (kept := tuple(a for a in t.arms if a in arms)))
        return replace(whole, tiers=tiers)

    return policy


def reported(
    rows: dict[str, list[dict[str, float]]], recorded: Recorded, options: argparse.Namespace, passes: int
) -> dict[str, object]:
    """The JSON of a run: ours at the top, a row per baseline and rival, each figure with its interval."""
    figures: dict[str, dict[str, object]] = {
        name: {key: mean_interval([r[key] for r in found]) for key in found[0]} for name, found in rows.items()
    }
    ahead = {
        name: mean_interval(
            [a["net_utility_pct"] - b["net_utility_pct"] for a, b in zip(rows["pointsman"], found, strict=True)]
        )
        for name, found in rows.items()
    }
    ours = figures.pop("pointsman")
    for key in ("eviction_decisions", "adoption_decisions"):
        if key in ours:
            ours[f"{key}_median"] = median([row[key] for row in rows["pointsman"]])
    value = recorded.mean_cost(options.strong) / options.strong_weight
    return {
        "file": options.file.name,
        "scenario": options.scenario,
        "strong": options.strong,
        "strong_weight": options.strong_weight,
        "value_dollars_per_success": round(value / 1e9, 8),
        "models": len(recorded.models),
        "decisions": passes * len(recorded.envelopes),
        "seeds": options.seeds,
        "snapshot_seconds": options.snapshot_seconds,
        **ours,
        "rivals": {name: {**found, "ours_ahead_pct": ahead[name]} for name, found in figures.items()},
    }


def _table(rows: dict[str, list[dict[str, float]]]) -> str:
    lines = [
        f"{'router':24s} {'net utility':>11s} {'% of best':>9s} {'quality %':>9s} {'cost %':>8s} {'last 1000 %':>11s}"
    ]
    for name, found in rows.items():
        mean = {key: fmean(row[key] for row in found) for key in found[0]}
        lines.append(
            f"{name:24s} {mean['net_utility']:11.4f} {mean['net_utility_pct']:9.2f} {mean['quality_pct']:9.2f}"
            f" {mean['cost_pct']:8.2f} {mean['last_1000_pct']:11.2f}"
        )
    return "\n".join(lines)


def _with_hidden(path: Path, recorded: Recorded, models: Sequence[str]) -> Recorded:
    """`recorded` with the answers of more models, which no router may choose."""
    more = replayed.load(path, [*recorded.models, *models])
    return replace(recorded, envelopes=more.envelopes, outcomes=more.outcomes)


def _count(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"`{text}` is not a whole number from 1")
    return int(text)


def _weight(text: str) -> float:
    try:
        found = float(text)
    except ValueError:
        found = 0.0
    if not 0 < found < 10:
        raise argparse.ArgumentTypeError(f"`{text}` is not a share of a success above 0, such as 0.165")
    return found


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    parser.add_argument("--strong", required=True)
    parser.add_argument("--models")
    parser.add_argument("--passes", type=_count)
    parser.add_argument("--policy", type=Path)
    parser.add_argument("--scenario", default="plain", choices=("plain", "flip", "join", "onetask"))
    parser.add_argument("--strong-weight", type=_weight, default=0.1)
    parser.add_argument("--rivals", default="all")
    parser.add_argument("--snapshot-seconds", type=_count, default=SNAPSHOT_SECONDS)
    parser.add_argument("--seeds", type=_count, default=10)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--format", choices=("json", "table"), default="table")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
