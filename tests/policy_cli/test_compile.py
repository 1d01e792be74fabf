from __future__ import annotations

import json

from policy_lang.catalog import default_catalog
from policy_lang.compiler import compile_policy
from policy_lang.fingerprint import ir_document


def test_text_names_the_policy_by_both_its_hashes(run, policy_file, policy_text):
    compiled = compile_policy(policy_text, default_catalog())
    done = run("compile", policy_file)
    assert done.exit_code == 0
    assert done.stdout.splitlines() == [
        "acme/support",
        f"fingerprint {compiled.fingerprint}",
        f"source      {compiled.source_hash}",
        "1 gates, 2 routes, 2 tiers",
    ]


def test_json_is_the_canonical_ir_on_standard_output_or_in_a_file(run, policy_file, policy_text, tmp_path):
    compiled = compile_policy(policy_text, default_catalog())
    out = tmp_path / "support.ir.json"
    done = run("compile", policy_file, "--format", "json", "--out", out)
    assert json.loads(done.stdout) == json.loads(json.dumps(ir_document(compiled.policy)))
    assert out.read_text() == done.stdout


def test_a_policy_with_errors_compiles_to_nothing(run, tmp_path):
    out = tmp_path / "ir.json"
    done = run("compile", "-", "--out", out, input="policy")
    assert (done.exit_code, done.stdout) == (1, "")
    assert "error P" in done.stderr
    assert not out.exists()


def test_an_output_that_cannot_be_written_is_a_tool_error(run, policy_file, tmp_path):
    done = run("compile", policy_file, "--out", tmp_path / "missing" / "ir.json")
    assert done.exit_code == 2
    assert "cannot write" in done.stderr
