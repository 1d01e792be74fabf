from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest


def test_every_receipt_is_reproduced_in_a_sealed_process(run, receipts):
    done = run("replay", receipts)
    assert (done.exit_code, done.stdout) == (0, "20 of 20 receipts byte-equal, clock and sockets blocked\n")


@pytest.mark.parametrize("minor", [11, 12, 13])
def test_another_interpreter_decides_the_same(run, receipts, minor):
    found = sorted((Path.home() / ".pyenv/versions").glob(f"3.{minor}.*/bin/python"))
    if not found:
        pytest.skip(f"not run: needs python3.{minor}")
    done = run("replay", receipts, "--python", found[0])
    assert (done.exit_code, done.stderr) == (0, "")
    assert done.stdout.startswith(f"20 of 20 receipts byte-equal, clock and sockets blocked, Python 3.{minor}.")


def test_a_program_that_is_no_interpreter_is_a_tool_error(run, receipts):
    done = run("replay", receipts, "--python", "/bin/false")
    assert done.exit_code == 2
    assert "`/bin/false` ended with 1 and said nothing; is it Python 3.11 or newer?" in done.stderr


def test_an_altered_receipt_is_named_with_what_is_wrong(run, receipts):
    file = receipts / "receipts/dt=2026-01-01/hh=00/a.jsonl"
    lines = file.read_text().splitlines()
    altered = json.loads(lines[4])["receipt"]["circumstances"]["decision_id"]
    lines[4] = lines[4].replace('"explored":false', '"explored":true')
    file.write_text("\n".join(lines) + "\n")
    done = run("replay", receipts)
    assert done.exit_code == 1
    assert "19 of 20 receipts byte-equal" in done.stdout
    assert f"unequal {altered}  the receipt's bytes do not match its hash" in done.stdout
    assert "a.jsonl:5" in done.stdout


def test_a_receipt_resealed_after_a_change_differs_in_the_named_field(run, receipts):
    from policy_engine.receipt import seal

    file = receipts / "receipts/dt=2026-01-01/hh=00/a.jsonl"
    lines = file.read_text().splitlines()
    forged = json.loads(lines[0])["receipt"]
    forged["decision"]["expected_cost_nanodollars"] += 1
    lines[0] = seal(json.dumps(forged, sort_keys=True, separators=(",", ":")))
    file.write_text("\n".join(lines) + "\n")
    (found,) = json.loads(run("replay", receipts, "--format", "json").stdout)["unequal"]
    assert found["difference"] == "decision.expected_cost_nanodollars"


def test_missing_repeated_and_unreadable_ones_are_counted(run, receipts, tmp_path):
    hour = receipts / "receipts/dt=2026-01-01/hh=00"
    first = (hour / "a.jsonl").read_text().splitlines()[0]
    (hour / "c.jsonl").write_text(first + "\n\nno receipt\n")
    (hour / "d.jsonl.gz").write_bytes((hour / "b.jsonl.gz").read_bytes()[:200])
    due = tmp_path / "due.txt"
    due.write_text(json.loads(first)["receipt"]["circumstances"]["decision_id"] + "\n" + "f" * 32 + "\n")
    done = run("replay", receipts, "--expect", due, "--format", "json")
    found = json.loads(done.stdout)
    assert done.exit_code == 1
    assert (found["receipts"], found["equal"], found["repeated"]) == (22, 21, 1)
    assert found["missing"] == ["f" * 32]
    places = [(row["file"].rpartition("/")[2], row["line"]) for row in found["unequal"]]
    assert places == [("c.jsonl", 2), ("d.jsonl.gz", 1)]


def test_a_policy_that_is_not_at_hand_is_said(run, receipts, tmp_path):
    (stored,) = (receipts / "policies").iterdir()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    stored.rename(elsewhere / stored.name)
    done = run("replay", receipts / "receipts")
    assert done.exit_code == 1
    assert "is not at hand" in done.stdout
    assert run("replay", receipts / "receipts", "--policies", elsewhere).exit_code == 0


def test_a_folder_without_receipts_is_a_tool_error(run, tmp_path):
    done = run("replay", tmp_path)
    assert done.exit_code == 2
    assert "no .jsonl or .jsonl.gz file" in done.stderr


@pytest.mark.parametrize(
    "deed",
    [
        "import time; time.time()",
        "import time; time.monotonic_ns()",
        "from time import perf_counter; perf_counter()",
        "import datetime; datetime.datetime.now()",
        "from datetime import datetime, UTC; datetime.now(UTC)",
        "from datetime import date; date.today()",
        "import socket; socket.socket()",
        "import socket; socket.getaddrinfo('localhost', 80)",
        "import os; os.urandom(8)",
        "import secrets; secrets.token_hex()",
        "import uuid; uuid.uuid4()",
        "import subprocess; subprocess.run(['true'])",
        "import os; os.system('true')",
    ],
)
def test_the_seal_holds_against(deed):
    code = f"from policy_cli.sandbox import seal_process; seal_process()\n{deed}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 1
    assert "SealBroken" in done.stderr
