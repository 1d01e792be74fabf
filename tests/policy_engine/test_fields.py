"""What a form admits and what its schema says it admits are one thing."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError
from jsonschema.validators import extend

from policy_engine.fields import RequestError
from policy_engine.wire import ALIAS, PUBLISH, RECEIPTS, RECORD, ROUTE, TELEMETRY

FORMS = {
    "route": ROUTE,
    "record": RECORD,
    "telemetry": TELEMETRY,
    "receipts": RECEIPTS,
    "publish": PUBLISH,
    "alias": ALIAS,
}
ENVELOPE = {
    "task_type": "label",
    "structure_type": "prose",
    "context_length": "short",
    "tools_used": "2-4",
    "time_sensitive": False,
    "estimated_tokens": "tiny",
}
REPORT = {"token": "t" * 40, "hop": 1, "arm": "a/x", "outcome": "ok", "latency_ms": 7, "finish_reason": "stop"}
GOOD = {
    "route": [
        {"policy": "acme/support", "envelope": ENVELOPE, "org": "o", "attributes": {"plan": "gold"}, "session": "s:1"},
        {"ir": {}, "envelope": ENVELOPE, "candidates": ["a/x", "b/y"], "pin": "pin.k1.ab.cd", "tool_loop": True},
    ],
    "record": [REPORT, {"token": "t" * 40, "arm": "a/x", "quality": 0.5, "quality_slugs": ["a", "b"]}],
    "telemetry": [{"records": [REPORT]}],
    "receipts": [{"receipts": ["receipt.k1.ab.cd"]}],
    "publish": [{"source": "policy", "dry_run": True}],
    "alias": [{}, {"shares": [["ab", 1_000_000]]}, {"rollback": True}, {"rollback": True, "to": "ab"}],
}


def _integer(_checker, value):
    return isinstance(value, int) and not isinstance(value, bool)


def _pattern(_validator, pattern, value, _schema):
    if isinstance(value, str) and not re.fullmatch(pattern, value):
        yield ValidationError(pattern)


# As in policy_lang.validation: an integer has no decimal point, and a pattern ends where the text does.
Strict = extend(
    Draft202012Validator,
    {"pattern": _pattern},
    type_checker=Draft202012Validator.TYPE_CHECKER.redefine("integer", _integer),
)
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-2, 2**53),
    st.floats(-0.5, 1.5),
    st.text(max_size=6),
    st.sampled_from(["", "a", "a/x", "A", "ok", "ok\n", "é", "a" * 49, "pin.a.b.c", "2-4", "gold", "x" * 16_385]),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=9) | st.dictionaries(st.text(max_size=4), inner, max_size=17),
    max_leaves=6,
)


@st.composite
def documents(draw, name):
    """A good document of a form with one or two of its values, or of those inside, replaced, added or taken away."""
    document = json.loads(json.dumps(draw(st.sampled_from(GOOD[name]))))
    for _ in range(draw(st.integers(0, 2))):
        place = draw(st.sampled_from(list(_places(document))))
        keys = list(place) if isinstance(place, dict) else list(range(len(place)))
        new = [*FORMS[name].fields, "prompt"] if isinstance(place, dict) else []
        if not (keys or new):
            continue
        key = draw(st.sampled_from([*keys, *new]))
        if key in keys and draw(st.booleans()):
            del place[key]
        else:
            place[key] = draw(VALUES)
    return document


def _places(value):
    """Every object and array in a value."""
    if isinstance(value, dict | list):
        yield value
        for each in value.values() if isinstance(value, dict) else value:
            yield from _places(each)


def admitted(form, document):
    try:
        form.read(document)
    except RequestError:
        return False
    return True


@pytest.mark.parametrize("name", FORMS)
def test_the_good_documents_are_good(name):
    assert all(admitted(FORMS[name], document) for document in GOOD[name])


@pytest.mark.parametrize("name", FORMS)
def test_a_form_admits_what_its_schema_describes_and_no_more(name):
    schema = Strict(FORMS[name].schema())

    @given(documents(name) | VALUES)
    @example({})
    @example([])
    def agree(document):
        assert admitted(FORMS[name], document) == schema.is_valid(document), document

    agree()


@pytest.mark.parametrize("name", FORMS)
def test_the_schema_of_a_form_is_one(name):
    Draft202012Validator.check_schema(FORMS[name].schema())
