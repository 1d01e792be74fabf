"""What people get wrong at a command line: exit code 2, and a sentence that says what would be accepted."""

import json
from pathlib import Path

import pytest

from policy_cli.explaining import explain_reply

ROOT = Path(__file__).parents[2]
ACME = ROOT / "samples/acme/support.policy"
DECLARING = "attribute plan = [free, pro]\n"
CALL = ("--task", "label")


@pytest.fixture
def declaring(write, policy_text):
    return write(policy_text.replace("tasks label\n", f"tasks label\n{DECLARING}"), "declaring.policy")


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("plan=gold", "`gold` is no value of the attribute `plan`; it is one of free, pro"),
        ("tier=gold", "the policy declares no attribute `tier`; it declares plan in [free, pro]"),
    ],
)
@pytest.mark.parametrize(
    "command", [("eval", "{}"), ("route", "--file", "{}"), ("explain", "--why-not", "gpt-5.4", "--policy", "{}")]
)
def test_an_attribute_that_is_not_declared_is_refused_as_the_service_refuses_it(run, declaring, command, wrong, said):
    done = run(*(part.format(declaring) for part in command), *CALL, "--attribute", wrong)
    assert (done.exit_code, done.stdout) == (2, "")
    assert said in done.stderr


@pytest.mark.parametrize(
    ("history", "said"),
    [
        ({}, "a history is an array of rows such as"),
        ([1], "row 0: a row is such as"),
        ([{"envelope": {}}], "row 0: a row is such as"),
        ([{"envelope": {}, "arms": {}}], "row 0: `envelope` lacks `task_type`"),
        ([{"arms": {"a/b": {"calls": 3, "ok": 4}}}], "`a/b` has whole numbers `calls` and `ok`, and `ok` lies between"),
        ([{"arms": {"a/b": {"calls": "3", "ok": 1}}}], "`a/b` has whole numbers `calls` and `ok`"),
        ([{"arms": {"a/b": 3}}], "`a/b` has whole numbers `calls` and `ok`"),
        ([{"arms": {"haiku": {"calls": 3, "ok": 1}}}], "row 0: `arm` must be an arm id"),
        ([{"arms": {"a/b": {"calls": 3, "ok": 1, "quality": 2}}}], "row 0: `quality` must be a number between 0 and 1"),
    ],
)
@pytest.mark.parametrize("command", [("eval", ACME), ("route", "--file", ACME)], ids=["eval", "route"])
def test_a_history_that_is_none_is_named_with_its_row(run, write, command, history, said):
    envelope = json.loads((ROOT / "samples/acme/history.json").read_text())[0]["envelope"]
    rows = [{"envelope": envelope} | row if isinstance(row, dict) else row for row in history] if history else history
    file = write(json.dumps(rows), "history.json")
    done = run(*command, *CALL, "--history", file)
    assert done.exit_code == 2
    assert done.stderr.startswith(f"error: `{file}`: ")
    assert said in done.stderr


@pytest.mark.parametrize("document", ["{}", "[1]", '{"made_ms": 1}', '{"made_ms": "x", "cells": {}}'])
def test_a_snapshot_that_is_none_is_named(run, write, document):
    file = write(document, "s.json")
    done = run("eval", ACME, *CALL, "--snapshot", file)
    assert (done.exit_code, done.stdout) == (2, "")
    assert f"`{file}` is not a snapshot as the service makes it" in done.stderr


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (("chekc", "a.policy"), "no command `chekc`; did you mean `check`?"),
        (("xyzzy",), "no command `xyzzy`; `pointsman --help` lists the commands"),
        (("route", "--policy", "a", *CALL, "--history", ACME), "`--history` goes with `--file`"),
        (("demo", "--keep", ACME, "--decisions", "3"), "is a file"),
        (("dev", "--policy", ACME, "--policy", ACME, "--port", "0"), "both hold the policy `acme/support`"),
        (("replay", ACME, "--policies", ACME), "is a file"),
        (("price", ACME, "--as-of", "2026-01-31", "--policies", ACME), "is a file"),
        (("explain", ACME), "holds no receipt"),
    ],
)
def test_other_mistakes(run, command, said):
    done = run(*command)
    assert (done.exit_code, done.stdout) == (2, "")
    assert said in done.stderr


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({"POINTSMAN_URL": "http://127.0.0.1:port"}, "`http://127.0.0.1:port` must be an http(s) address"),
        ({"POINTSMAN_URL": "http://127.0.0.1:1"}, "no answer from http://127.0.0.1:1: "),
        ({"POINTSMAN_SECRET": "00"}, "no known key signed this request"),
        ({"POINTSMAN_KEY": "nobody"}, "are a pair, as `pointsman tenant add` printed it"),
    ],
)
def test_a_service_that_cannot_be_asked_is_told_of(pointsman, environment, said):
    done = pointsman("route", "--policy", "acme/support", *CALL, **environment)
    assert done.returncode == 2
    assert said in done.stderr


def test_http_and_https_are_told_apart(pointsman, service):
    done = pointsman("route", "--policy", "acme/support", *CALL, POINTSMAN_URL=service.replace("http:", "https:"))
    assert done.returncode == 2
    assert "an address without TLS begins with http://" in done.stderr


def test_a_policy_that_is_not_published_is_told_with_the_command_that_publishes(pointsman):
    done = pointsman("route", "--policy", "acme/nothing", *CALL)
    assert done.returncode == 2
    assert "no policy `acme/nothing` is published; a new name is known everywhere a second after" in done.stderr
    assert done.stderr.endswith("`pointsman publish FILE` publishes one\n")


def test_a_file_of_something_else_is_said_once(run, receipts):
    done = run("replay", receipts, ACME)
    lines = done.stdout.splitlines()
    assert (done.exit_code, len(lines)) == (1, 2)
    count = len([line for line in ACME.read_text().splitlines() if line.strip()])
    assert lines[1].startswith(f"unreadable {ACME}:1  the line is not a sealed receipt, and so for {count - 1} more")


def test_ids_that_are_none_are_refused(run, receipts):
    done = run("replay", receipts, "--expect", ACME)
    assert done.exit_code == 2
    assert f"`{ACME}` holds `#`, which is no decision id of 32 hexadecimal digits" in done.stderr


def test_a_file_that_does_not_compile_is_counted_apart_from_its_tests(run, write):
    broken, empty = write("tasks label\n", "broken.policy"), write("", "empty.policy")
    assert run("test", broken, empty).stdout.splitlines()[-1] == "0 passed, 0 failed, 2 files with errors"
    done = run("fmt", empty)
    assert (done.exit_code, done.stderr.splitlines()[-1]) == (1, "0 laid out, 0 as they should be, 1 with errors")


def test_a_broken_policy_ends_every_command_alike(run, write, policy_file):
    broken = write("tier = [\n", "broken.policy")
    for command in ("check", "fmt", "lint", "test", "inspect", "compile", "normalize"):
        assert run(command, broken).exit_code == 1, command
    assert run("diff", policy_file, broken).exit_code == 1
    assert run("eval", broken, *CALL).exit_code == 1


@pytest.mark.parametrize(
    ("arm", "cost", "said"),
    [
        ("openai/gpt-5.4", 4_200_000, "$0.0042 expected of the baseline itself"),
        ("openai/gpt-5.5", 4_200_000, "$0.0042 expected, as much as openai/gpt-5.4"),
        ("openai/gpt-5.5", 2_100_000, "$0.0021 expected, 50.0% less than openai/gpt-5.4 at $0.0042"),
        ("openai/gpt-5.5", 8_400_000, "$0.0084 expected, 100.0% more than openai/gpt-5.4 at $0.0042"),
    ],
)
def test_a_cost_is_held_against_the_baseline(run, arm, cost, said):
    reply = json.loads(run("eval", ACME, *CALL, "--format", "json").stdout)
    reply |= {"arm": arm, "expected_cost_nanodollars": cost}
    reply["baseline"] = {"arm": "openai/gpt-5.4", "cost_nanodollars": 4_200_000}
    assert f"cost      {said}" in explain_reply(reply).splitlines()


def test_other_candidates_of_the_request_are_said_in_words(run):
    done = run("eval", ACME, *CALL, "--candidate", "openai/gpt-5.4")
    assert "     - the request asks for other candidates" in done.stdout.splitlines()
