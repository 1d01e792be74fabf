"""`pointsman advise`: logs as they come, priced; a verdict against routing where there is a reason."""

import json

import pytest

ROWS = [
    {"task": "label", "tokens_in": 400, "tokens_out": 20, "model": "gpt-5.4"},
    {"task": "analysis", "tokens_in": 20_000, "tokens_out": 2_000, "model": "gpt-5.4"},
    {"task": "translate", "tokens_in": 900, "tokens_out": 900, "model": "gpt-5.4"},
]


@pytest.fixture
def jsonl(write):
    return lambda rows, name="log.jsonl": write("".join(json.dumps(row) + "\n" for row in rows), name)


def test_a_mix_of_tasks_with_spend_is_worth_routing(run, jsonl):
    done = run("advise", "--logs", jsonl(ROWS * 3_000), "--days", 10)
    assert done.exit_code == 0
    assert "9,000 calls in 10 days" in done.stdout
    assert "worth it: route" in done.stdout
    assert "not worth it" not in done.stdout


def test_reasons_against_are_said(run, jsonl):
    done = run("advise", "--logs", jsonl(ROWS[:1] * 500))
    assert "not worth it:" in done.stdout
    assert "nearly all calls are of one task" in done.stdout
    assert "every call would go to one model" in done.stdout


def test_csv_and_jsonl_and_the_names_of_others_give_the_same(run, jsonl, write):
    others = [
        {"task_type": r["task"], "prompt_tokens": r["tokens_in"], "completion_tokens": r["tokens_out"]} for r in ROWS
    ]
    lines = ["label,input_tokens,output_tokens"] + [f"{r['task']},{r['tokens_in']},{r['tokens_out']}" for r in ROWS]
    plain = [{name: value for name, value in row.items() if name != "model"} for row in ROWS]
    told = [
        run("advise", "--format", "json", "--logs", path).stdout
        for path in (jsonl(plain), jsonl(others, "b.jsonl"), write("\ufeff" + "\r\n".join(lines), "log.csv"))
    ]
    assert told[0] == told[1] == told[2]
    assert json.loads(told[0])["spent_nanodollars"] is None


def test_costs_and_times_of_the_log_are_used(run, jsonl):
    rows = [
        {**ROWS[0], "cost_usd": "0.25", "timestamp": "2026-01-01T00:00:00Z"},
        {**ROWS[1], "cost_usd": 0.5, "timestamp": 1767571200},
    ]
    done = run("advise", "--logs", jsonl(rows))
    assert "2 calls in 4 days" in done.stdout
    assert "they did cost $0.75" in done.stdout


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "holds no calls"),
        ("x", "line 1 is not JSON, and the file's name does not end in .csv"),
        ("[1]", "line 1 must be an object with `task`"),
        ('{"task": "a", "tokens_in": 1}', "row 1 lacks `tokens_out` or `output_tokens` or `completion_tokens`"),
        ('{"task": "a", "tokens_in": -1, "tokens_out": 1}', "-1 is no number of tokens"),
        ('{"task": "a", "tokens_in": 1, "tokens_out": 1, "cost": "x"}', "'x' is no amount of dollars"),
        ('{"task": "a", "tokens_in": 1, "tokens_out": 1, "at": "x"}', "'x' is neither ISO 8601"),
    ],
)
def test_a_log_that_cannot_be_read_is_refused_with_its_row(run, write, text, says):
    done = run("advise", "--logs", write(text, "log.jsonl"))
    assert done.exit_code == 2
    assert says in done.stderr


def test_prices_follow_the_policy_given(run, jsonl, policy_file):
    told = json.loads(run("advise", "--logs", jsonl(ROWS), "--policy", policy_file, "--format", "json").stdout)
    assert {tier["tier"] for tier in told["tiers"]} == {"small", "large"}
    assert [share["known"] for share in told["mix"] if share["task"] == "translate"] == [False]
