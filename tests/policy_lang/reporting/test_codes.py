import re
from pathlib import Path

import pytest

from policy_cli.rehearsal import rehearse
from policy_lang.catalog import default_catalog
from policy_lang.compiler import compile_policy
from policy_lang.lint import lint
from policy_lang.reporting.codes import EXAMPLES, PAGES

ROOT = Path(__file__).parents[3]
#: What takes more than a few lines, or no readable text, to show: the corpus has it.
WITHOUT_EXAMPLE = {"P001", "P002", "P003", "P006", "P210", "P213", "P502", "P510", "P542", "P562", "P563", "P571"}


def raised():
    sources = [path.read_text() for path in (ROOT / "policy_lang").rglob("*.py")]
    return set(re.findall(r'"(P\d{3})"', "\n".join(sources)))


def proved():
    """Codes of the proofs that `analyse` makes; the others come with compiling."""
    proofs = [path for path in (ROOT / "policy_lang" / "analysis").glob("*.py") if path.name != "fallback.py"]
    return set(re.findall(r'"(P\d{3})"', "\n".join(path.read_text() for path in proofs)))


def test_every_code_has_a_page_and_every_page_a_code():
    assert set(PAGES) == raised()


def test_every_code_is_shown_by_a_case_of_the_corpus():
    corpus = ROOT / "tests" / "conformance"
    shown = "".join(path.read_text() for path in [*corpus.rglob("*.txt"), *corpus.rglob("*.ir.json")])
    assert {code for code in raised() - proved() if code not in shown} == set()


@pytest.mark.parametrize("code", sorted(PAGES))
def test_a_page_has_a_title_a_text_and_an_example_that_gives_its_code(code, completed):
    title, blank, text, *_ = PAGES[code].split("\n")
    assert re.fullmatch(r"P\d{3} [a-z`].*[^.]", title)
    assert (blank, text != "") == ("", True)
    examples = EXAMPLES[code]
    assert bool(examples) == (code not in WITHOUT_EXAMPLE)
    for marks, example in examples:
        compiled = compile_policy(completed(example, marks), default_catalog())
        found = [*compiled.diagnostics, *lint(compiled, default_catalog())]
        found += [failure for test in rehearse(compiled, default_catalog()) for failure in test.failures]
        assert code in {finding.code for finding in found}, compiled.render()
