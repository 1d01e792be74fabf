"""Reading published outcomes: what is taken from the file, what is derived, and what is refused."""

from __future__ import annotations

import pyarrow
import pytest
from pyarrow import parquet

from policy_cli.demo.calls import ScenarioError
from policy_cli.demo.outcomes import default_policy, outcomes_scenario, read_outcomes, task_names
from policy_lang.catalog import default_catalog
from policy_lang.compiler import compile_policy

V = 13_300_000


def _row(query, model, correct, **changes):
    row = {
        "query_id": query, "task": "simple", "prompt_tokens": 300, "model": model, "correct": correct,
        "input_tokens": 400, "output_tokens": 20, "cost_usd": 0.002, "n_tools": 2, "latency_s": 1.5,
    }  # fmt: skip
    return row | changes


@pytest.fixture
def written(tmp_path):
    def write(*rows):
        path = tmp_path / "made.parquet"
        parquet.write_table(pyarrow.Table.from_pylist(list(rows)), path)
        return path

    return write


def test_a_result_carries_what_the_file_publishes(written):
    path = written(_row("q1", "a", 1.0), _row("q1", "b", 0.0, latency_s=-1.0, cost_usd=0.0001))
    published = read_outcomes(path)
    good, bad = published.results["q1", "published/a"], published.results["q1", "published/b"]
    assert (good.outcome, good.quality, good.cost_nanodollars, good.latency_ms, good.graded) == (
        "ok", 1.0, 2_000_000, 1500, False,
    )  # fmt: skip
    assert (bad.outcome, bad.quality, bad.cost_nanodollars, bad.latency_ms) == ("wrong", 0.0, 100_000, None)
    assert (good.input_tokens, good.output_tokens) == (400, 20)
    envelope = published.envelopes["q1"]
    assert (envelope.task_type, envelope.tools_used, envelope.estimated_tokens) == ("simple", "2-4", "tiny")


def test_a_fractional_quality_is_reported_as_it_is(written):
    published = read_outcomes(written(_row("q1", "a", 0.75), _row("q1", "b", 0.25)))
    results = [published.results["q1", arm] for arm in published.arms]
    assert [(r.outcome, r.quality, r.graded) for r in results] == [("ok", 0.75, True), ("wrong", 0.25, True)]


def test_tokens_that_were_not_published_are_alike_for_every_arm_and_prices_order_them_by_cost(written):
    hidden = {"prompt_tokens": -1, "input_tokens": -1, "output_tokens": -1}
    rows = [
        _row(f"q{n}", model, 1.0, cost_usd=cost * n, **hidden)
        for n in (1, 2)
        for model, cost in (("a", 3e-3), ("b", 1e-3))
    ]
    published = read_outcomes(written(*rows))
    dear, cheap = published.models
    assert dear.price_in == pytest.approx(3 * cheap.price_in, rel=1e-5)
    assert published.results["q1", "published/a"].input_tokens == published.results["q1", "published/b"].input_tokens
    assert published.envelopes["q1"].context_length == "short"


def test_a_file_without_tools_and_latency_is_enough(written):
    rows = [_row("q1", model, 1.0) for model in "ab"]
    for row in rows:
        del row["n_tools"], row["latency_s"]
    published = read_outcomes(written(*rows))
    assert published.envelopes["q1"].tools_used == "0"
    assert published.results["q1", "published/a"].latency_ms is None


def test_queries_that_lack_a_model_are_left_out_and_counted(written):
    published = read_outcomes(written(_row("q1", "a", 1), _row("q1", "b", 1), _row("q2", "a", 1)))
    assert (set(published.envelopes), published.left_out) == ({"q1"}, 1)


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("executable_multiple_function", "executable_multiple_function"),
        ("arc-challenge", "arc-challenge"),
        ("College Biology (hard)", "college-biology-hard"),
        ("3d geometry", "task-3d-geometry"),
        ("rest", "rest"),
        ("route", "route-task"),
        ("tier", "tier-task"),
        ("-", "task"),
        ("Übersetzung", "bersetzung"),
        ("a" * 60, "a" * 40),
    ],
)
def test_tasks_get_names_that_the_language_accepts(source, name):
    assert task_names([source]) == {source: name}
    policy = f'policy "t/t" language 1\ntasks {name}\ntier all = [gpt-5.4]\n'
    policy += "default route r { use all pick cheapest }\nfallback gpt-5.4"
    assert compile_policy(policy, default_catalog()).ok


def test_tasks_that_would_share_a_name_keep_apart():
    assert sorted(task_names(["A B", "a-b", "a b"]).values()) == ["a-b", "a-b-2", "a-b-3"]


def test_the_policy_written_in_advance_compiles_and_names_every_arm(written):
    published = read_outcomes(written(_row("q1", "org/A-1.5", 1), _row("q1", "b", 1, task="other")))
    text = default_policy(published, V)
    compilation = compile_policy(text.source, default_catalog().overlaid(published.models))
    assert compilation.ok, compilation.render()
    assert compilation.policy.tiers[0].arms == ("published/org/A-1.5", "published/b")
    assert compilation.policy.default.pick[0].value_nanodollars == V


def test_every_pass_takes_every_query_once_in_the_order_of_the_seed(written):
    path = written(*(_row(f"q{n}", model, 1.0) for n in range(10) for model in "ab"))
    first, second, other = (outcomes_scenario(path, (), 25, seed, V).calls for seed in (7, 7, 8))
    assert first == second
    assert [call.key for call in first] != [call.key for call in other]
    assert len({call.key for call in first[:10]}) == len({call.key for call in first[10:20]}) == 10


@pytest.mark.parametrize(
    ("rows", "models", "message"),
    [
        ([{"query_id": "q1"}], (), "has no column `task`"),
        (
            [_row("q1", "claude-3-haiku", 1), _row("q1", "b", 1)],
            ("claude-3-haiko", "b"),
            "did you mean `claude-3-haiku`?",
        ),
        ([_row("q1", "a", 1)], (), "between 2 and 64 models"),
        ([_row("q1", "a", 1), _row("q2", "b", 1)], (), "no query has a row for every one"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_with_what_it_lacks(written, rows, models, message):
    with pytest.raises(ScenarioError, match=message.replace("?", r"\?")):
        read_outcomes(written(*rows), models)


def test_a_file_that_is_no_parquet_is_refused(tmp_path):
    path = tmp_path / "notes.parquet"
    path.write_text("hello")
    with pytest.raises(ScenarioError, match="cannot be read as parquet"):
        read_outcomes(path)
    with pytest.raises(ScenarioError, match="cannot be read as parquet"):
        read_outcomes(tmp_path / "nowhere.parquet")
