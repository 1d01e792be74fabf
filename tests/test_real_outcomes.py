"""The benchmark of `bench/real_outcomes.py` in small: on a made file always, on the published one where it is there."""

from __future__ import annotations

import importlib.util
import random
from pathlib import Path

import pyarrow
import pytest
from pyarrow import parquet

ROOT = Path(__file__).resolve().parents[1]
_spec = importlib.util.spec_from_file_location("real_outcomes", ROOT / "bench" / "real_outcomes.py")
bench = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(bench)

# Success rate by task, dollars per million tokens in and out.
MADE = {
    "strong": ({"simple": 0.95, "parallel": 0.9, "java": 0.8}, 3.0, 15.0),
    "small": ({"simple": 0.93, "parallel": 0.85, "java": 0.75}, 0.15, 0.6),
    "weak": ({"simple": 0.7, "parallel": 0.4, "java": 0.5}, 0.1, 0.4),
    "dear": ({"simple": 0.94, "parallel": 0.92, "java": 0.8}, 15.0, 75.0),
}


@pytest.fixture
def made(tmp_path):
    chance = random.Random(7)
    rows = []
    for number in range(200):
        task, tokens = chance.choice(["simple", "parallel", "java"]), chance.randrange(150, 900)
        for model, (rates, price_in, price_out) in MADE.items():
            answer = chance.randrange(15, 60)
            cost = (tokens * price_in + answer * price_out) / 1e6
            rows.append(
                {
                    "query_id": f"{task}_{number}", "task": task, "prompt_tokens": tokens, "model": model,
                    "correct": float(chance.random() < rates[task]), "input_tokens": tokens, "output_tokens": answer,
                    "cost_usd": cost, "n_tools": 1 + number % 3, "latency_s": -1.0,
                }
            )  # fmt: skip
    path = tmp_path / "made.parquet"
    parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    return path, ",".join(MADE)


@pytest.mark.parametrize("source", ["made", *(["published"] if bench.FILE.exists() else [])])
def test_learning_pays_and_the_accounts_balance(source, made):
    summary = bench.measured(*(made if source == "made" else (bench.FILE, bench.MODELS)), 300, seed=1)
    assert summary["problems"] == []
    assert summary["decisions"] == summary["receipts"] == summary["replayed_equal"] == 300
    assert summary["telemetry_accepted"] == summary["telemetry_applied"] + summary["telemetry_duplicates"]
    assert sum(summary["outcomes_by_arm"].values()) == summary["telemetry_applied"]
    assert summary["share_of_best_static"] > 0.8
    assert summary["net_utility"] > summary["random"]["net_utility"]
