"""Receipts made here are replayed by other Python minor versions, sealed from clock, sockets and chance.

An interpreter that is not at hand is said, not failed; POINTSMAN_PYTHONS=all makes it fail.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from policy_cli.sandbox import run_sealed
from policy_engine.decision import decide, decision_id_for
from policy_engine.receipt import receipt_body, seal
from policy_engine.table import compile_table
from policy_lang.fingerprint import ir_document

CORPUS = Path(__file__).parents[2] / "conformance/receipts"
NOW = 1_790_000_000_000
WORLDS = 60


@pytest.fixture(scope="module")
def receipts(world_of, tmp_path_factory):
    """A folder of receipts of generated policies over learned statistics, explored or not."""
    folder = tmp_path_factory.mktemp("receipts")
    (folder / "policies").mkdir()
    with (folder / "generated.jsonl").open("w") as file:
        for seed in range(WORLDS):
            world = world_of(seed, 3)
            for catalog in world.catalogs:
                table = compile_table(world.policy, catalog, world.lines)
                for number, request in enumerate(world.requests):
                    decision_id = decision_id_for(NOW, f"{seed} {number}".encode())
                    now = replace(world.circumstances, degraded=False, decision_id=decision_id)
                    decision = decide(request, table, world.snapshot, now)
                    file.write(seal(receipt_body(request, decision, world.snapshot)) + "\n")
            stored = {"ir": ir_document(world.policy), "lines": world.lines}
            (folder / "policies" / f"{table.policy_fingerprint}.json").write_text(json.dumps(stored))
    return folder


@pytest.mark.parametrize("minor", ["3.11", "3.12", "3.13"])
def test_receipts_replay_to_the_byte_under_another_python(minor, receipts, capfd):
    python = interpreter(minor)
    if python is None:
        with capfd.disabled():
            sys.stderr.write(f"\nNOT RUN: replay under Python {minor}, there is no python{minor} on this machine\n")
        assert os.environ.get("POINTSMAN_PYTHONS") != "all"
        pytest.skip(f"needs python{minor}")
    done = run_sealed("policy_cli.replaying", [str(receipts), str(CORPUS)], python)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["receipts"] >= 9 * WORLDS
    assert (found["equal"], found["unequal"]) == (found["receipts"], [])


def interpreter(minor):
    """A python of this minor version that runs: this one, on PATH (a pyenv shim may be there and not run), in pyenv."""
    root = os.environ.get("PYENV_ROOT") or (shutil.which("pyenv") and said([shutil.which("pyenv"), "root"]))
    versions = sorted(Path(root, "versions").glob(f"{minor}.*/bin/python")) if root else []
    named = [sys.executable, shutil.which(f"python{minor}"), *map(str, reversed(versions))]
    version = ["-I", "-c", "import sys; print('%d.%d' % sys.version_info[:2])"]
    return next((python for python in named if python and said([python, *version]) == minor), None)


def said(command):
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else None
