"""Off-policy estimates beside the truth: what a log of our own decisions says other policies would have been worth.

    python bench/learning/offpolicy.py [FILE.parquet --strong MODEL --models A,B,...] [--seeds 10]
        [--explore 5,30] [--strong-weight 0.165]

The engine serves a published set, learning included; each receipt, read back from its sealed line, is a log entry. As
every model's answer to every query is known, so is the worth of any other policy on the same decisions. Net utility,
quality - cost / V. A row a target: truth, three estimates, effective outcomes; refused runs are counted, not averaged.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import fmean

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(Path(__file__).parent)]

from peers import under_bench_venv

under_bench_venv(ROOT)

import recorded as replayed
from online import Call, play
from outcomes import Pointsman, Trial, default_policy, scenario, task_table
from recorded import Recorded

from policy_engine.evaluation import Evaluation, Logged, evaluated, logged
from policy_engine.receipt import open_sealed, receipt_body, seal
from policy_engine.wire import RouteRequest
from policy_lang.ir import PPM, Explore, Policy

DATA = ROOT.parent / "shared/data/replay"
BFCL = (
    "gemini-1.5-flash-preview-0514,gpt-4o-mini-2024-07-18,claude-3-haiku-20240307,gpt-3.5-turbo-0125,claude-instant-1.2,"
    "gpt-4o-2024-05-13,claude-3-5-sonnet-20240620,gpt-4-turbo-2024-04-09,gpt-4-0613,claude-3-opus-20240229"
)
_LEAST_CALLS = 5_000
_WITHIN = 0.03

#: Propensities by call number and model name.
Target = Callable[[int], Mapping[str, int]]


class Logging(Pointsman):
    """The engine, keeping the sealed receipt of every decision."""

    def __init__(self, trial: Trial, seed: int, policy: Callable[[tuple[str, ...]], Policy]) -> None:
        super().__init__(trial, seed, policy)
        self.lines: list[str] = []

    def choose(self, call: Call) -> str:
        model = super().choose(call)
        decision, snapshot = self._pending[call.number]
        request = RouteRequest(call.envelope, policy="bench")
        self.lines.append(seal(receipt_body(request, decision, snapshot)))
        return model


def main() -> None:
    options = _options()
    recorded = replayed.load(options.file, options.models.split(",") if options.models else None)
    passes = -(-_LEAST_CALLS // len(recorded.envelopes))
    rates = [int(rate) * 10_000 for rate in options.explore.split(",")]
    found: dict[str, list[tuple[float, Evaluation | None]]] = {}
    for seed in range(options.first_seed, options.first_seed + options.seeds):
        trial = scenario(recorded, "plain", options.strong, options.strong_weight, passes, seed, ())
        log = entries(trial, seed, explored_at(trial, rates))
        for name, target in targets(trial).items():
            odds = [{recorded.arms[model]: share for model, share in target(n).items()} for n in range(len(log))]
            result = evaluated(zip(log, odds, strict=True))
            truth = fmean(worth(trial, n, target(n)) for n in range(len(log)))
            found.setdefault(name, []).append((truth, result if isinstance(result, Evaluation) else None))
    print("\n".join(table(found)))


def explored_at(trial: Trial, rates: Sequence[int]) -> Callable[[tuple[str, ...]], Policy]:
    """The default policy with other exploration rates: usual, and while unproven."""
    written = default_policy(trial.recorded, trial.strong, trial.value_nanodollars)

    def policy(models: tuple[str, ...]) -> Policy:
        whole = written(models)
        return replace(whole, default=replace(whole.default, explore=Explore(rates[0], rates[-1])))

    return policy


def entries(trial: Trial, seed: int, policy: Callable[[tuple[str, ...]], Policy]) -> list[Logged]:
    router = Logging(trial, seed, policy)
    served = play(router, trial.calls, lambda call, model: trial.answers[call.number][model], seed)
    log = []
    for number, line in enumerate(router.lines):
        came = trial.answers[number][served[number]]
        entry = logged(
            open_sealed(line),
            round(came.quality * PPM),
            came.cost_nanodollars,
            lambda quality, cost: quality / PPM - cost / trial.value_nanodollars,
        )
        assert entry is not None
        log.append(entry)
    return log


def targets(trial: Trial) -> dict[str, Target]:
    """Other policies: every static arm, a coin between two, the best table in hindsight, uniform."""
    recorded: Recorded = trial.recorded
    table = task_table(trial)
    even, rest = divmod(PPM, len(recorded.models))
    uniform = {model: even + (rest if place == 0 else 0) for place, model in enumerate(recorded.models)}
    best = max(recorded.models, key=lambda m: fmean(trial.utility(n, m) for n in range(len(trial.calls))))
    coin = {best: PPM // 2, trial.strong: PPM // 2} if best != trial.strong else {best: PPM}
    soft = {model: uniform[model] // 5 for model in recorded.models}
    soft[best] += PPM - sum(soft.values())
    static: dict[str, Target] = {f"always {model}": lambda _, m=model: {m: PPM} for model in recorded.models}  # type: ignore[misc]
    return static | {
        "table by task, hindsight": lambda n: {table[n]: PPM},
        "best or strong, a coin": lambda _: coin,
        "best, one in five at random": lambda _: soft,
        "uniform": lambda _: uniform,
    }


def worth(trial: Trial, number: int, odds: Mapping[str, int]) -> float:
    """Expected net utility of one decision under a target."""
    return sum(share * trial.utility(number, model) for model, share in odds.items()) / PPM


def table(found: Mapping[str, Sequence[tuple[float, Evaluation | None]]]) -> list[str]:
    """Per target the mean absolute error of each estimate over the seeds that were not refused; then over all."""
    lines = [
        f"{'target':42s} {'truth':>7s} {'ESS':>6s} {'refused':>7s} {'IPS':>6s} {'SNIPS':>6s} {'DR':>6s} {'in 95 %':>7s}"
    ]
    every: list[tuple[float, Evaluation]] = []
    for name, runs in found.items():
        told = [(truth, result) for truth, result in runs if result is not None]
        every += told
        line = f"{name[:42]:42s} {fmean(truth for truth, _ in runs):7.3f}"
        lines.append(line + _figures(told, len(runs)))
    lines.append(f"{'all that were not refused':42s} {'':7s}" + _figures(every, sum(map(len, found.values()))))
    within = [fmean(abs(error) <= _WITHIN for error in errors) for errors in zip(*map(_errors, every), strict=True)]
    names = ("ips", "snips", "dr")
    report = {f"{name}_within_0.03_pct": round(100 * share, 1) for name, share in zip(names, within, strict=True)}
    return [*lines, json.dumps({"estimates": len(every), **report})]


def _figures(told: Sequence[tuple[float, Evaluation]], runs: int) -> str:
    if not told:
        return f" {'':6s} {runs:3d}/{runs:<3d}"
    errors = [fmean(map(abs, column)) for column in zip(*map(_errors, told), strict=True)]
    covered = fmean(result.doubly_robust.low <= truth <= result.doubly_robust.high for truth, result in told)
    effective = fmean(result.effective for _, result in told)
    line = f" {effective:6.0f} {runs - len(told):3d}/{runs:<3d}"
    return line + "".join(f" {error:6.3f}" for error in errors) + f" {100 * covered:7.0f}"


def _errors(run: tuple[float, Evaluation]) -> tuple[float, float, float]:
    truth, result = run
    figures = (result.inverse_propensity, result.self_normalised, result.doubly_robust)
    ips, snips, robust = (figure.mean - truth for figure in figures)
    return ips, snips, robust


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", nargs="?", type=Path, default=DATA / "bfcl_2024_08.parquet")
    parser.add_argument("--strong", default="claude-3-5-sonnet-20240620")
    parser.add_argument("--models", default=BFCL)
    parser.add_argument("--strong-weight", type=float, default=0.165)
    parser.add_argument("--explore", default="5,30", help="per cent of decisions, and while unproven")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--first-seed", type=int, default=0)
    return parser.parse_args()


if __name__ == "__main__":
    main()
