from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from policy_cli.main import COMMANDS


def test_a_sound_file_passes(run, policy_file):
    done = run("check", policy_file)
    assert (done.exit_code, done.stdout, done.stderr) == (0, "", "no findings in 1 file\n")


def test_every_finding_of_every_file_is_shown_at_once(run, policy_file, tmp_path):
    bad = tmp_path / "bad.policy"
    bad.write_text(policy_file.read_text().replace("use small, large", "use smal").replace("nova-lite-eu", "nova-lit"))
    done = run("check", policy_file, bad)
    assert done.exit_code == 1
    assert "did you mean `small`?" in done.stdout
    assert "did you mean `nova-lite`?" in done.stdout
    assert f"{bad}:7:7" in done.stdout
    assert done.stderr.endswith("in 2 files\n")


def test_json_is_one_object_a_finding_and_nothing_else(run, policy_file, tmp_path):
    bad = tmp_path / "bad.policy"
    bad.write_text(policy_file.read_text().replace("cheapest", "cheapst"))
    done = run("check", bad, "--format", "json")
    findings = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.exit_code == 1
    assert done.stderr == ""
    assert {finding["suggestion"] for finding in findings} == {"cheapest"}
    assert {"code", "severity", "span", "message", "help", "file"} <= set(findings[0])


def test_concise_is_one_line_a_finding(run, policy_file):
    bad = policy_file.read_text().replace("use small, large", "use smal")
    done = run("check", "-", "--format", "concise", input=bad)
    assert done.exit_code == 1
    assert all(line.startswith("<stdin>:") for line in done.stdout.splitlines())


def test_warnings_alone_leave_the_exit_code_at_0(run, tmp_path, policy_file):
    idle = tmp_path / "idle.policy"
    idle.write_text(policy_file.read_text() + "tier idle = [claude-opus-4-8]\n")
    done = run("check", idle)
    assert (done.exit_code, done.stderr) == (0, "1 warning in 1 file\n")


def test_a_full_disk_under_the_output_is_said_in_a_line(policy_file):
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("not run: needs /dev/full")
    with full.open("w") as output:
        command = [sys.executable, "-m", "policy_cli.main", "inspect", str(policy_file)]
        done = subprocess.run(command, stdout=output, stderr=subprocess.PIPE, text=True)
    assert (done.returncode, done.stderr) == (2, "error: cannot write: No space left on device\n")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["check", "nowhere.policy"], "error: cannot read `nowhere.policy`: No such file or directory"),
        (["check", "."], "error: `.` is a folder; name its .policy files"),
        (["check"], "Missing argument"),
        (["check", "--format", "xml", "a"], "is not one of 'full', 'concise', 'json'"),
        (["chekc", "a"], "no command `"),
    ],
)
def test_what_cannot_be_run_ends_with_2(arguments, says):
    done = subprocess.run([sys.executable, "-m", "policy_cli.main", *arguments], capture_output=True, text=True)
    assert done.returncode == 2
    assert says in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="needs pseudo-terminals")
def test_a_terminal_gets_the_same_text_in_colour(policy_file):
    policy_file.write_text(policy_file.read_text().replace("use small, large", "use smal"))
    ours, theirs = os.openpty()
    environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "80"}
    environment.pop("NO_COLOR", None)
    command = [sys.executable, "-m", "policy_cli.main", "check", str(policy_file)]
    subprocess.run(command, stdout=theirs, stderr=subprocess.PIPE, env=environment)
    os.close(theirs)
    coloured = os.read(ours, 65536).decode().replace("\r\n", "\n")
    os.close(ours)
    plain = subprocess.run(command, capture_output=True, text=True).stdout
    assert "\x1b[" in coloured
    assert re.sub(r"\x1b\[[0-9;]*m", "", coloured) == plain


def test_help_is_there_at_once_and_imports_no_command():
    code = "import sys; sys.argv[1:] = ['--help']; from policy_cli.main import main\ntry: main()\nexcept SystemExit: "
    code += "print(*sorted(sys.modules), file=sys.stderr)"
    started = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert time.perf_counter() - started < 1.0  # 50 ms on a quiet machine
    assert "replay" in done.stdout
    loaded = done.stderr.split()
    assert not {"lark", "pydantic", "rich", "botocore", "policy_engine.decision"} & set(loaded)
    assert not [name for name in loaded if name.startswith("policy_cli.commands.")]


def test_the_help_lists_exactly_the_commands_that_are_there(run):
    shown = run("--help").stdout
    for name in ("check", "compile", "publish", "route", "explain", "replay", "catalog"):
        assert COMMANDS[name][2] in " ".join(shown.split())
        assert run(name, "--help").exit_code == 0


@pytest.mark.parametrize("form", ["full", "concise", "json", "github", "sarif", "junit"])
def test_a_finding_is_told_in_every_format_with_exit_code_1(run, policy_text, form, write):
    done = run("check", write(policy_text.replace("use small, large", "use small, larger")), "--format", form)
    assert done.exit_code == 1
    assert "P307" in done.stdout


def test_formats_for_programs_hold_nothing_but_the_document(run, policy_file):
    assert run("check", policy_file, "--format", "json").output == ""
    assert json.loads(run("check", policy_file, "--format", "sarif").output)["runs"][0]["results"] == []
    root = ElementTree.fromstring(run("check", policy_file, "--format", "junit").output.encode())
    assert (root.get("tests"), root.get("failures")) == ("1", "0")
