"""The walker of `route`, pydantic and the published JSON Schema: one verdict on every document."""

import copy
import json
import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

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


@settings(max_examples=400)
@given(st.integers(0, 2**48), st.integers(1, 3))
def test_the_three_validators_agree_on_changed_documents(seed, changes):
    chance = random.Random(seed)
    document = chance.choice(DOCUMENTS)
    for _ in range(changes):
        document = with_change(document, chance)
    verdict = out_of_bounds(document) is None and walker_accepts(document)
    assert (not pydantic_problems(document)) == verdict
    assert (not schema_problems(document)) == verdict


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


INCONSISTENT = [
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
