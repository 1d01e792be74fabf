"""SECURITY.md cites a test for each thing that holds; the test is there."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CITED = sorted(set(re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", (ROOT / "SECURITY.md").read_text())))


@pytest.mark.parametrize(("path", "name"), CITED, ids=lambda each: each.rpartition("/")[2])
def test_a_cited_test_exists(path: str, name: str) -> None:
    tree = ast.parse((ROOT / path).read_text())
    named = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    assert not name or name in named


def test_every_row_of_the_table_cites_one() -> None:
    rows = re.findall(r"^\| [STRIDE] \|.*$", (ROOT / "SECURITY.md").read_text(), re.MULTILINE)
    assert len(rows) >= 15
    assert [row for row in rows if "`tests/" not in row] == []
