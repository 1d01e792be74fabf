"""Lint and its fixes on the corpus: NAME.policy in; findings in NAME.txt, what --fix makes of it in NAME.fixed."""

from pathlib import Path

import pytest

from policy_lang.analysis.diff import diff
from policy_lang.compiler import compile_policy
from policy_lang.lint import lint, mended
from policy_lang.reporting.formats import Findings, report
from policy_lang.text.formatter import format_policy
from policy_lang.text.parser import tokens

CORPUS = Path(__file__).parents[1] / "conformance"
CASES = sorted((CORPUS / "lint").glob("*.policy"))
VALID = sorted((CORPUS / "valid").glob("*.policy"))
UNREADABLE = {"P001", "P002", "P003"}
INVALID = sorted((CORPUS / "invalid").glob("*.policy"))


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_a_case_has_its_findings_and_its_fixed_text(path, catalog, golden):
    compiled = compile_policy(path.read_bytes(), catalog, path.name)
    findings = Findings(path.name, compiled.text, lint(compiled, catalog))
    golden(path.with_suffix(".txt"), report([findings], "full"))
    golden(path.with_suffix(".fixed"), mended(compiled, catalog).text)


@pytest.mark.parametrize("path", [*CASES, *VALID, *INVALID], ids=lambda path: path.stem)
def test_fixing_ends_keeps_comments_and_never_adds_an_error(path, catalog):
    before = compile_policy(path.read_bytes(), catalog)
    fixed = mended(before, catalog)
    if UNREADABLE & {finding.code for finding in before.diagnostics}:
        assert fixed.applied == ()
        return
    after = compile_policy(fixed.text, catalog)
    assert mended(after, catalog).applied == ()
    assert comments(fixed.text) == comments(before.text)
    assert errors(after) <= errors(before)
    assert bool(fixed.applied) == (fixed.text != before.text)


@pytest.mark.parametrize("path", [*CASES, *VALID], ids=lambda path: path.stem)
def test_fixing_a_policy_changes_nothing_it_decides_and_leaves_it_laid_out(path, catalog):
    before = compile_policy(path.read_bytes(), catalog)
    after = compile_policy(mended(before, catalog).text, catalog)
    if before.ok:
        assert diff(before.policy, after.policy, catalog).verdict == "equal"
        assert format_policy(after.text).text == after.text


def test_what_compiling_finds_is_among_the_findings_once(catalog):
    for path in (*CASES, *VALID):
        compiled = compile_policy(path.read_bytes(), catalog)
        found = lint(compiled, catalog)
        assert set(compiled.diagnostics) <= set(found)
        assert len(set(found)) == len(found)


def test_a_misspelling_is_corrected_only_where_one_letter_and_no_digit_is_off(catalog):
    text = 'policy "a" language 1\ntier small = [claude-haiku-4-6, gpt-5-mni]\n'
    fixed = mended(compile_policy(text, catalog), catalog)
    assert fixed.text == text.replace("gpt-5-mni", "gpt-5-mini")


def comments(text):
    return sorted(str(token).rstrip(" \t\r") for token in tokens(text, trivia=True) if token.type == "COMMENT")


def errors(compiled):
    return sum(finding.severity == "error" for finding in compiled.diagnostics)


def test_a_correction_that_brings_another_error_is_left_to_the_author(catalog):
    head = 'policy "a/b" language 1\ntier t = [claude-haiku-4-5]\n'
    rest = "default route r { use t pick cheapest }\nfallback claude-haiku-4-5\n"
    wrong = compile_policy(head + 'forbid "x" when model.contxt < $5/Mtok\n' + rest, catalog)
    right = compile_policy(head + 'forbid "x" when model.contxt < 8000 tokens\n' + rest, catalog)
    assert [finding.code for finding in wrong.diagnostics if finding.severity == "error"] == ["P301"]
    assert "model.contxt" in mended(wrong, catalog).text
    assert "model.context < 8_000 tokens" in mended(right, catalog).text.replace("8000", "8_000")
