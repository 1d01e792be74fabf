"""What the pages state in dollars and units is what the scripts compute, and the code still does what was counted."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def run(script: str, *arguments: str) -> str:
    command = [sys.executable, str(ROOT / "bench" / script), *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize(("page", "option"), [("scale.md", "--scale"), ("cost.md", "--stored")])
def test_a_page_states_what_the_counts_come_to(page: str, option: str) -> None:
    said = run("cost.py", option).strip()
    assert said in (ROOT / "docs" / page).read_text(), f"docs/{page} is not what `bench/cost.py {option}` prints"


def test_every_page_states_the_same_price_of_a_million_decisions() -> None:
    printed = re.search(r"^a million decisions +([0-9.]+)$", run("cost.py", "--stored"), re.MULTILINE)
    assert printed is not None
    for page in ("README.md", "docs/figures.md", "docs/decisions/0011-snapshots-for-busy-tenants.md"):
        text = (ROOT / page).read_text()
        stated = re.findall(
            r"A million decisions cost \$([0-9.]+[0-9])|([0-9.]+) dollars a million|the \$([0-9.]+[0-9]) a million",
            text,
        )
        assert [next(filter(None, each)) for each in stated] == [printed[1]], page


def test_the_functions_still_use_what_was_counted() -> None:
    assert run("cost.py", "--check") == "the counts are those of bench/profile.json\n"


def test_telemetry_costs_few_transactions_and_write_units() -> None:
    rows = [line.split() for line in run("learn.py", "200").splitlines()[1:-1]]
    measured = {(row[0], int(row[1]) * int(row[3])): (float(row[-2]), float(row[-1])) for row in rows}
    assert {("10", 10), ("10", 100), ("100", 1000), ("1,000", 1000), ("100,000", 1000)} < measured.keys()
    for (rate, events), (transactions, units) in measured.items():
        assert transactions <= 60 or events < 100, (rate, events)
        assert units <= 3 or events < 10, (rate, events)
