"""`pointsman eval`: one call, by options, JSON, file or pipe."""

import json
from pathlib import Path

import pytest

from policy_cli.history import snapshot_of_history
from policy_cli.local import NOW_MS
from policy_engine.snapshot import snapshot_document

SAMPLES = Path(__file__).parents[2] / "samples"
ACME = SAMPLES / "acme/support.policy"


def test_the_call_comes_by_options_json_or_file(run, write):
    envelope = '{"task_type": "label", "structure_type": "list"}'
    by_option = run("eval", ACME, "--task", "label", "--structure", "list", "--format", "json")
    by_json = run("eval", ACME, envelope, "--format", "json")
    by_file = run("eval", ACME, write(envelope, "e.json"), "--format", "json")
    by_pipe = run("eval", ACME, "-", "--format", "json", input=envelope)
    assert by_option.exit_code == 0
    assert by_option.stdout == by_json.stdout == by_file.stdout == by_pipe.stdout
    reply = json.loads(by_option.stdout)
    assert (reply["route"], reply["explored"], reply["propensity_ppm"]) == ("labelling", False, 1_000_000)


def test_a_whole_request_may_stand_for_the_envelope(run):
    row = json.loads((SAMPLES / "acme/envelopes.json").read_text())[4]["request"]
    reply = json.loads(run("eval", ACME, json.dumps(row), "--format", "json").stdout)
    assert "no previews" not in json.dumps(reply["candidates"])


def test_every_candidate_has_its_verdict(run):
    done = run("eval", ACME, "--task", "pii-extract")
    assert '"PII stays in the EU" (line 10) cannot be evaluated' in done.stdout
    assert "plan     1. " in done.stdout


def test_what_was_learned_comes_from_a_history_or_from_the_policy(run, write):
    history = SAMPLES / "acme/history.json"
    tell = ("--task", "label", "--structure", "list", "--tokens", 300, "--format", "json")
    learned = json.loads(run("eval", ACME, "--history", history, *tell).stdout)
    assert (learned["arm"], learned["floor"]) == ("anthropic/claude-haiku-4-5", "cleared")
    text = Path(ACME).read_text() + 'statistics "s" { claude-haiku-4-5 on label 600 ok, 12 wrong }\n'
    named = json.loads(run("eval", write(text), "--statistics", "s", *tell).stdout)
    assert (named["arm"], named["floor"]) == ("anthropic/claude-haiku-4-5", "cleared")
    unknown = run("eval", write(text), "--statistics", "t", *tell)
    assert unknown.exit_code == 2
    assert 'it has "s"' in unknown.output


def test_a_snapshot_of_the_service_is_read(run, write):
    made = snapshot_of_history(json.loads((SAMPLES / "acme/history.json").read_text()), NOW_MS)
    path = write(json.dumps(snapshot_document(made)), "s.json")
    tell = ("--task", "label", "--structure", "list", "--tokens", 300, "--format", "json")
    reply = json.loads(run("eval", ACME, "--snapshot", path, *tell).stdout)
    assert reply["fingerprints"]["snapshot"] == made.fingerprint
    assert run("eval", ACME, "--snapshot", write("{}", "t.json"), *tell).exit_code == 2


def test_no_candidate_is_exit_code_3_and_bad_calls_are_2(run):
    nobody = ("eval", ACME, "--task", "pii-extract", "--candidate", "anthropic/claude-haiku-4-5")
    assert run(*nobody).exit_code == 3
    for wrong in ((), ("[1]",), ("{",), ('{"task_type": "Label"}',), ("{}", "--task", "label")):
        assert run("eval", ACME, *wrong).exit_code == 2, wrong
    assert run("eval", ACME, "--task", "label", "--attribute", "plan").exit_code == 2


@pytest.mark.parametrize(
    ("option", "told"),
    [
        (
            ("--candidate", "gtp-5.5"),
            "`--candidate gtp-5.5` is no arm id such as openai/gpt-5-mini, nor a model's name",
        ),
        (("--candidate", "openai/"), "`--candidate openai/` is no arm id"),
        (("--attribute", "plan"), "`--attribute plan` is not NAME=VALUE"),
        (("--attribute", "plan=Gold!"), "`Gold!` in `--attribute plan=Gold!` is not a name: lower-case letters"),
    ],
)
def test_a_value_that_cannot_be_is_named_with_what_can(run, option, told):
    done = run("eval", ACME, "--task", "label", *option)
    assert (done.exit_code, done.stdout) == (2, "")
    assert told in done.stderr


def test_a_candidate_may_go_by_its_models_name(run):
    ask = ("eval", ACME, "--task", "label", "--format", "json", "--candidate")
    by_name, by_arm = run(*ask, "claude-haiku-4-5"), run(*ask, "anthropic/claude-haiku-4-5")
    assert by_name.exit_code == by_arm.exit_code == 0
    assert by_name.stdout == by_arm.stdout


def test_a_task_that_the_policy_does_not_declare_is_told_on_standard_error(run, policy_file):
    for command in (("eval", policy_file), ("route", "--file", policy_file)):
        done = run(*command, "--task", "lable", "--format", "json")
        assert json.loads(done.stdout)["route"] == "general"
        assert "the policy declares no task `lable`, so it counts as `other`; did you mean `label`?" in done.stderr
        assert run(*command, "--task", "label").stderr == ""
