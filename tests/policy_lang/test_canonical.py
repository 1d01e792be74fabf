import json

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from policy_lang.canonical import MAX_SAFE_INTEGER, StrictJsonError, canonical, parse_strict

KEYS = st.text(st.characters(max_codepoint=127), max_size=8)
OURS = st.recursive(
    st.none() | st.booleans() | st.integers(-MAX_SAFE_INTEGER, MAX_SAFE_INTEGER) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4),
)


@given(OURS)
def test_our_form_is_the_one_of_rfc_8785(value):
    assert canonical(value) == rfc8785.dumps(value)


@given(OURS)
def test_what_we_write_we_read(value):
    assert parse_strict(canonical(value), max_bytes=10**6) == value


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (b"", "malformed_json"),
        (b"{", "malformed_json"),
        (b"[1,]", "malformed_json"),
        (b"\xff", "malformed_json"),
        (b'{"a":1,"a":1}', "duplicate_key"),
        (b'{"b":{"a":1,"a":2}}', "duplicate_key"),
        (b"NaN", "not_a_number"),
        (b"[-Infinity]", "not_a_number"),
        (b"1e999", "number_too_large"),
        (b"9007199254740992", "number_too_large"),
        (b"-9007199254740992", "number_too_large"),
        (b"9" * 5000, "number_too_large"),
        (b"[" * 1000 + b"]" * 1000, "too_deep"),
        (b'{"a":' * 100 + b"1" + b"}" * 100, "too_deep"),
        (b" " * 6000, "body_too_large"),
    ],
)
def test_what_two_parsers_could_read_differently_is_refused(text, code):
    with pytest.raises(StrictJsonError) as refused:
        parse_strict(text, max_bytes=5500)
    assert refused.value.code == code


def test_brackets_inside_strings_are_no_nesting():
    assert parse_strict(json.dumps({"a": "[" * 500 + '\\"'}), max_bytes=5000)
