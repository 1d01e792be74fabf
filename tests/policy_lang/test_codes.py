import re
from pathlib import Path

from policy_lang.codes import PAGES

ROOT = Path(__file__).parents[2]


def raised():
    sources = [path.read_text() for path in (ROOT / "policy_lang").rglob("*.py") if path.name != "codes.py"]
    return set(re.findall(r'(?:error|warning)\(\s*"(P\d{3})"', "\n".join(sources)))


def test_every_code_has_a_page_and_every_page_a_code():
    assert set(PAGES) == raised()


def test_every_code_is_shown_by_a_case_of_the_corpus():
    corpus = ROOT / "tests" / "conformance"
    shown = "".join(path.read_text() for path in [*corpus.rglob("*.txt"), *corpus.rglob("*.ir.json")])
    assert {code for code in raised() if code not in shown} == set()
