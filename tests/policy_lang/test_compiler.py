import random
import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policy_lang.compiler import compile_policy
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
    assert compiled.source_hash == source_hash(WHOLE)


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
        ("label, classify, qa-simple", "qa-simple, other, classify, label"),
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


def test_lone_surrogates_are_diagnosed(catalog):
    assert compile_policy("\ud800", catalog).diagnostics[0].code == "P002"


def test_importing_the_compiler_imports_neither_lark_nor_pydantic_nor_jsonschema():
    program = """
import sys, policy_lang.compiler, policy_lang.admission, policy_lang.gates
print(sorted({"lark", "pydantic", "jsonschema", "difflib"} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=CORPUS.parents[1])
    assert done.stdout == "[]\n", done.stderr
