"""`bench/learning/outcomes.py` on files nobody has seen: what it makes of them, and what it says of bad ones."""

from __future__ import annotations

import json
import math
import random
import subprocess
import sys
from pathlib import Path

import pyarrow
import pytest
from pyarrow import parquet

SCRIPT = Path(__file__).resolve().parents[1] / "bench/learning/outcomes.py"


ABSENT = object()


def answers(queries=60, models=("big", "small"), *, tasks=("a", "b"), seed=1, **columns):
    """Rows of made models, each dearer and better than the next; `columns`: values or functions of the row."""
    chance = random.Random(seed)
    rows = []
    for number in range(queries):
        for place, model in enumerate(models):
            row = {
                "dataset": "made", "query_id": f"q{number}", "task": tasks[number % len(tasks)], "model": model,
                "correct": float(chance.random() < 0.9 - 0.3 * place / len(models)), "cost_usd": 0.01 / 3**place,
                "prompt_tokens": 100 + number, "input_tokens": 200, "output_tokens": 20,
            }  # fmt: skip
            row |= {name: make(row) if callable(make) else make for name, make in columns.items()}
            rows.append({name: value for name, value in row.items() if value is not ABSENT})
    return rows


def bench(tmp_path, rows, *arguments, strong="big", rivals="thompson_cell,litellm_adaptive"):
    path = tmp_path / "made.parquet"
    parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    command = [sys.executable, str(SCRIPT), str(path), "--strong", strong, "--format", "json", "--rivals", rivals]
    command += ["--strong-weight", "0.165", "--seeds", "2", "--passes", "2", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


FORTY = tuple(f"Lab {place}/model {place}" for place in range(40))
UNUSUAL = {
    "as stated": answers(),
    "only the four columns that are needed": answers(
        dataset=ABSENT, task=ABSENT, prompt_tokens=ABSENT, input_tokens=ABSENT, output_tokens=ABSENT
    ),
    "one query": answers(1, correct=1.0),
    "qualities between 0 and 1": answers(correct=lambda row: 0.25 + 0.5 * (row["model"] == "big")),
    "outcomes as truth values, ids as numbers": answers(
        correct=lambda row: row["model"] == "big", query_id=lambda row: int(row["query_id"][1:])
    ),
    "no outcome here and there": answers(
        correct=lambda row: math.nan if row["query_id"] == "q3" and row["model"] == "small" else 1.0
    ),
    "nulls in what is optional": answers(task=None, prompt_tokens=None, input_tokens=math.nan),
    "one task, no lengths": answers(tasks=("only",), prompt_tokens=-1),
    "three hundred tasks": answers(300, tasks=tuple(f"Task {number}!" for number in range(300))),
    "a model that costs nothing": answers(cost_usd=lambda row: 0.01 * (row["model"] == "big")),
    "the cheap model is best everywhere": answers(correct=lambda row: 0.4 + 0.5 * (row["model"] == "small")),
    "the strong model is best everywhere": answers(correct=lambda row: float(row["model"] == "big")),
}  # fmt: skip


@pytest.mark.parametrize("rows", UNUSUAL.values(), ids=UNUSUAL)
def test_any_file_of_the_form_is_measured(tmp_path, rows):
    run = bench(tmp_path, rows)
    assert run.returncode == 0, run.stderr
    report = json.loads(run.stdout.splitlines()[-1])
    for name in ("quality_pct", "cost_pct", "net_utility_pct", "explored_share"):
        assert report[name]["low"] <= report[name]["mean"] <= report[name]["high"]
    assert {"all_strong", "best_static", "random", "thompson_cell", "litellm_adaptive"} <= report["rivals"].keys()
    assert report["rivals"]["all_strong"]["quality_pct"]["mean"] == pytest.approx(100)
    assert report["rivals"]["best_static"]["net_utility_pct"]["mean"] == pytest.approx(100)


@pytest.mark.parametrize("scenario", ["flip", "join", "onetask"])
@pytest.mark.parametrize("models", [("big", "small"), ("big", *FORTY)], ids=["two models", "forty-one models"])
def test_every_scenario_plays_with_few_models_and_with_many(tmp_path, scenario, models):
    run = bench(tmp_path, answers(40, models), "--scenario", scenario, "--seeds", "1", rivals="none")
    assert run.returncode == 0, run.stderr
    assert json.loads(run.stdout.splitlines()[-1])["models"] == len(models)


def test_names_that_come_to_the_same_arm_are_two_arms(tmp_path):
    run = bench(tmp_path, answers(models=("lab/m 1", "lab/m-1")), strong="lab/m 1")
    assert run.returncode == 0, run.stderr


BAD = {
    "a column is missing": (answers(cost_usd=ABSENT), (), "no column `cost_usd`; needed are query_id, model, "),
    "no such strong model": (answers(), ("--strong", "huge"), "`huge` is not among the models: big, small"),
    "no such model": (answers(), ("--models", "big,tiny"), "no model `tiny` in made.parquet; it has big, small"),
    "one model": (answers(), ("--models", "big"), "a router chooses among at least two models"),
    "a quality above 1": (answers(correct=7.0), (), "`correct` is 7; a quality lies between 0 and 1"),
    "a negative cost": (answers(cost_usd=-1.0), (), "`cost_usd` is -1; a cost is at least 0"),
    "nothing but gaps": (answers(correct=math.nan), (), "has no row with both an outcome"),
    "no query has all models": (
        [row for row in answers() if (row["query_id"] < "q3") == (row["model"] == "big")],
        (),
        "no query has an outcome and a cost of every model",
    ),
    "a strong model for nothing": (answers(cost_usd=0.0), (), "`big` costs nothing"),
    "a strong model never right": (answers(correct=0.0), (), "`big` is never right"),
    "no seeds": (answers(), ("--seeds", "0"), "`0` is not a whole number from 1"),
    "no weight": (answers(), ("--strong-weight", "0"), "`0` is not a share of a success above 0"),
    "no such rival": (answers(), ("--rivals", "oracle"), "no rival `oracle`; there are vw_squarecb"),
}  # fmt: skip


@pytest.mark.parametrize(("rows", "arguments", "message"), BAD.values(), ids=BAD)
def test_what_cannot_be_measured_is_told_in_one_line(tmp_path, rows, arguments, message):
    run = bench(tmp_path, rows, *arguments)
    assert run.returncode != 0
    assert message in run.stderr
    assert "Traceback" not in run.stderr


def test_a_file_that_is_not_parquet_is_named(tmp_path):
    path = tmp_path / "notes.parquet"
    path.write_text("not a table")
    run = subprocess.run([sys.executable, SCRIPT, path, "--strong", "big"], capture_output=True, text=True, check=False)
    assert run.returncode != 0
    assert "notes.parquet cannot be read as parquet" in run.stderr
    assert "Traceback" not in run.stderr
