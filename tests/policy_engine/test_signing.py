"""Signed requests: what verifies, what does not, and which code says why."""

from __future__ import annotations

import pytest

from policy_engine.signing import (
    KEY_HEADER,
    SIGNATURE_HEADER,
    TIMESTAMP_HEADER,
    WINDOW_MS,
    SignatureError,
    signature_from_headers,
    signed_headers,
    verify_signature,
)

SECRET = bytes(range(32))
REQUEST = {"method": "POST", "path": "/v1/route", "body": b'{"a":1}', "now_ms": 1_790_000_000_000}
# Computed with OpenSSL over the text that the module docstring states: a client in any language can be held to it.
VECTOR = "01a9b5f56f565e490ba884222fb95fd7ec4ac7673834bcb99bf0a40103081974"


@pytest.fixture
def headers():
    return signed_headers("k", SECRET, **REQUEST)


def test_a_signature_verifies_over_the_request_it_was_made_for(headers):
    verify_signature(signature_from_headers(headers), SECRET, **REQUEST)


def test_the_signed_text_is_the_documented_one(headers):
    assert headers == {KEY_HEADER: "k", TIMESTAMP_HEADER: "1790000000000", SIGNATURE_HEADER: VECTOR}


@pytest.mark.parametrize(
    "change",
    [{"method": "PUT"}, {"path": "/v1/telemetry"}, {"body": b'{"a":2}'}, {"body": b""}],
)
def test_no_part_of_the_request_can_be_exchanged(headers, change):
    with pytest.raises(SignatureError) as refused:
        verify_signature(signature_from_headers(headers), SECRET, **{**REQUEST, **change})
    assert refused.value.code == "bad_signature"


def test_the_time_is_signed_too(headers):
    headers[TIMESTAMP_HEADER] = "1790000000001"
    with pytest.raises(SignatureError, match="no known key signed this request"):
        verify_signature(signature_from_headers(headers), SECRET, **REQUEST)


@pytest.mark.parametrize(("late", "code"), [(WINDOW_MS, None), (-WINDOW_MS, None), (WINDOW_MS + 1, "stale_timestamp")])
def test_a_signature_holds_for_five_minutes_either_way(headers, late, code):
    found = None
    try:
        verify_signature(signature_from_headers(headers), SECRET, **{**REQUEST, "now_ms": REQUEST["now_ms"] + late})
    except SignatureError as refused:
        found = refused.code
    assert found == code


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({KEY_HEADER: ""}, "missing_credentials"),
        ({TIMESTAMP_HEADER: ""}, "missing_credentials"),
        ({SIGNATURE_HEADER: ""}, "missing_credentials"),
        ({TIMESTAMP_HEADER: "now"}, "malformed_credentials"),
        ({TIMESTAMP_HEADER: "-1"}, "malformed_credentials"),
        ({TIMESTAMP_HEADER: "9" * 16}, "malformed_credentials"),
        ({TIMESTAMP_HEADER: "١٧٩"}, "malformed_credentials"),
        ({KEY_HEADER: "k" * 65}, "malformed_credentials"),
        ({SIGNATURE_HEADER: "é" * 64}, "malformed_credentials"),
    ],
)
def test_ill_formed_headers_are_refused_before_anything_is_looked_up(headers, change, code):
    with pytest.raises(SignatureError) as refused:
        signature_from_headers({**headers, **change})
    assert refused.value.code == code
