"""The past at other prices, and the page that tells of it."""

from __future__ import annotations

import json
import re
import shlex
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from policy_cli.pricing import price_files, price_list
from policy_cli.receipts import policies_beside, receipt_files, receipt_lines
from policy_engine.receipt import open_sealed
from policy_lang.catalog import Catalog, Prices, default_catalog, model_document

PAGE = Path(__file__).parents[2] / "docs" / "receipts.md"


@pytest.fixture
def outcomes(receipts):
    """Two calls of the first decision were told of, one twice and one that did not count; and two of the second."""
    first, second = (
        open_sealed(line) for line in (receipts / "receipts/dt=2026-01-01/hh=00/a.jsonl").read_text().splitlines()[:2]
    )

    def told(receipt, number, hop=0, state="applied", tokens=(1_000, 100)):
        return {
            "format": 1,
            "record_id": f"r:{number}",
            "decision_id": receipt["circumstances"]["decision_id"],
            "arm": receipt["decision"]["arm"],
            "hop": hop,
            "outcome": "ok",
            "state": state,
            "fields": {"outcome": state},
            "input_tokens": tokens[0],
            "output_tokens": tokens[1],
            "cost_nanodollars": 7_000_000,
        }

    lines = [told(first, 1), told(first, 1), told(first, 2, state="duplicate"), told(second, 3, tokens=(2_000, 0))]
    folder = receipts / "outcomes" / "dt=2026-01-01"
    folder.mkdir(parents=True)
    (folder / "o.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return receipts


def served(file: Path) -> list[str]:
    return [open_sealed(line)["decision"]["arm"] for line in receipt_lines(file)]


def priced(folder, prices):
    files = [path for path in folder.rglob("*.jsonl") if "outcomes" in path.parts]
    return price_files(receipt_files([folder]), files, policies_beside([folder], None), prices)


def test_the_prices_of_the_day_give_what_was_recorded(receipts):
    result = priced(receipts, default_catalog().models)
    assert (result.decisions, result.expected.calls, result.list_service) == (20, 20, 0)
    assert result.expected.recorded == result.expected.repriced > 0
    assert result.baseline.recorded == result.baseline.repriced > result.expected.recorded
    assert sum(sums.calls for sums in result.arms.values()) == 20


def test_prices_three_times_as_high_cost_three_times_as_much(outcomes):
    models = default_catalog().models
    fields = ("price_in", "price_out", "price_cached_read", "price_cached_write")
    dearer = {
        arm: replace(
            m, **{f: None if (held := getattr(m, f)) is None else held * 3 for f in fields}, tiers=(), batch=()
        )
        for arm, m in models.items()
    }
    once, thrice = priced(outcomes, models), priced(outcomes, dearer)
    for name in ("expected", "baseline", "spent", "spent_baseline"):
        assert getattr(thrice, name).repriced == pytest.approx(3 * getattr(once, name).repriced, abs=60)
        assert getattr(thrice, name).recorded == getattr(once, name).recorded


def test_each_call_that_counted_is_priced_once_by_its_own_tokens(outcomes):
    result = priced(outcomes, default_catalog().models)
    assert (result.spent.calls, result.spent.recorded) == (2, 14_000_000)
    arms = served(outcomes / "receipts/dt=2026-01-01/hh=00/a.jsonl")
    first, second = (default_catalog().models[arm] for arm in arms[:2])
    expected = 1_000 * first.price_in + 100 * first.price_out + 2_000 * second.price_in
    assert result.spent.repriced == expected // 1_000
    assert result.spent_baseline.calls == 2


def test_an_arm_without_a_price_is_named_and_left_out(receipts):
    models = dict(default_catalog().models)
    arms = [arm for file in receipt_files([receipts]) for arm in served(file)]
    gone = min(set(arms))
    del models[gone]
    result = priced(receipts, models)
    assert result.expected.calls == 20 - arms.count(gone)
    assert result.unpriced == {gone: arms.count(gone) + 20 - result.baseline.calls}


def test_a_list_holds_what_has_a_price_on_the_day(receipts):
    row = default_catalog().models["anthropic/claude-haiku-4-5"]
    dated = {row.arm: (("2026-03-01", (Prices(5, 6),)), ("2026-09-01", (Prices(7, 8),)))}
    catalog = replace(Catalog.build((row, replace(row, arm="x/always")), {}), schedule=dated)
    assert set(price_list(catalog, "2026-02-28")) == {"x/always"}
    assert [price_list(catalog, day)[row.arm].price_in for day in ("2026-03-01", "2026-08-31", "2026-09-01")] == [
        5,
        5,
        7,
    ]


def test_what_cannot_be_read_is_named_and_the_rest_is_priced(run, outcomes):
    (outcomes / "receipts/dt=2026-01-01/hh=00/z.jsonl").write_text("no receipt\n")
    (outcomes / "outcomes/dt=2026-01-01/z.jsonl").write_text("{}\n[]\n")
    done = run("price", "--as-of", "2026-11-01", outcomes, "--format", "json")
    found = json.loads(done.stdout)
    assert (done.exit_code, found["decisions"], found["as_of"], len(found["unreadable"])) == (1, 20, "2026-11-01", 3)
    assert "z.jsonl:1: the line is not a sealed receipt" in found["unreadable"][0]


def test_policies_that_are_not_at_hand_are_said(run, receipts):
    done = run("price", "--as-of", "2026-11-01", receipts / "receipts/dt=2026-01-01/hh=00/b.jsonl.gz")
    assert done.exit_code == 0
    (stored,) = (receipts / "policies").iterdir()
    stored.unlink()
    done = run("price", "--as-of", "2026-11-01", receipts)
    assert "20 decisions priced at list: their policy is not at hand" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--as-of", "yesterday", "."), "does not match the format '%Y-%m-%d'"),
        ((".",), "Missing option '--as-of'"),
        (("--as-of", "2026-01-01", "."), "no .jsonl or .jsonl.gz file"),
    ],
)
def test_wrong_use_is_a_tool_error(pointsman_alone, arguments, told):
    done = pointsman_alone("price", *arguments)
    assert done.returncode == 2
    assert told in done.stderr


@pytest.fixture
def pointsman_alone(tmp_path):
    """The command in a process of its own and an empty folder."""
    import os
    import subprocess
    import sys

    def invoke(*arguments):
        command = [sys.executable, "-m", "policy_cli.main", *arguments]
        env = {**os.environ, "PYTHONPATH": str(PAGE.parents[1])}
        return subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=env)

    return invoke


def test_the_page_on_receipts_shows_what_happens(run, outcomes, monkeypatch):
    monkeypatch.chdir(outcomes.parent)
    blocks = re.findall(r"```console\n\$ pointsman (.*?)\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert len(blocks) == 2
    for command, shown in blocks:
        done = run(*shlex.split(command))
        assert done.exit_code == 0, done.output
        for line in shown.splitlines():
            assert line == "..." or any(found.startswith(line) for found in done.stdout.splitlines()), (
                line,
                done.stdout,
            )


def test_arms_of_which_only_the_list_price_is_known_are_named(run, receipts):
    done = run("price", "--as-of", "2020-01-01", receipts)
    listed = default_catalog().as_of
    (line,) = (line for line in done.stdout.splitlines() if line.startswith("no dated price"))
    named = json.loads(run("price", "--as-of", "2020-01-01", receipts, "--format", "json").stdout)["undated"]
    assert line == f"no dated price, so priced by the list of {listed}: {', '.join(named)}"
    assert named
    assert not set(named) & set(default_catalog().schedule)
    assert "no dated price" not in run("price", "--as-of", listed, receipts).stdout


def test_a_tenants_own_rows_are_laid_over_the_catalog(run, receipts, tmp_path):
    ask = ("price", "--as-of", default_catalog().as_of, receipts, "--format", "json")
    before = json.loads(run(*ask).stdout)
    arms = sorted(before["used"])
    rows = [model_document(replace(default_catalog().models[arm], price_in=0, price_out=0)) for arm in arms]
    bare = [{**row, "tiers": [], "batch": []} for row in rows]
    (tmp_path / "own.json").write_text(json.dumps(bare))
    after = json.loads(run(*ask, "--overlay", tmp_path / "own.json").stdout)
    assert before["expected"]["repriced"] > 0 == after["expected"]["repriced"]


@pytest.mark.parametrize("text", ["{}", "[1]", '[{"arm": "a/b"}]', '[{"arm": "a/b", "price_in": 1, "price_out": -1}]'])
def test_an_overlay_that_holds_no_rows_is_refused(run, receipts, tmp_path, text):
    (tmp_path / "own.json").write_text(text)
    done = run("price", "--as-of", "2026-11-01", receipts, "--overlay", tmp_path / "own.json")
    assert (done.exit_code, done.stdout) == (2, "")
    assert "own.json" in done.stderr


def test_what_has_no_price_is_told_to_programs_too(run, receipts):
    """Seen after a name with a price was left out: a counter of names is no JSON object once `asdict` has copied it."""
    arms = sorted(json.loads(run("price", "--as-of", "2026-11-01", receipts, "--format", "json").stdout)["used"])
    models = {arm: model for arm, model in default_catalog().models.items() if arm != arms[0]}
    found = json.loads(json.dumps(asdict(priced(receipts, models))))
    assert set(found["unpriced"]) == {arms[0]}
    assert set(found["used"]) == set(arms[1:])
