import random
import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policy_lang.checking.checker import MOST_FINDINGS
from policy_lang.compiler import compile_policy
from policy_lang.envelope import Envelope
from policy_lang.fingerprint import source_hash

CORPUS = Path(__file__).parents[1] / "conformance"
WHOLE = (CORPUS / "valid" / "whole_language.policy").read_text()
GATES = re.findall(r"^(?:forbid|require).*\n", WHOLE, re.MULTILINE)


def test_a_compiled_policy_says_where_its_gates_and_routes_stand(catalog):
    compiled = compile_policy(WHOLE, catalog, "whole.policy")
    lines = WHOLE.splitlines()
    assert lines[compiled.lines["no previews"] - 1].startswith('forbid  "no previews"')
    assert lines[compiled.lines["route:analysis"] - 1].startswith("route analysis")
    assert lines[compiled.lines["route:general"] - 1].startswith("default route general")
    assert lines[compiled.lines["budget:org:growth"] - 1].startswith("budget org growth")
    assert lines[compiled.lines["budget:tenant"] - 1].startswith("budget tenant")
    assert lines[compiled.lines["canary:acme/support-later"] - 1].startswith('canary "acme/support-later"')
    assert lines[compiled.lines["assert:PII never leaves"] - 1].startswith('assert "PII never leaves"')
    assert lines[compiled.lines["test:labels go small"] - 1].startswith('test "labels go small"')
    assert lines[compiled.lines["guests use tools"] - 1].startswith('  require "guests use tools"')
    assert lines[compiled.lines["guard"] - 1].startswith("guard {")
    assert compiled.source_hash == source_hash(WHOLE)


def test_tests_travel_beside_the_policy_as_values(catalog):
    first, second = compile_policy(WHOLE, catalog).tests
    assert first.name == "labels go small"
    assert first.envelope == Envelope("label", "prose", "short", "2-4", True, "tiny")
    assert (first.org, first.team, first.product, first.attributes) == ("growth", None, None, {"plan": "pro"})
    haiku, nova = first.statistics
    assert (haiku.arm, haiku.task, haiku.outcomes) == (
        "anthropic/claude-haiku-4-5",
        "label",
        {"ok": 400, "wrong": 4, "timeout": 2},
    )
    assert (haiku.quality_ppm, haiku.ttft_p95_ms, haiku.latency_p95_ms) == (910_000, 320, 1_200)
    assert (nova.outcomes, nova.quality_ppm) == ({"ok": 100}, None)
    assert [(claim.subject, claim.holds, claim.values) for claim in first.expectations] == [
        ("tier", True, ("small",)),
        ("route", True, ("labelling",)),
        ("model", True, ("anthropic/claude-haiku-4-5", "amazon/nova-lite")),
        ("candidate", False, ("openai/gpt-5",)),
    ]
    assert second.statistics == ()
    assert WHOLE.splitlines()[second.span.line - 1].startswith('test "nothing is known')


def test_text_and_bytes_compile_alike(catalog):
    assert compile_policy(WHOLE, catalog).fingerprint == compile_policy(WHOLE.encode(), catalog).fingerprint


@given(st.randoms(use_true_random=False))
@settings(max_examples=20)
def test_permuting_gates_keeps_the_fingerprint(catalog, chance):
    shuffled = GATES[:]
    chance.shuffle(shuffled)
    text = "".join(line for line in WHOLE.splitlines(keepends=True) if line not in GATES) + "".join(shuffled)
    assert compile_policy(text, catalog).fingerprint == compile_policy(WHOLE, catalog).fingerprint


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("task == pii-extract and model.region != eu", "model.region != eu and (task == pii-extract)"),
        ("task in [label, classify]", "task in [classify, label]"),
        ("task == analysis or context >= long", "context >= long or task == analysis or context >= long"),
        ("not model.provider == openai or model.reasoning", "model.reasoning or not not not model.provider == openai"),
        ("$15/Mtok", "$0.0150/Ktok"),
        ("quality >= 0.85", "quality >= 85%"),
        ("  analysis  ", "  other, analysis  "),
        ('[free, pro, "test"]', '["test", pro, free]'),
        ("audit off", "audit off # still"),
        ("on rate_limited, timeout retry 2", "on timeout, rate_limited retry 2"),
        ("backoff 200ms", "backoff 0.2s"),
        ("judge < 80% or self_rating < 0.7", "self_rating < 70% or judge < 0.8"),
        ("  set     temperature 0.2\n", "set temperature 0.20"),
        ("session 30m", "session 0.5h"),
        ("5% until 2026-12-31", "5% by call until 2026-12-31"),
        ("at limit deny when unreachable open", ""),
        ("  explore at most 5%\n  canary  at most 10%\n", "canary at most 10% explore at most 0.05"),
        ("[temperature, max_tokens]", "[max_tokens, temperature,]"),
        ("wrong, 2 timeout", "wrong, 3 timeout"),
        ("given  task = label\n", "given task = classify\n"),
        ("prefer [nova-lite, haiku]", 'prefer ["amazon/nova-lite", claude-haiku-4-5]'),
        ("# a model must earn it;", "# why:"),
        ("tier small    =", "tier small="),
    ],
)
def test_another_spelling_of_the_same_meaning_keeps_the_fingerprint(catalog, before, after):
    assert before in WHOLE
    compiled = compile_policy(WHOLE.replace(before, after, 1), catalog)
    assert compiled.ok, compiled.render()
    assert compiled.fingerprint == compile_policy(WHOLE, catalog).fingerprint
    assert compiled.source_hash != source_hash(WHOLE)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("model.region != eu", "model.region == us"),
        ("[claude-haiku-4-5, gpt-5-mini, nova-lite]", "[gpt-5-mini, claude-haiku-4-5, nova-lite]"),
        ("use     small, flagship", "use     flagship, small"),
        ("95% proven 90%", "95% proven 91%"),
        ("within 10%", "within 11%"),
        ("fallback claude-haiku-4-5, nova-lite", "fallback nova-lite, claude-haiku-4-5"),
        ("1.25 *", "1.250001 *"),
        ("$2/day", "$2.000000001/day"),
        ('"no previews"', '"no preview"'),
        ("mode shadow", "mode live"),
        ("audit off", "audit on"),
        ("a short factual answer", "a short answer"),
        ("[free, pro, ", "[free, pro, team, "),
        ("small -> flagship", "flagship -> small"),
        ("judge < 80%", "judge < 81%"),
        ("temperature 0.2", "temperature 0.201"),
        ("presence_penalty -0.5", "presence_penalty 0.5"),
        ("session 30m", "session 31m"),
        ("stream  off", "stream on"),
        ("timeout 30s", "timeout 31s"),
        ("disable 10m", "disable 11m"),
        ("retry 2 backoff", "retry 3 backoff"),
        ("$400/month", "$401/month"),
        ("$9.50/day", "$9.50/month"),
        ("5% until 2026-12-31", "5% by org until 2026-12-31"),
        ("drops 3%", "drops 4%"),
        ("cost    at most $0.05/call", ""),
        ("[temperature, max_tokens]", "[]"),
        ("always model.region == eu", "always model.region != us"),
        ("never  model.stage", "some model.stage"),
    ],
)
def test_another_meaning_changes_the_fingerprint(catalog, before, after):
    assert before in WHOLE
    compiled = compile_policy(WHOLE.replace(before, after, 1), catalog)
    assert compiled.ok, compiled.render()
    assert compiled.fingerprint != compile_policy(WHOLE, catalog).fingerprint


@given(st.text() | st.binary())
def test_random_input_yields_only_diagnostics(catalog, source):
    assert not compile_policy(source, catalog).ok


@settings(max_examples=150)
@given(st.integers(0, 2**32))
def test_a_mutilated_policy_never_raises_and_never_compiles_in_part(catalog, seed):
    chance = random.Random(seed)
    words = re.findall(r"\S+|\s+", WHOLE)
    for _ in range(chance.randrange(1, 6)):
        place = chance.randrange(len(words))
        words[place : place + chance.randrange(3)] = chance.sample(words, chance.randrange(3))
    compiled = compile_policy("".join(words), catalog)
    failed = any(found.severity == "error" for found in compiled.diagnostics)
    assert compiled.ok == (compiled.fingerprint is not None) == (not failed)
    assert bool(compiled.render("full")) == bool(compiled.diagnostics)
    assert compiled.render("concise").count("\n") >= min(1, len(compiled.diagnostics))


def test_an_error_is_found_however_many_warnings_stand_before_it(catalog):
    spare = "".join(f"tier spare{number} = [gpt-5]\n" for number in range(1_500))
    compiled = compile_policy(WHOLE + spare, catalog)
    assert [found.code for found in compiled.diagnostics if found.severity == "error"] == ["P210"]
    assert sum(found.code == "P601" for found in compiled.diagnostics) == MOST_FINDINGS


@pytest.mark.parametrize("sign", ["-", "(", '"', "=", "\0", "a-", "é", "not ", "$", "5", "{ ", "guard { ", "x "])
def test_a_file_of_one_sign_is_answered(catalog, sign):
    compiled = compile_policy(sign * (60_000 // len(sign.encode())), catalog)
    assert compiled.diagnostics
    assert compiled.policy is None


def test_lone_surrogates_are_diagnosed(catalog):
    assert compile_policy("\ud800", catalog).diagnostics[0].code == "P002"


def test_importing_the_compiler_imports_neither_lark_nor_pydantic_nor_jsonschema():
    program = """
import sys, policy_lang.compiler, policy_lang.admission, policy_lang.gates
print(sorted({"lark", "pydantic", "jsonschema", "difflib"} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=CORPUS.parents[1])
    assert done.stdout == "[]\n", done.stderr
