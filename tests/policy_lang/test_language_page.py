"""Every example of LANGUAGE.md compiles, and every wrong one is refused with the code it states."""

import re
from pathlib import Path

import pytest

from policy_lang.catalog import default_catalog
from policy_lang.compiler import compile_policy

PAGE = Path(__file__).parents[2] / "policy_lang" / "LANGUAGE.md"
EXAMPLES = re.findall(r"^```policy(?P<marks>[^\n]*)\n(?P<text>.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
REST = {
    "policy": 'policy "example" language 1\n',
    "tier small": "tier small = [claude-haiku-4-5, gpt-5-mini]\n",
    "tier flagship": "tier flagship = [claude-sonnet-4-5, gpt-5]\n",
    "default route": "default route general { use small, flagship pick cheapest }\n",
    "fallback": "fallback claude-haiku-4-5, gpt-5-mini\n",
}


def whole(text: str, marks: str) -> str:
    if re.match("policy ", text):
        return text
    if "route" in marks.split():
        text = f"route example when time_sensitive {{\n{text}}}\n"
    missing = {start: rest for start, rest in REST.items() if not re.search(f"^{start} ", text, re.MULTILINE)}
    return missing.pop("policy") + "".join(missing.values()) + text


@pytest.mark.parametrize(("marks", "text"), EXAMPLES)
def test_an_example_does_what_the_page_says(marks, text):
    compiled = compile_policy(whole(text, marks), default_catalog())
    wrong = re.search(r"wrong (P\d{3})", marks)
    errors = [found.code for found in compiled.diagnostics if found.severity == "error"]
    assert errors == ([wrong[1]] if wrong else []), compiled.render()


def test_the_page_has_examples_of_every_statement_and_clause():
    shown = "\n".join(text for _, text in EXAMPLES)
    keywords = "policy|tasks|tier|forbid|require|route|default|fallback|baseline|use|where|floor|until|pick|explore"
    for keyword in keywords.split("|"):
        assert re.search(rf"(^|\s){keyword}\s", shown), keyword
