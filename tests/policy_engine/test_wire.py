from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policy_engine.wire import (
    MAX_ROUTE_BYTES,
    RequestError,
    parse_route,
    parse_telemetry,
    record_from_wire,
    record_to_wire,
)

ENVELOPE = {
    "task_type": "label",
    "structure_type": "prose",
    "context_length": "short",
    "tools_used": "0",
    "time_sensitive": False,
    "estimated_tokens": "tiny",
}
RECORD = {"token": "t" * 40, "hop": 0, "arm": "anthropic/claude-haiku-4-5", "outcome": "ok"}


def body(**fields) -> bytes:
    return json.dumps({"policy": "acme/support", "envelope": ENVELOPE, **fields}).encode()


def test_a_request_is_admitted_and_documents_itself():
    request = parse_route(body(org="growth", candidates=["b/y", "a/x", "a/x"]))
    assert request.candidates == ("a/x", "b/y")
    assert request.document() == {
        "envelope": ENVELOPE,
        "policy": "acme/support",
        "org": "growth",
        "candidates": ["a/x", "b/y"],
    }


@pytest.mark.parametrize(
    ("text", "status", "code"),
    [
        (b"", 400, "malformed_json"),
        (b"{", 400, "malformed_json"),
        (b"\xff\xfe", 400, "malformed_json"),
        (b"[]", 400, "invalid_field"),
        (b'{"policy":"a","policy":"b"}', 400, "duplicate_key"),
        (b'{"x":NaN}', 400, "not_a_number"),
        (b'{"x":Infinity}', 400, "not_a_number"),
        (b'{"x":1e999}', 400, "number_too_large"),
        (b'{"x":123456789012345678901234567890}', 400, "number_too_large"),
        (b"[" * 1000 + b"]" * 1000, 400, "too_deep"),
        (b'{"a":' * 1000 + b"1" + b"}" * 1000, 400, "too_deep"),
        (b" " * (MAX_ROUTE_BYTES + 1), 413, "body_too_large"),
        (body(prompt="tell me"), 400, "unknown_field"),
        (body(ir={}), 400, "missing_field"),
        (json.dumps({"policy": "p"}).encode(), 400, "missing_field"),
        (body(policy="Not A Name"), 400, "invalid_field"),
        (body(org="a b"), 400, "invalid_field"),
        (body(org=None), 400, "invalid_field"),
        (body(candidates=[]), 400, "invalid_field"),
        (body(candidates=["gpt"]), 400, "invalid_field"),
        (body(envelope={**ENVELOPE, "prompt": "x"}), 400, "invalid_envelope"),
        (body(envelope={**ENVELOPE, "context_length": "vast"}), 400, "invalid_envelope"),
        (body(envelope={**ENVELOPE, "time_sensitive": 1}), 400, "invalid_envelope"),
        (body(envelope={**ENVELOPE, "task_type": "Tell me a joke"}), 400, "invalid_envelope"),
    ],
)
def test_a_bad_request_is_refused_with_a_code(text, status, code):
    with pytest.raises(RequestError) as refused:
        parse_route(text)
    assert (refused.value.status, refused.value.code) == (status, code)


@given(st.binary(max_size=200))
def test_random_bytes_are_refused_never_crash(noise):
    with pytest.raises(RequestError):
        parse_route(noise)


def test_a_record_survives_the_wire():
    wire = RECORD | {
        "input_tokens": 10,
        "output_tokens": 5,
        "latency_ms": 900,
        "quality": 0.75,
        "quality_slugs": ["tone"],
    }
    assert record_to_wire(record_from_wire(wire)) == wire


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"token": 5}, "invalid_field"),
        ({"arm": "haiku"}, "invalid_field"),
        ({"outcome": "great"}, "invalid_field"),
        ({"outcome": None}, "invalid_field"),
        ({"hop": -1}, "invalid_field"),
        ({"hop": 99}, "invalid_field"),
        ({"input_tokens": 1.5}, "invalid_field"),
        ({"input_tokens": True}, "invalid_field"),
        ({"latency_ms": 10**12}, "invalid_field"),
        ({"quality": 1.01}, "invalid_field"),
        ({"quality": "good"}, "invalid_field"),
        ({"finish_reason": "bored"}, "invalid_field"),
        ({"quality_slugs": ["has a space"]}, "invalid_field"),
        ({"text": "the answer"}, "unknown_field"),
    ],
)
def test_a_bad_record_refuses_its_batch_and_is_named(change, code):
    batch = json.dumps({"records": [RECORD, {**RECORD, **change}]}).encode()
    with pytest.raises(RequestError) as refused:
        parse_telemetry(batch)
    assert refused.value.code == code
    assert str(refused.value).startswith("records[1]: ")
