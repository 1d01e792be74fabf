from __future__ import annotations

import json
import re

import pytest

from policy_cli.explaining import explain_reply
from policy_cli.units import dollars, operand


def ids(receipts):
    lines = (receipts / "receipts/dt=2026-01-01/hh=00/a.jsonl").read_text().splitlines()
    return [json.loads(line)["receipt"]["circumstances"]["decision_id"] for line in lines]


def test_a_receipt_is_told_from_the_shape_to_the_reasons(run, receipts):
    wanted = ids(receipts)[3]
    done = run("explain", receipts, wanted)
    assert done.exit_code == 0
    told = done.stdout.splitlines()
    assert told[0] == f"decision  {wanted}"
    assert told[1] == "made      2026-01-01 00:00:00 UTC for tenant acme, policy acme/support"
    assert told[2].startswith("shape     task other, prose, context short, tokens tiny, tools 0, org eu (cluster ")
    assert told[3] == "route     general (line 13), the first that takes this call"
    assert any(line.startswith(" * bedrock/eu.amazon.nova-lite") for line in told)
    said = '     - "PII stays in the EU" (line 5) cannot be evaluated, so it fails: model.region is unknown, org is eu'
    assert told[told.index(next(line for line in told if "claude-haiku-4-5" in line)) + 1] == said
    assert told[-1].startswith("from      policy ")


def test_the_beginning_of_an_id_is_enough_and_json_is_the_receipt(run, receipts):
    wanted = ids(receipts)[0]
    done = run("explain", receipts, wanted[:20], "--format", "json")
    assert json.loads(done.stdout)["circumstances"]["decision_id"] == wanted


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["{receipts}"], "holds 20 receipts; name the id of a decision"),
        (["{receipts}", "ffff"], "holds no receipt of a decision that begins with `ffff`"),
        (["nowhere.jsonl"], "`nowhere.jsonl` does not exist"),
        (["P999"], "there is no code `P999`"),
    ],
)
def test_what_cannot_be_explained_is_a_tool_error(run, receipts, arguments, says):
    done = run("explain", *(argument.format(receipts=receipts) for argument in arguments))
    assert done.exit_code == 2
    assert says in done.stderr


def test_an_altered_receipt_is_not_explained(run, receipts, tmp_path):
    line = (receipts / "receipts/dt=2026-01-01/hh=00/a.jsonl").read_text().splitlines()[0]
    altered = tmp_path / "one.jsonl"
    altered.write_text(line.replace('"tenant":"acme"', '"tenant":"emca"'))
    done = run("explain", altered)
    assert done.exit_code == 2
    assert "do not match its hash" in done.stderr


def test_a_code_has_its_page(run):
    done = run("explain", "p308")
    assert done.exit_code == 0
    assert done.stdout.startswith("P308 ")


@pytest.mark.parametrize(
    ("nanodollars", "shown"),
    [(0, "$0.00"), (12_345_000_000, "$12.35"), (4_200_000, "$0.0042"), (370_000, "$0.000370"), (94, "$0.000000094")],
)
def test_money_keeps_two_digits_that_say_something(nanodollars, shown):
    assert dollars(nanodollars) == shown


@pytest.mark.parametrize(
    ("field", "value", "shown"),
    [
        ("model.price_out", 16_500_000, "model.price_out is $16.5/Mtok"),
        ("model.context", 200_000, "model.context is 200,000 tokens"),
        ("model.tools", False, "model.tools is false"),
        ("model.region", None, "model.region is unknown"),
        ("org", None, "org is not given"),
        ("attribute.plan", None, "attribute.plan is not given"),
        ("task", "label", "task is label"),
    ],
)
def test_operands_carry_their_units(field, value, shown):
    assert operand(field, value) == shown


def test_why_not_names_each_obstacle_and_the_nearest_change(run, write, policy_text):
    text = policy_text.replace("tasks label", 'tasks label\nrequire "price ceiling" model.price_out <= $15/Mtok')
    done = run("explain", "--why-not", "gpt-5.5", "--policy", write(text), "--task", "label", "--org", "eu")
    assert done.exit_code == 0
    assert done.stdout.splitlines() == [
        "openai/gpt-5.5 cannot serve this call, by route labelling",
        '- the gate "PII stays in the EU" (line 6), model.region is unknown',
        "  give the model's catalog row `model.region`: what is unknown fails the rule",
        '- the gate "price ceiling" (line 3)',
        "  change `model.price_out <= $15/Mtok` to `model.price_out <= $30/Mtok`",
        "- the tiers that the route uses (line 7)",
        "  add it to tier `large`",
    ]


def test_a_change_that_is_proposed_admits_the_model(run, write, policy_text):
    text = policy_text.replace("tasks label", 'tasks label\nrequire "room" model.context >= 900_000')
    ask = ("explain", "--why-not", "claude-haiku-4-5", "--task", "label", "--org", "us", "--format", "json", "--policy")
    (obstacle,) = json.loads(run(*ask, write(text)).stdout)["obstacles"]
    (change,) = obstacle["change"]
    before, after = re.fullmatch(r"`(.+)` to `(.+)`", change).groups()
    assert json.loads(run(*ask, write(text.replace(before, after))).stdout)["obstacles"] == []


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "give a SUBJECT"),
        (["P308", "--policy", "{file}"], "give a SUBJECT"),
        (["--why-not", "gpt-5.4"], "give a SUBJECT"),
        (["--why-not", "gpt-5.4", "--policy", "{file}"], "--task"),
        (["--why-not", "gpt-5.44", "--policy", "{file}", "--task", "label"], "did you mean `gpt-5.4`?"),
    ],
)
def test_a_question_without_its_parts_is_refused(run, policy_file, arguments, says):
    done = run("explain", *(argument.format(file=policy_file) for argument in arguments))
    assert done.exit_code == 2
    assert says in done.stderr


@pytest.mark.parametrize(
    ("verdict", "says"),
    [
        (
            {
                "state": "warn",
                "scope": "org",
                "name": "growth",
                "limit": 4 * 10**9,
                "unit": "nanodollars",
                "period": "day",
            },
            ["budget    warn: org growth, $4.00 a day"],
        ),
        (
            {"state": "degrade", "scope": "tenant", "limit": 2_000_000, "unit": "tokens", "period": "month"},
            ["budget    degrade: tenant, 2,000,000 tokens a month"],
        ),
        (
            {"state": "within", "pace_ppm": 250_000},
            ["pacing    a budget is ahead of its period: a dollar counts for 1.25"],
        ),
        ({"state": "within"}, []),
    ],
)
def test_a_budget_that_had_a_say_is_told(verdict, says):
    reply = {"decision_id": "0" * 32, "budget": verdict, "route": "r", "status": "denied", "candidates": []}
    told = explain_reply(reply).splitlines()
    assert told[1 : 1 + len(says)] == says
    assert "result    denied: a budget that covers this call is used up" in told


def test_a_page_is_told_to_programs_too(run):
    page = json.loads(run("explain", "P308", "--format", "json").stdout)
    assert page["code"] == "P308"
    assert page["title"]
    assert run("explain", "P308").stdout == f"P308 {page['title']}\n\n{page['text']}\n"
