"""The demo from end to end: HTTP, queues, tables, buckets, replay; and what it says when the books do not balance."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pyarrow
import pytest
from pyarrow import parquet

ROOT = Path(__file__).resolve().parents[2]
SAMPLE = ROOT / "samples" / "acme" / "support.policy"
OTHER = SAMPLE.parents[1] / "quay/concierge.policy"
DECISION = re.compile(r"[0-9a-f]{32}")


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory):
    """Twelve queries, three models: `dear` always right, `fair` mostly and cheap, `poor` hardly ever and cheaper."""
    rows = [
        {
            "query_id": f"q{n}", "task": ("simple", "java")[n % 2], "prompt_tokens": 200, "model": model,
            "correct": float(right), "input_tokens": 250, "output_tokens": 20 + n, "n_tools": 1, "latency_s": 0.8,
            "cost_usd": (250 * price + (20 + n) * 4 * price) / 1e6,
        }
        for n in range(12)
        for model, right, price in (("dear", True, 20), ("fair", n % 6 != 0, 0.2), ("poor", n % 4 == 0, 0.1))
    ]  # fmt: skip
    path = tmp_path_factory.mktemp("outcomes") / "made.parquet"
    parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    return path


@pytest.fixture
def summary_of(run):
    """Runs the demo for machines: exit code and summary object."""

    def of(*arguments):
        result = run("demo", *arguments, "--format", "json")
        return result.exit_code, json.loads(result.stdout.splitlines()[-1])

    return of


def test_a_run_on_published_outcomes_balances_replays_and_repeats_itself(run, summary_of, outcomes, tmp_path):
    asked = ("--outcomes", outcomes, "--models", "dear,fair,poor", "--decisions", 150, "--seed", 3)
    code, summary = summary_of(*asked, "--snapshot-every", 25, "--keep", tmp_path / "kept")
    assert (code, summary["problems"]) == (0, [])
    assert summary["decisions"] == summary["receipts"] == summary["replayed_equal"] == 150
    assert summary["telemetry_accepted"] == summary["telemetry_applied"] == 150
    assert summary["telemetry_duplicates"] == summary["telemetry_late"] == summary["telemetry_rejected"] == 0
    assert sum(summary["models"].values()) == 150 == sum(summary["outcomes_by_arm"].values())
    assert set(summary["outcomes_by_arm"]) == {"published/dear", "published/fair", "published/poor"}
    assert summary["models"]["fair"] > 90
    assert summary["explored_last_tenth"] < summary["explored_first_tenth"]
    assert 0 < summary["cost_nanodollars"] < summary["baseline_nanodollars"] / 2
    assert summary["best_static"]["arm"] == "published/fair"
    assert set(summary["singles"]) == set(summary["outcomes_by_arm"])
    assert summary["last_1000"]["decisions"] == 150

    replayed = run("replay", tmp_path / "kept")
    assert (replayed.exit_code, "150 of 150" in replayed.stdout) == (0, True)
    explained = run("explain", tmp_path / "kept", summary["last_decision"])
    assert (explained.exit_code, "published/fair" in explained.stdout) == (0, True)

    _, again = summary_of(*asked, "--snapshot-every", 25)
    assert again == summary


def test_a_lost_message_and_a_corrupted_receipt_are_reported_by_decision(summary_of, outcomes):
    code, summary = summary_of(
        "--outcomes", outcomes, "--decisions", 30, "--stage", "lose-message", "--stage", "corrupt-receipt"
    )
    assert code == 1
    assert (summary["decisions"], summary["receipts"], summary["replayed_equal"]) == (30, 29, 28)
    assert [bool(DECISION.fullmatch(each)) for each in summary["missing_receipts"]] == [True]
    assert [bool(DECISION.fullmatch(each)) for each in summary["unequal_receipts"]] == [True]
    lost, broken = summary["missing_receipts"][0], summary["unequal_receipts"][0]
    assert summary["problems"] == [
        f"no receipt for decision {lost}",
        f"receipt {broken}: the receipt's bytes do not match its hash",
    ]


def test_the_sample_tenants_run_with_both_kinds_of_credentials_and_fail_over(run):
    output = run("demo", "--decisions", 60, "--seed", 5).stdout
    for tenant in ("acme", "harbor", "quay"):
        assert re.search(rf"^ +\d+  \S+  {tenant} ", output, re.M)
    assert "60 of 60 in S3, 60 replayed byte-equal" in output
    assert "cost / baseline" in output


def test_a_policy_of_ones_own_takes_the_place_of_the_samples(run, summary_of, tmp_path):
    policy = tmp_path / "mine.policy"
    policy.write_text(
        'policy "mine/first" language 1\ntasks label\ntier all = [claude-haiku-4-5]\n'
        'forbid "never" when task == label\ndefault route all { use all pick cheapest }\nfallback gpt-5.4\n'
    )
    refused = run("demo", "--policy", policy)
    assert (refused.exit_code, "no fallback survives" in refused.stderr) == (2, True)
    policy.write_text(policy.read_text().replace('forbid "never" when task == label\n', ""))
    code, summary = summary_of("--policy", policy, "--decisions", 10)
    assert (code, summary["models"]) == (0, {"claude-haiku-4-5": 10})


def test_a_trace_is_replayed_at_its_own_times(summary_of, tmp_path):
    trace = tmp_path / "arrivals.parquet"
    rows = [{"t_ms": 40 * n * n, "input_tokens": 300 * n, "output_tokens": 10 + n} for n in range(30)]
    parquet.write_table(pyarrow.Table.from_pylist(rows), trace)
    code, summary = summary_of("--trace", trace)
    assert (code, summary["decisions"], summary["replayed_equal"], summary["problems"]) == (0, 30, 30, [])
    assert summary["workload"].startswith("arrivals.parquet: 30 requests over 0.6 minutes")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_run_early_with_nothing_lost(outcomes, number):
    command = [sys.executable, "-m", "policy_cli.main", "demo", "--outcomes", str(outcomes), "--decisions", "100000"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
    lines = []
    with subprocess.Popen(
        [*command, "--format", "json", "--verbose"], stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        for line in process.stdout:
            lines.append(line)
            if len(lines) == 40:
                process.send_signal(number)
    summary = json.loads(lines[-1])
    assert process.returncode == 0
    assert (summary["complete"], summary["problems"]) == (False, [])
    assert 40 <= summary["decisions"] == len(lines) - 1 == summary["receipts"] == summary["replayed_equal"]
    assert summary["telemetry_applied"] == summary["telemetry_accepted"] == summary["decisions"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--models", "a,b"), "--models names models of an --outcomes file"),
        (("--outcomes", "FILE", "--trace", "FILE"), "two workloads"),
        (("--outcomes", "FILE", "--value", "0"), "positive number of dollars"),
        (("--outcomes", "FILE", "--value", "much"), "positive number of dollars"),
        (("--outcomes", "FILE", "--models", "dear,fairy"), "did you mean `fair`"),
        (("--outcomes", "FILE", "--keep", "FOLDER"), "is not empty"),
        (("--trace", "FILE"), "has no column `t_ms`"),
        (("--outcomes", "FILE", "--policy", "SAMPLE"), "of which made.parquet has no outcomes"),
        (("--outcomes", "FILE", "--policy", "SAMPLE", "--policy", "OTHER"), "routed by one --policy"),
    ],
)
def test_what_cannot_be_run_is_refused_before_anything_starts(run, outcomes, arguments, message):
    given = [
        {"FILE": str(outcomes), "FOLDER": str(outcomes.parent), "SAMPLE": str(SAMPLE), "OTHER": str(OTHER)}.get(
            each, each
        )
        for each in arguments
    ]
    refused = run("demo", *given)
    assert (refused.exit_code, message in refused.stderr) == (2, True), refused.stderr
