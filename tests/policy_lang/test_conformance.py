"""The corpus: program in, IR or rendered diagnostics out. POINTSMAN_REGENERATE=1 rewrites the goldens: read them."""

import json
from pathlib import Path

import pytest

from policy_lang.admission import admit
from policy_lang.compiler import compile_policy
from policy_lang.fingerprint import ir_document, policy_fingerprint
from policy_lang.validation import validate

CORPUS = Path(__file__).parents[1] / "conformance"
VALID = sorted((CORPUS / "valid").glob("*.policy"))
INVALID = sorted((CORPUS / "invalid").glob("*.policy"))


@pytest.mark.parametrize("path", VALID, ids=lambda path: path.stem)
def test_a_valid_policy_has_its_golden_ir_and_fingerprint(path, catalog, golden):
    compiled = compile_policy(path.read_bytes(), catalog, path.name)
    assert compiled.ok, compiled.render()
    document = {"fingerprint": compiled.fingerprint, "ir": ir_document(compiled.policy), "warnings": []}
    document["warnings"] = compiled.render("concise").splitlines()
    golden(path.with_suffix(".ir.json"), json.dumps(document, indent=1, sort_keys=True, ensure_ascii=False) + "\n")


@pytest.mark.parametrize("path", VALID, ids=lambda path: path.stem)
def test_what_compiles_is_admitted_unchanged_by_all_three_validators(path, catalog):
    policy = compile_policy(path.read_bytes(), catalog).policy
    document = json.loads(json.dumps(ir_document(policy)))
    assert admit(document) == validate(document) == policy
    assert policy_fingerprint(admit(document)) == policy_fingerprint(policy)


@pytest.mark.parametrize("path", INVALID, ids=lambda path: path.stem)
def test_an_invalid_policy_has_its_golden_diagnostics(path, catalog, golden):
    compiled = compile_policy(path.read_bytes(), catalog, path.name)
    assert not compiled.ok
    assert compiled.fingerprint is None
    assert compiled.lines == {}
    golden(path.with_suffix(".txt"), compiled.render())


@pytest.mark.parametrize("path", INVALID, ids=lambda path: path.stem)
def test_every_diagnostic_points_into_the_file(path, catalog):
    compiled = compile_policy(path.read_bytes(), catalog, path.name)
    lines = compiled.text.split("\n")
    for diagnostic in compiled.diagnostics:
        span = diagnostic.span
        assert 1 <= span.line <= len(lines)
        assert 1 <= span.column <= len(lines[span.line - 1]) + 1
        assert 0 <= span.start <= span.end <= len(compiled.text) + 1
        assert not diagnostic.message.endswith(".")
        assert diagnostic.message[0] == diagnostic.message[0].lower()


def test_the_corpus_is_large_enough():
    assert len(INVALID) >= 120
    assert len(VALID) >= 15
