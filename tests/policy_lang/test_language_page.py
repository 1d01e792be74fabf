"""Every example of LANGUAGE.md compiles, and every wrong one is refused with the code it states."""

import re
from pathlib import Path

import pytest

from policy_lang.catalog import default_catalog
from policy_lang.compiler import compile_policy
from policy_lang.text.expectations import KEYWORDS

PAGE = Path(__file__).parents[2] / "policy_lang" / "LANGUAGE.md"
EXAMPLES = re.findall(r"^```policy(?P<marks>[^\n]*)\n(?P<text>.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize(("marks", "text"), EXAMPLES)
def test_an_example_does_what_the_page_says(marks, text, completed):
    compiled = compile_policy(completed(text, marks), default_catalog())
    wrong = re.search(r"wrong (P\d{3})", marks)
    errors = [found.code for found in compiled.diagnostics if found.severity == "error"]
    assert errors == ([wrong[1]] if wrong else []), compiled.render()


def test_the_page_has_examples_of_every_keyword():
    shown = "\n".join(text for _, text in EXAMPLES)
    assert {word for word in KEYWORDS.values() if not re.search(rf"(^|\s){word}\b", shown)} == set()
