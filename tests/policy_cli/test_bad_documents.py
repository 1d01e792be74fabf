"""What a user may hand to a command as JSON: refused with a sentence, never with a traceback."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from policy_cli.main import cli

ROOT = Path(__file__).parents[2]
POLICY = str(ROOT / "samples/acme/support.policy")
DEEP = '{"a":' * 3000 + "1" + "}" * 3000


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ('{"task_type":"label","estimated_tokens":1e400}', "finite"),
        ('{"task_type":"label","x":NaN}', "finite"),
        ('{"task_type":"label","task_type":"chat"}', "stands twice"),
        (DEEP, "levels of nesting"),
        ("[]", "must hold a JSON object"),
        ('"x"', "must hold a JSON object"),
        ("", "neither an envelope"),
    ],
)
def test_a_bad_envelope_is_named(document, said):
    done = CliRunner().invoke(cli, ["eval", POLICY, document])
    assert done.exit_code == 2
    assert said in done.stderr


@pytest.mark.parametrize(
    "command",
    [
        ["eval", POLICY, "--task", "label", "--snapshot", "{file}"],
        ["route", "--file", POLICY, "--task", "label", "--history", "{file}"],
        ["diff", POLICY, POLICY, "--histogram", "{file}"],
        ["advise", "--policy", POLICY, "--logs", "{file}"],
    ],
    ids=lambda command: command[0],
)
def test_a_file_nested_too_deep_is_refused(command, tmp_path):
    file = tmp_path / "deep.json"
    file.write_text(DEEP)
    done = CliRunner().invoke(cli, [part.format(file=file) for part in command])
    assert done.exit_code == 2, done.output
    assert "levels of nesting" in done.stderr


def test_a_policy_without_tests_is_named_among_others(tmp_path):
    tested = tmp_path / "tested.policy"
    tested.write_text((ROOT / "policy_cli/presets/cascade.policy").read_text())
    assert CliRunner().invoke(cli, ["test", str(tested)]).exit_code == 0
    done = CliRunner().invoke(cli, ["test", str(tested), POLICY])
    assert (done.exit_code, POLICY in done.stderr) == (2, True)


def test_replaying_nothing_is_an_error(tmp_path):
    empty = tmp_path / "empty.jsonl"
    empty.write_text("")
    assert CliRunner().invoke(cli, ["replay", str(empty)]).exit_code == 2


def test_why_not_does_not_take_a_candidate_list():
    asked = ["explain", "--why-not", "nova-lite-eu", "--policy", POLICY, "--task", "label", "--candidate", "a/b"]
    assert CliRunner().invoke(cli, asked).exit_code == 2
