"""`pointsman dev` as a process: what it prints works, and a signal stops it cleanly."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
POINTSMAN = [sys.executable, "-m", "policy_cli.main"]


@pytest.fixture
def started():
    """The process and what it printed up to its last line of welcome."""
    process = subprocess.Popen(
        [*POINTSMAN, "dev", "--port", "0"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=ENVIRONMENT
    )
    welcome = []
    for line in process.stdout:
        welcome.append(line)
        if line.startswith("Ctrl-C"):
            break
    yield process, "".join(welcome)
    process.kill()
    process.wait()
    process.stdout.close()


def test_the_printed_examples_get_a_decision_and_a_signal_stops_with_empty_queues(started):
    process, welcome = started
    exported = dict(each.split("=", 1) for each in re.search(r"export (.*)", welcome)[1].split())
    command = shlex.split(re.search(r"pointsman (route .*)", welcome)[1])
    asked = subprocess.run(
        [*POINTSMAN, *command], env=ENVIRONMENT | exported, capture_output=True, text=True, check=False
    )
    assert (asked.returncode, asked.stderr) == (0, "")
    assert re.search(r"^decision +[0-9a-f]{32}$", asked.stdout, re.M)
    if shutil.which("curl"):
        curl = shlex.split(re.search(r"curl .*\n.*", welcome)[0].replace("\\\n", ""))
        answer = subprocess.run([*curl, "-sS"], capture_output=True, text=True, check=True).stdout
        assert '"status":"served"' in answer
    aws = dict(each.split("=", 1) for line in re.findall(r"export (AWS.*)", welcome) for each in line.split())
    doctor = [*POINTSMAN, "doctor", "--tenant", "acme", "--queued"]
    examined = subprocess.run(doctor, env=ENVIRONMENT | aws, capture_output=True, text=True, check=False)
    assert (examined.returncode, examined.stderr) == (0, "")
    assert re.search(r"I1 +balanced +decided [12] \| (filed|queued) [12]$", examined.stdout, re.M)
    process.send_signal(signal.SIGTERM)
    rest = process.stdout.read()
    assert process.wait() == 0
    assert rest.endswith("stopped, nothing left in the queues\n")


def test_a_port_that_is_taken_is_refused_with_what_to_do():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        run = subprocess.run(
            [*POINTSMAN, "dev", "--port", port], env=ENVIRONMENT, capture_output=True, text=True, check=False
        )
    assert run.returncode == 2
    assert "name another with --port" in run.stderr


def test_a_policy_that_does_not_compile_is_refused(tmp_path):
    policy = tmp_path / "bad.policy"
    policy.write_text('policy "a/b" language 1\ntier all = [nobody]\n')
    run = subprocess.run(
        [*POINTSMAN, "dev", "--port", "0", "--policy", str(policy)],
        env=ENVIRONMENT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert run.returncode == 2
    assert "was not published" in run.stderr
    assert "P" in run.stderr.partition("was not published")[2]
