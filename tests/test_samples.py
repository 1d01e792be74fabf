"""Every sample compiles, decides as its expected.json says, and its README tells what the commands really print.

POINTSMAN_REGENERATE=1 writes expected.json and the console blocks of the READMEs anew; read the diff before committing.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from policy_cli.history import snapshot_of_history
from policy_cli.local import NOW_MS, decide_locally
from policy_engine.snapshot import EMPTY
from policy_lang.catalog import default_catalog
from policy_lang.compiler import compile_policy

ROOT = Path(__file__).parents[1]
SAMPLES = sorted(path.parent for path in (ROOT / "samples").glob("*/envelopes.json"))
REGENERATE = bool(os.environ.get("POINTSMAN_REGENERATE"))
CONSOLE = re.compile(r"(?<=^```console\n).*?(?=^```$)", re.MULTILINE | re.DOTALL)


def test_there_are_three_samples_with_all_their_parts():
    assert len(SAMPLES) == 3
    for sample in SAMPLES:
        assert len(list(sample.glob("*.policy"))) == 1
        assert {"README.md", "envelopes.json", "history.json", "expected.json"} <= {p.name for p in sample.iterdir()}


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.name)
def test_a_sample_decides_as_expected_with_and_without_a_history(sample):
    (file,) = sample.glob("*.policy")
    compilation = compile_policy(file.read_bytes(), default_catalog(), str(file))
    assert compilation.diagnostics == ()
    requests = {row["name"]: row["request"] for row in json.loads((sample / "envelopes.json").read_text())}
    history = snapshot_of_history(json.loads((sample / "history.json").read_text()), NOW_MS)
    found = {
        state: {
            name: told(decide_locally(compilation, default_catalog(), request, snapshot))
            for name, request in requests.items()
        }
        for state, snapshot in (("new", EMPTY), ("with history", history))
    }
    expected = sample / "expected.json"
    if REGENERATE:
        expected.write_text(json.dumps(found, indent=2) + "\n")
    assert json.loads(expected.read_text()) == found
    assert {reply["arm"] for reply in found["new"].values()} != {r["arm"] for r in found["with history"].values()}


def told(reply: dict[str, Any]) -> dict[str, Any]:
    """What a reader of expected.json wants to see of a reply."""
    names = ("status", "route", "arm", "tier", "floor", "explored", "propensity_ppm", "expected_cost_nanodollars")
    barred = [row for row in reply["candidates"] if row["reasons"]]
    return {
        **{name: reply.get(name) for name in names},
        "plan": [f"{step['role']} {step['arm']}" for step in reply.get("plan", [])],
        "rejected": {row["arm"]: [reason["rule"] for reason in row["reasons"]] for row in barred},
    }


@pytest.mark.parametrize(
    "page", [*(sample / "README.md" for sample in SAMPLES), ROOT / "README.md", ROOT / "docs" / "tools.md"], ids=str
)
def test_a_page_shows_what_its_commands_print(page, tmp_path):
    shutil.copytree(ROOT / "samples", tmp_path / "samples")
    text = page.read_text()
    shown = CONSOLE.sub(lambda block: replayed(block[0], tmp_path), text)
    if REGENERATE:
        page.write_text(shown)
    assert page.read_text() == shown
    assert len(CONSOLE.findall(text)) >= 1


def test_the_policy_of_the_front_page_compiles_without_a_finding():
    (text,) = re.findall(r"^```policy\n(.*?)^```$", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL)
    assert compile_policy(text, default_catalog()).diagnostics == ()


def replayed(block: str, folder: Path) -> str:
    """The block with each command's real output, run in a copy of the samples; the exit code where it is not 0."""
    lines = []
    for command in re.findall(r"^\$ (.*)$", block, re.MULTILINE):
        program = f"pointsman() {{ '{sys.executable}' -m policy_cli.main \"$@\"; }}\n{command}"
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        done = subprocess.run(["bash", "-c", program], cwd=folder, env=environment, capture_output=True, text=True)
        ending = f"(exit {done.returncode})" if done.returncode else ""
        lines += [f"$ {command}", *filter(None, [(done.stdout + done.stderr).rstrip("\n"), ending])]
    return "\n".join(lines) + "\n"
