"""What the scanners find and we keep is listed once, with a reason; `.ci/security` holds the list to what they find."""

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ENTRIES = tomllib.loads((ROOT / ".ci/accepted.toml").read_text())["accepted"]


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry["check"])
def test_an_accepted_finding_says_where_it_is_and_why_it_stays(entry: dict[str, object]) -> None:
    assert set(entry) == {"tool", "check", "title", "where", "reason"}
    assert entry["tool"] in ("checkov", "bandit")
    assert entry["where"]
    assert re.fullmatch(r"[^.]{8,}.*\.", str(entry["reason"]), re.DOTALL)


def test_no_finding_is_accepted_twice() -> None:
    places = [(entry["tool"], entry["check"], place) for entry in ENTRIES for place in entry["where"]]
    assert len(set(places)) == len(places)


def test_nothing_is_accepted_anywhere_else() -> None:
    """No scanner is told to look away where it would not be noticed."""
    told = re.compile(r"#\s*nosec|checkov:\s*skip|skip-check|\[tool\.bandit\]")
    suffixes = (".py", ".yaml", ".toml", ".cfg", ".ini")
    ours = [path for path in ROOT.rglob("*") if path.suffix in suffixes and not path.is_symlink()]
    kept = [path for path in ours if not {".venv", ".venvs", "build", ".aws-sam"} & set(path.relative_to(ROOT).parts)]
    assert len(kept) > 200
    assert [path for path in kept if path != Path(__file__) and told.search(path.read_text(errors="ignore"))] == []
