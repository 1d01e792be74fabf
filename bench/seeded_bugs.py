"""Plants bugs in the engine, one at a time, and shows what becomes of each: the agreement of the evaluators is to tell
those of the compiled evaluator, a named property those of the decision.

    python bench/seeded_bugs.py [--policies N]

Each bug of `tests/mutants/bugs.toml` goes into a copy of the packages, and its test runs against the copy. The first
row is the copy as it is, under every test that is named. Exits 1 unless that one passes and every bug is caught.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
BUGS = ROOT / "tests/mutants/bugs.toml"
TESTS = ROOT / "tests/policy_engine"
AGREEMENT = "generated/test_evaluators.py::test_closures_and_table_and_plan_say_what_the_tree_walk_says"


def main() -> int:
    arguments = argparse.ArgumentParser(description="Are seeded bugs caught?")
    arguments.add_argument("--policies", type=int, default=120, help="generated policies a bug has to survive")
    policies = arguments.parse_args().policies
    bugs: list[dict[str, str]] = tomllib.loads(BUGS.read_text())["bug"]
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        results = list(pool.map(lambda bug: tried(bug, tests_of(bug, bugs), policies), [None, *bugs]))
    print(f"{'bug':70}{'verdict':>10}{'seconds':>10}  first policy that tells")
    for bug, (caught, seconds, witness) in zip([None, *bugs], results, strict=True):
        name = bug["name"] if bug else "(none: the packages as they are)"
        print(f"{name:70}{'caught' if caught else 'passes':>10}{seconds:10.1f}  {witness}")
    survivors = sum(not caught for caught, _, _ in results[1:])
    print(f"{len(bugs) - survivors} of {len(bugs)} bugs caught")
    return 1 if survivors or results[0][0] else 0


def tests_of(bug: dict[str, str] | None, bugs: list[dict[str, str]]) -> list[str]:
    """The test that a bug names, else the agreement; all of them for no bug."""
    names = dict.fromkeys(each.get("test", AGREEMENT) for each in ([bug] if bug else bugs))
    return [str(TESTS / name) for name in names]


def tried(bug: dict[str, str] | None, tests: list[str], policies: int) -> tuple[bool, float, str]:
    """Whether a test fails on a copy with the bug, how long that took, and the seed or error that it names."""
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as copy:
        for package in ("policy_lang", "policy_engine"):
            shutil.copytree(ROOT / package, Path(copy, package))
        if bug is not None:
            plant(bug, Path(copy, bug["file"]))
        environment = os.environ | {"PYTHONPATH": copy, "POINTSMAN_POLICIES": str(policies)}
        environment |= {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "POINTSMAN_FIRST_FAILURE": "1"}
        command = [sys.executable, "-m", "pytest", "-x", "-p", "no:cacheprovider", *tests]
        run = subprocess.run(command, cwd=copy, env=environment, capture_output=True, text=True, check=False)
    if run.returncode not in (0, 1):
        raise SystemExit(run.stdout + run.stderr)
    seed = re.search(r"AssertionError: (\d+)", run.stdout)
    error = re.search(r"^E +(\w+Error.*)", run.stdout, re.MULTILINE)
    witness = f"seed {seed[1]}" if seed else error[1][:60] if error else ""
    return run.returncode == 1, time.perf_counter() - began, witness


def plant(bug: dict[str, str], file: Path) -> None:
    """Replace the one place that the bug names."""
    text, was = file.read_text(), bug["was"]
    if text.count(was) != 1:
        raise SystemExit(f"{bug['file']}: found {text.count(was)} times, not once: {was}")
    file.write_text(text.replace(was, bug["is"]))


if __name__ == "__main__":
    sys.exit(main())
