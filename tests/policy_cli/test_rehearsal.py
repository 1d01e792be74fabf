"""The tests of a policy that fail: NAME.policy in conformance/failing, what is said of them in NAME.txt."""

import json
import os
from pathlib import Path

import pytest

from policy_cli.rehearsal import rehearse, snapshot_of_evidence
from policy_lang.catalog import Catalog, model_from_document
from policy_lang.compiler import compile_policy
from policy_lang.diagnostics import render
from policy_lang.envelope import build_envelope, cluster_id

CORPUS = Path(__file__).parents[1] / "conformance"
FAILING = sorted((CORPUS / "failing").glob("*.policy"))


@pytest.fixture(scope="module")
def catalog():
    document = json.loads((CORPUS / "catalog.json").read_text())
    return Catalog.build(map(model_from_document, document["models"]), document["aliases"])


@pytest.mark.parametrize("path", FAILING, ids=lambda path: path.stem)
def test_what_fails_is_said_at_the_expectation(path, catalog):
    compiled = compile_policy(path.read_bytes(), catalog, path.name)
    assert compiled.ok, compiled.render()
    failures = [failure for test in rehearse(compiled, catalog) for failure in test.failures]
    text = render(failures, compiled.text, path.name)
    if os.environ.get("POINTSMAN_REGENERATE"):
        path.with_suffix(".txt").write_text(text)
    assert path.with_suffix(".txt").read_text() == text


def test_statistics_are_known_exactly_as_stated(catalog):
    text = """policy "a" language 1
tier t = [gpt-5-mini]
default route r { use t pick cheapest }
fallback gpt-5-mini
statistics "s" { gpt-5-mini on label 90 ok, 6 wrong, 4 timeout, quality 80%, ttft_p95 123ms, latency_p95 1.5s }
"""
    compiled = compile_policy(text, catalog)
    envelope = build_envelope(task_type="label", structure_type="list")
    found = snapshot_of_evidence(compiled.statistics["s"], envelope)
    estimate = found.estimate(cluster_id(envelope), "label", "openai/gpt-5-mini")
    assert (estimate.count, estimate.n_milli) == (96, 96_000)
    assert (estimate.ttft_p95_ms, estimate.latency_p95_ms) == (123, 1_500)
    assert 780_000 < estimate.quality_ppm < 800_001
    assert found == snapshot_of_evidence(compiled.statistics["s"], envelope)
