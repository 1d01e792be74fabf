"""BFCL through the whole system, five seeds: `python bench/real_outcomes.py [FILE]`.

Each seed is one `pointsman demo --outcomes` in a process of its own: HTTP, queues, tables, snapshots, replay. Prints
one row a seed and the means; exits with 1 when an account does not balance or a figure misses its target.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
FILE = ROOT.parent / "shared" / "data" / "replay" / "bfcl_2024_08.parquet"
MODELS = (
    "gemini-1.5-flash-preview-0514,gpt-4o-mini-2024-07-18,claude-3-haiku-20240307,gpt-3.5-turbo-0125,"
    "claude-instant-1.2,gpt-4o-2024-05-13,claude-3-5-sonnet-20240620,gpt-4-turbo-2024-04-09,gpt-4-0613,"
    "claude-3-opus-20240229"
)
TARGET_SHARE, TARGET_OUTCOMES = 0.95, 10
COLUMNS = (
    ("seed", 4), ("seconds", 8), ("receipts", 9), ("replayed", 9), ("accepted", 9), ("applied", 8), ("explored", 16),
    ("fewest", 7), ("net, last 1,000", 16), ("best static", 12), ("share", 8), ("share, all", 11),
)  # fmt: skip


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("file", nargs="?", type=Path, default=FILE)
    options.add_argument("--models", default=MODELS)
    options.add_argument("--decisions", type=int, default=3_000)
    options.add_argument("--seeds", type=int, nargs="*", default=[1, 2, 3, 4, 5])
    asked = options.parse_args()
    if not asked.file.exists():
        print(f"not run: {asked.file} does not exist")
        return 2
    print(" ".join(name.rjust(width) for name, width in COLUMNS))
    summaries = [measured(asked.file, asked.models, asked.decisions, seed) for seed in asked.seeds]
    return 0 if judged(summaries) else 1


def measured(file: Path, models: str, decisions: int, seed: int) -> dict[str, Any]:
    """The summary object of one run, with its row printed."""
    command = [sys.executable, "-m", "policy_cli.main", "demo", "--outcomes", str(file), "--models", models]
    command += ["--decisions", str(decisions), "--seed", str(seed), "--format", "json"]
    started = time.monotonic()
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if not run.stdout:
        raise SystemExit(run.stderr)
    summary: dict[str, Any] = json.loads(run.stdout.splitlines()[-1])
    recent = summary["last_1000"]
    explored = f"{summary['explored_first_tenth']:.1%} -> {summary['explored_last_tenth']:.1%}"
    cells = (
        seed, f"{time.monotonic() - started:.1f}", summary["receipts"], summary["replayed_equal"],
        summary["telemetry_accepted"], summary["telemetry_applied"], explored, fewest_outcomes(summary),
        f"{recent['net_utility']:.4f}", f"{recent['best_static']['net_utility']:.4f}",
        f"{recent['share_of_best_static']:.1%}", f"{summary['share_of_best_static']:.1%}",
    )  # fmt: skip
    print(" ".join(str(cell).rjust(width) for cell, (_, width) in zip(cells, COLUMNS, strict=True)), flush=True)
    return summary


def judged(summaries: list[dict[str, Any]]) -> bool:
    recent = [summary["last_1000"]["share_of_best_static"] for summary in summaries]
    whole = [summary["share_of_best_static"] for summary in summaries]
    spread = f" +- {statistics.stdev(recent):.1%}" if len(recent) > 1 else ""
    share, fewest = statistics.mean(recent), min(map(fewest_outcomes, summaries))
    problems = [problem for summary in summaries for problem in summary["problems"]]
    overall = statistics.mean(whole)
    print(f"\nmean over {len(summaries)} seeds, against the best single model on the same decisions:")
    print(f"  net utility, last 1,000  {share:.1%}{spread} (target {TARGET_SHARE:.0%})")
    print(f"  net utility, all         {overall:.1%}")
    print(f"fewest outcomes of a model: {fewest} (target {TARGET_OUTCOMES})")
    print(f"accounts that do not balance: {len(problems)}")
    print("\n".join(problems))
    return share >= TARGET_SHARE and fewest >= TARGET_OUTCOMES and not problems


def fewest_outcomes(summary: dict[str, Any]) -> int:
    by_arm: dict[str, int] = summary["outcomes_by_arm"]
    return min(by_arm.get(arm, 0) for arm in summary["singles"])


if __name__ == "__main__":
    sys.exit(main())
