"""The walker of `route`, pydantic and the published JSON Schema: one verdict on every document."""

import copy
import json
import random
from dataclasses import MISSING, fields, is_dataclass
from pathlib import Path
from types import NoneType
from typing import Annotated, Literal, get_args, get_origin, get_type_hints

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from policy_lang import ir
from policy_lang.admission import AdmissionError, admit, policy_from_document
from policy_lang.bounds import out_of_bounds
from policy_lang.canonical import MAX_SAFE_INTEGER
from policy_lang.fingerprint import ir_document
from policy_lang.ir import MAX_DEPTH, MAX_NODES
from policy_lang.validation import build_schema, pydantic_problems, schema_problems, validate

CORPUS = Path(__file__).parents[1] / "conformance" / "valid"
DOCUMENTS = [json.loads(path.read_text())["ir"] for path in sorted(CORPUS.glob("*.ir.json"))]
WHOLE = json.loads((CORPUS / "whole_language.ir.json").read_text())["ir"]
ODD_VALUES = [
    *(None, True, False, 0, 1, -1, 1.0, 0.5, MAX_SAFE_INTEGER, MAX_SAFE_INTEGER + 1, 10**30, float("nan")),
    *("", "a", "A b", "eq", "and", "small", "line\n", "\ud800", "x" * 500, "ä", "20+", "amazon/nova-lite"),
    *([], {}, [[]], [None], {"op": "and"}, {"op": "nor", "items": []}, {"op": ["and"]}, {"items": []}),
    *({"op": "and", "items": []}, {"op": "flag", "field": "time_sensitive"}, {"op": "flag", "field": "x\n"}),
    {"op": "compare", "field": "tokens", "relation": "eq", "value": True},
]


def walker_accepts(document):
    try:
        policy_from_document(document)
    except AdmissionError:
        return False
    return True


def admitted_or_code(document):
    try:
        return admit(document).name
    except AdmissionError as refused:
        return refused.code


def with_change(document, chance):
    """A copy with one value replaced, dropped, added or duplicated somewhere."""
    changed = copy.deepcopy(document)
    places = []

    def walk(node):
        for key in list(node) if isinstance(node, dict) else range(len(node)):
            places.append((node, key))
            if isinstance(node[key], dict | list):
                walk(node[key])

    walk(changed)
    node, key = chance.choice(places)
    match chance.randrange(5):
        case 0:
            del node[key]
        case 1 if isinstance(node, dict):
            node[chance.choice(["op", "extra", "items", "metric", "proven_ppm"])] = chance.choice(ODD_VALUES)
        case 2 if isinstance(node, list):
            node.extend([copy.deepcopy(node[key])] * chance.choice([1, 64, 201]))
        case 3:
            other_node, other_key = chance.choice(places)
            node[key] = (
                copy.deepcopy(other_node[other_key]) if other_key in range(10**6) or other_key in other_node else 0
            )
        case _:
            node[key] = copy.deepcopy(chance.choice(ODD_VALUES))
    return changed


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 2**48), st.integers(1, 3))
def test_the_three_validators_agree_on_changed_documents(seed, changes):
    chance = random.Random(seed)
    document = chance.choice(DOCUMENTS)
    for _ in range(changes):
        document = with_change(document, chance)
    verdict = out_of_bounds(document) is None and walker_accepts(document)
    assert (not pydantic_problems(document)) == verdict
    assert (not schema_problems(document)) == verdict


def documents_of(hint):
    """Documents that the types of the IR allow, whatever they mean."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Literal:
        return st.sampled_from(arguments)
    if origin is Annotated:
        return marked(*arguments)
    if is_dataclass(hint):
        hints = get_type_hints(hint, include_extras=True)
        parts = {part.name: st.deferred(lambda name=part.name: documents_of(hints[name])) for part in fields(hint)}
        required = {part.name for part in fields(hint) if part.default is MISSING} | ({"op"} & set(hints))
        optional = {name: strategy for name, strategy in parts.items() if name not in required}
        return st.fixed_dictionaries({name: parts[name] for name in parts if name in required}, optional=optional)
    return st.one_of([st.none() if argument is NoneType else documents_of(argument) for argument in arguments])


def marked(base, marker):
    match marker:
        case ir.Whole(low, high):
            return st.integers(low, high)
        case ir.Text(pattern, longest):
            return st.from_regex(pattern, fullmatch=True).filter(lambda text: len(text) <= longest)
        case ir.Truth():
            return st.booleans()
        case ir.Limits(least, most):
            return st.lists(documents_of(get_args(base)[0]), min_size=least, max_size=min(most, least + 2))
    atoms = [documents_of(node) for node in get_args(base) if node not in (ir.Not, ir.And, ir.Or)]
    return st.one_of(*atoms, st.just({"op": "and", "items": []}))


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(documents_of(ir.Policy), st.integers(0, 2**48))
def test_every_document_of_the_types_has_one_verdict_before_and_after_a_change(document, seed):
    assert walker_accepts(document)
    assert not pydantic_problems(document)
    assert not schema_problems(document)
    assert admitted_or_code(document) in (document["name"], "inconsistent")
    document = with_change(document, random.Random(seed))
    verdict = walker_accepts(document)
    assert (not pydantic_problems(document)) == (not schema_problems(document)) == verdict


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
)


@given(JSON)
def test_any_json_value_is_refused_with_a_reason(document):
    with pytest.raises(AdmissionError):
        admit(document)
    assert pydantic_problems(document)
    assert schema_problems(document)


def changed(path, value):
    document = copy.deepcopy(WHOLE)
    node = document
    *way, last = path
    for key in way:
        node = node[key]
    if value is ...:
        del node[last]
    else:
        node[last] = value
    return document


BAD = [
    (("name",), "Acme", "wrong_text", "name"),
    (("name",), ..., "missing_field", ""),
    (("name",), 5, "wrong_type", "name"),
    (("ir_version",), 2, "out_of_range", "ir_version"),
    (("ir_version",), True, "wrong_type", "ir_version"),
    (("extra",), 1, "unknown_field", ""),
    (("fallback",), [], "out_of_range", "fallback"),
    (("fallback",), "amazon/nova-lite", "wrong_type", "fallback"),
    (("fallback", 0), "nova-lite", "wrong_text", "fallback[0]"),
    (("gates", 0, "kind"), "allow", "unknown_value", "gates[0].kind"),
    (("gates", 0, "reason"), "a\nb", "wrong_text", "gates[0].reason"),
    (("gates", 0, "reason"), "\ud800", "wrong_text", "gates[0].reason"),
    (("gates", 0, "reason"), "x" * 201, "out_of_range", "gates[0].reason"),
    (("gates", 0, "violation"), {"op": "regex", "field": "task"}, "unknown_op", "gates[0].violation"),
    (("gates", 0, "violation"), {"items": []}, "unknown_op", "gates[0].violation"),
    (("gates", 0, "violation"), None, "wrong_type", "gates[0].violation"),
    (("default", "floors"), [{"metric": "success", "at_least_ppm": 1_000_001}], "out_of_range", None),
    (("default", "floors"), [{"metric": "success", "at_least_ppm": 0.5}], "wrong_type", None),
    (("default", "floors"), [{"metric": "success", "at_least_ppm": True}], "wrong_type", None),
    (("default", "failures"), [{"outcome": "auth", "open_breaker": 1}], "wrong_type", None),
    (("default", "failures"), [{"outcome": "ok"}], "unknown_value", "default.failures[0].outcome"),
    (("default", "batch"), "yes", "unknown_value", "default.batch"),
    (("budgets", 0, "period"), "year", "unknown_value", "budgets[0].period"),
    (("canaries", 0, "until_day"), -1, "out_of_range", "canaries[0].until_day"),
    (("guard", "gates", 0, "violation"), {"op": "always"}, "unknown_op", "guard.gates[0].violation"),
    (("mode",), "dark", "unknown_value", "mode"),
]


@pytest.mark.parametrize(("path", "value", "code", "place"), BAD)
def test_a_bad_structure_is_refused_with_code_and_path(path, value, code, place):
    document = changed(path, value)
    with pytest.raises(AdmissionError) as refused:
        admit(document)
    assert refused.value.code == code
    assert place is None or refused.value.path == place
    assert pydantic_problems(document)
    assert schema_problems(document)


def comparison(field, **parts):
    return {"op": "compare", "field": field, "relation": "eq", **parts}


CHECKS = ("routes", 3, "cascade", "escalate")
INCONSISTENT = [
    (("task_texts", 0, "task"), "sing", "unknown task"),
    (("attributes", 0, "values"), ["free", "free"], "twice"),
    (("gates", 0, "violation"), comparison("attribute.plan", value="gold"), "not a value"),
    (("gates", 0, "violation"), comparison("attribute.plans", value="free"), "unknown field"),
    (("gates", 0, "violation"), comparison("attribute.plan", value="free") | {"relation": "lt"}, "no order"),
    (("guard", "gates", 0, "reason"), "no previews", "twice"),
    (("guard", "parameters"), ["colour"], "unknown parameter"),
    (("guard", "floors", 0, "proven_ppm"), 1_000_000, "confidence"),
    (("routes", 0, "floors", 0, "proven_ppm"), 499_999, "confidence"),
    (("budgets", 0, "name"), None, "belongs to org"),
    (("budgets", 0, "scope"), "tenant", "belongs to org"),
    (("budgets", 0, "degrade"), "large", "unknown tier"),
    (("budgets", 0, "warn_ppm"), None, "needs"),
    (("budgets", 0, "limit"), 0, "more than 0"),
    (("canaries", 0, "policy"), "acme/support", "another policy"),
    (("canaries", 0, "share_ppm"), 1_000_000, "everything"),
    (("canaries", 1, "drop_ppm"), None, "stands with"),
    (("assertions", 0, "given"), comparison("model.region", value="eu"), "not known"),
    (("assertions", 1, "reason"), "PII never leaves", "twice"),
    (("routes", 3, "use"), ["small"], "must equal"),
    (CHECKS, [{"rule": "judge"}], "below_ppm"),
    (CHECKS, [{"rule": "json_valid", "below_ppm": 1}], "below_ppm"),
    (CHECKS, [{"rule": "json_valid", "argument": "x"}], "argument"),
    (CHECKS, [{"rule": "schema"}], "argument"),
    (CHECKS, [{"rule": "pattern", "argument": "date"}], "one of"),
    (CHECKS, [{"rule": "hash", "argument": "abc"}], "64 hex"),
    (CHECKS, [{"rule": "json_valid"}, {"rule": "json_valid"}], "twice"),
    (("default", "parameters"), [{"name": "temperature", "rule": "set", "milli": 2_001}], "from 0 to 2"),
    (("default", "parameters"), [{"name": "max_tokens", "rule": "set", "milli": 1_500}], "whole number"),
    (("default", "parameters"), [{"name": "temperature", "rule": "seed"}], "derived"),
    (("default", "parameters"), [{"name": "temperature", "rule": "set"}], "belongs to numeric"),
    (("default", "parameters"), [{"name": "seed", "rule": "seed", "milli": 1_000}], "belongs to numeric"),
    (("default", "parameters"), [{"name": "reasoning_effort", "rule": "at_least", "word": "low"}], "a word"),
    (("default", "parameters"), [{"name": "reasoning_effort", "rule": "set"}], "belongs to reasoning"),
    (("default", "parameters"), [{"name": "top_p", "rule": "set", "milli": 1}] * 2, "twice"),
    (
        ("default", "parameters"),
        [{"name": "top_p", "rule": "at_least", "milli": 2}, {"name": "top_p", "rule": "at_most", "milli": 1}],
        "within both",
    ),
    (("default", "failures"), [{"outcome": "auth"}, {"outcome": "auth"}], "twice"),
    (("default", "failures"), [{"outcome": "auth", "then": "disable"}], "disable"),
    (("default", "failures"), [{"outcome": "auth", "backoff_ms": 5}], "needs"),
    (("default", "pin_ms"), 0, "must lie"),
    (("default", "timeout_ms"), 3_600_001, "must lie"),
    (("tasks",), ["label"], "other"),
    (("tasks",), ["label", "label", "other"], "twice"),
    (("tiers", 1, "name"), "flagship", "twice"),
    (("tiers", 0, "arms"), ["openai/gpt-5", "openai/gpt-5"], "twice"),
    (("routes", 0, "name"), "general", "twice"),
    (("routes", 0, "use"), ["large"], "unknown tier"),
    (("routes", 0, "use"), ["small", "small"], "twice"),
    (("gates", 1, "reason"), "PII stays in the EU", "twice"),
    (("gates", 0, "violation"), comparison("colour", value="red"), "unknown field"),
    (("gates", 0, "violation"), comparison("task", value="sing"), "not a value"),
    (("gates", 0, "violation"), comparison("model.vision", value="yes"), "does not compare"),
    (("gates", 0, "violation"), comparison("model.context", value="big"), "with a number"),
    (("gates", 0, "violation"), comparison("structure", value=5), "does not compare"),
    (("gates", 0, "violation"), comparison("structure", value="code") | {"relation": "lt"}, "no order"),
    (("gates", 0, "violation"), {"op": "in", "field": "model.context", "values": ["1"]}, "no named values"),
    (("gates", 0, "violation"), {"op": "in", "field": "task", "values": ["label", "label"]}, "twice"),
    (("gates", 0, "violation"), {"op": "flag", "field": "task"}, "not a flag"),
    (
        ("gates", 0, "violation"),
        {"op": "compare_fields", "left": "model.context", "relation": "lt", "ratio_ppm": 1, "right": "model.price_in"},
        "do not compare",
    ),
    (("routes", 0, "when"), {"op": "not", "item": {"op": "flag", "field": "model.vision"}}, "not known"),
    (("default", "when"), {"op": "flag", "field": "time_sensitive"}, "always"),
    (("default", "until_proven"), "openai/gpt-5", "proven_ppm"),
    (("default", "pick"), [{"rule": "fastest"}], "fastest"),
    (("default", "pick"), [{"rule": "cheapest", "metric": "ttft_p95"}], "fastest"),
    (("default", "pick"), [{"rule": "best_value"}], "best_value"),
    (("default", "pick"), [{"rule": "best_value", "value_nanodollars": 0}], "more than 0"),
    (("default", "pick"), [{"rule": "prefer"}], "prefer"),
    (("default", "pick"), [{"rule": "cheapest"}, {"rule": "best_quality"}], "more than 0"),
    (("default", "pick"), [{"rule": "cheapest", "within_ppm": 1}], "must be 0"),
]


@pytest.mark.parametrize(("path", "value", "message"), INCONSISTENT)
def test_what_does_not_fit_together_is_refused(path, value, message):
    with pytest.raises(AdmissionError, match=message) as refused:
        admit(changed(path, value))
    assert refused.value.code == "inconsistent"


def nested(levels):
    expr = {"op": "flag", "field": "time_sensitive"}
    for _ in range(levels):
        expr = {"op": "not", "item": expr}
    return changed(("gates", 0, "violation"), expr)


def test_bounds_are_checked_before_anything_recurses():
    assert admit(nested(MAX_DEPTH - 4))
    for document in (nested(MAX_DEPTH - 3), nested(100_000), [[]] * 100_000, [{}] * (MAX_NODES + 1)):
        with pytest.raises(AdmissionError) as refused:
            admit(document)
        assert refused.value.code == "out_of_bounds"
        assert pydantic_problems(document) == schema_problems(document) == [refused.value.message]


def test_absent_and_null_optional_fields_are_the_same():
    document = changed(("baseline",), None)
    assert admit(document) == admit(changed(("baseline",), ...)) == validate(document)
    assert "baseline" not in ir_document(admit(document))


def test_the_published_schema_is_the_one_the_dataclasses_give():
    published = Path(__file__).parents[2] / "policy_lang" / "ir.schema.json"
    assert json.loads(published.read_text()) == build_schema(), "run python -m policy_lang.validation"
