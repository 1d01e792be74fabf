from __future__ import annotations

import hmac
import inspect
import json
import os
import socket
import subprocess
import sys
from hashlib import sha256

import pytest

import policy_client
from policy_client import (
    Client,
    HmacCredentials,
    NoCandidates,
    RouteError,
    RouteReply,
    RouteUnavailable,
    build_envelope,
)

KEY = HmacCredentials("k-acme", b"secret")
ENVELOPE = build_envelope(task_type="label", estimated_tokens=300)


def test_a_reply_is_read_into_typed_values(service, reply_document):
    service.answer(200, reply_document)
    with Client(service.url, KEY) as client:
        reply = client.route(policy="acme/support", envelope=ENVELOPE, org="growth", candidates=["openai/gpt-5.4-nano"])
    assert isinstance(reply, RouteReply)
    assert (reply.arm, reply.model, reply.floor, reply.explored) == (
        "anthropic/claude-haiku-4-5",
        "claude-haiku-4-5",
        "cleared",
        False,
    )
    assert [step.role for step in reply.plan] == ["pick", "fallback"]
    assert reply.baseline_cost_nanodollars == 9_000
    path, _, body = service.asked[0]
    assert path == "/v1/route"
    assert json.loads(body) == {
        "policy": "acme/support",
        "org": "growth",
        "candidates": ["openai/gpt-5.4-nano"],
        "envelope": {
            "task_type": "label",
            "structure_type": "prose",
            "context_length": "short",
            "tools_used": "0",
            "time_sensitive": False,
            "estimated_tokens": "tiny",
        },
    }


def test_a_request_is_signed_over_path_time_and_body(service, reply_document):
    service.answer(200, reply_document)
    with Client(service.url, KEY, clock=lambda: 1_700_000_000_123) as client:
        client.route(policy="a", envelope=ENVELOPE)
    _, headers, body = service.asked[0]
    message = f"POST\n/v1/route\n1700000000123\n{sha256(body).hexdigest()}"
    assert headers["x-pointsman-key"] == "k-acme"
    assert headers["x-pointsman-timestamp"] == "1700000000123"
    assert headers["x-pointsman-signature"] == hmac.digest(b"secret", message.encode(), "sha256").hex()


def test_sigv4_signs_for_the_lambda_service_in_the_region(service, reply_document, monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wJalrXUtnFEMI")
    service.answer(200, reply_document)
    with Client(service.url, policy_client.SigV4Credentials("eu-central-1")) as client:
        client.route(policy="a", envelope=ENVELOPE)
    authorization = service.asked[0][1]["Authorization"]
    assert authorization.startswith("AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/")
    assert "/eu-central-1/lambda/aws4_request" in authorization


def test_connections_are_kept_alive_and_a_dropped_one_is_replaced(service, reply_document):
    service.answer(200, reply_document)
    with Client(service.url, KEY) as client:
        for _ in range(3):
            client.route(policy="a", envelope=ENVELOPE)
        assert len(set(service.peers)) == 1
        service.hang_up = True
        for _ in range(3):
            client.route(policy="a", envelope=ENVELOPE)
        assert len(set(service.peers)) == 3


@pytest.mark.parametrize(
    ("status", "answer", "code"),
    [
        (400, {"error": {"code": "unknown_policy", "message": "no policy `a`; publish it first"}}, "unknown_policy"),
        (401, {"error": {"code": "unsigned", "message": "sign the request"}}, "unsigned"),
        (503, {"error": {"code": "state_unavailable", "message": "no state"}}, "state_unavailable"),
        (502, "Internal Server Error", "malformed_reply"),
        (200, {"status": "served"}, "malformed_reply"),
        (200, [], "malformed_reply"),
        (403, {"Message": "Forbidden"}, "malformed_reply"),
    ],
)
def test_a_refusal_is_a_route_error_with_its_code_and_status(service, status, answer, code):
    service.answer(status, answer)
    with Client(service.url, KEY) as client, pytest.raises(RouteError) as refused:
        client.route(policy="a", envelope=ENVELOPE)
    assert (refused.value.code, refused.value.status) == (code, status)


def test_no_candidates_is_an_error_that_carries_the_reasons(service):
    rows = [{"arm": "a/b", "fate": "barred", "reasons": [{"rule": "no previews", "verdict": "violated"}]}]
    service.answer(422, {"error": {"code": "no_candidates", "message": "nobody", "candidates": rows}})
    with Client(service.url, KEY) as client, pytest.raises(NoCandidates) as refused:
        client.route(policy="a", envelope=ENVELOPE)
    assert refused.value.code == "no_candidates"
    assert refused.value.candidates == rows


def test_when_nothing_listens_the_error_names_the_emergency_model():
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        with Client(url, KEY) as client, pytest.raises(RouteUnavailable, match="claude-haiku-4-5") as missing:
            client.route(policy="a", envelope=ENVELOPE, fallback="claude-haiku-4-5")
    assert missing.value.fallback == "claude-haiku-4-5"


def test_a_slow_service_is_given_up_after_the_read_timeout(service, reply_document):
    service.answer(200, reply_document, wait=1.0)
    with Client(service.url, KEY, read_timeout=0.05) as client, pytest.raises(RouteUnavailable, match="time"):
        client.route(policy="a", envelope=ENVELOPE)


def test_a_receipt_that_the_service_could_not_keep_is_carried_and_submitted_until_it_is_taken(
    service, reply_document, eventually
):
    receipt = "receipt.k1.eyJoYXNoIjoi.mac-mac"
    service.answer(200, {**reply_document, "receipt": receipt})
    service.answer(422, {"error": {"code": "no_candidates", "message": "none", "receipt": receipt}})
    service.answer(503, {"error": {"code": "receipt_unavailable", "message": "later"}})
    service.answer(202, {"accepted": 2})
    with Client(service.url, HmacCredentials("k", b"s"), carry_receipts=True, batch_age=0.05) as client:
        client.route(envelope=ENVELOPE, policy="acme/support")
        with pytest.raises(NoCandidates):
            client.route(envelope=ENVELOPE, policy="acme/support")
        assert eventually(lambda: client.carried().accepted == 2)
    asked = [(path, json.loads(body)) for path, _, body in service.asked]
    assert [document.get("carry_receipt") for _, document in asked[:2]] == [True, True]
    assert asked[2:] == [("/v1/receipts", {"receipts": [receipt, receipt]})] * 2


def test_carried_receipts_outlive_the_process_in_a_spill_file_of_their_own(service, reply_document, tmp_path):
    spill = tmp_path / "spill"
    service.answer(200, {**reply_document, "receipt": "receipt.k1.e30.mac"})
    service.answer(503, {"error": {"code": "receipt_unavailable", "message": "later"}})
    with Client(service.url, HmacCredentials("k", b"s"), carry_receipts=True, spill=spill, exit_flush=0.1) as client:
        client.route(envelope=ENVELOPE, policy="acme/support")
    assert (tmp_path / "spill.receipts").read_text() == '"receipt.k1.e30.mac"\n'
    assert not spill.exists()


@pytest.mark.parametrize("url", ["localhost:8080", "ftp://x", "http://", "http://host/?q=1"])
def test_an_address_that_cannot_be_posted_to_is_refused_at_once(url):
    with pytest.raises(ValueError, match="http"):
        Client(url, KEY)


def test_the_public_names_are_these():
    assert sorted(policy_client.__all__) == [
        "Client",
        "ClientError",
        "Credentials",
        "Envelope",
        "EnvelopeError",
        "HmacCredentials",
        "NoCandidates",
        "PlanStep",
        "RouteError",
        "RouteReply",
        "RouteUnavailable",
        "SigV4Credentials",
        "TelemetryStats",
        "build_envelope",
        "span_attributes",
        "span_name",
    ]


def test_no_parameter_anywhere_takes_prompt_text():
    prompt_like = {"prompt", "prompts", "message", "messages", "text", "content", "completion", "input", "output"}
    counted = {"empty_content", "input_tokens", "output_tokens"}  # a flag and two numbers
    for name in policy_client.__all__:
        thing = getattr(policy_client, name)
        methods = [m for n, m in inspect.getmembers(thing, inspect.isfunction) if not n.startswith("_")]
        for function in [thing, *methods] if not name.endswith(("Error", "Unavailable", "Candidates")) else methods:
            for parameter in set(inspect.signature(function).parameters) - counted:
                assert not prompt_like & set(parameter.split("_")), (name, function)


def test_importing_the_client_loads_no_third_party_package():
    code = "import policy_client, sys; print(sorted({n.partition('.')[0] for n in sys.modules}))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    for name in ("boto3", "botocore", "pydantic", "lark", "aws_lambda_powertools", "jsonschema"):
        assert f"'{name}'" not in loaded


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_reports_its_own_telemetry_and_none_of_its_parents(service, reply_document):
    service.answer(200, reply_document)
    script = """
import os, sys
from policy_client import Client, HmacCredentials, build_envelope
client = Client(sys.argv[1], HmacCredentials("k", b"s"), batch_age=60, read_timeout=5)
reply = client.route(policy="a", envelope=build_envelope(task_type="label"))
client.telemetry(reply, hop=0, latency_ms=1)
if os.fork() == 0:
    client.telemetry(reply, hop=0, latency_ms=2)
    sys.exit(0 if client.flush(5) and client.stats().queued == 1 else 9)
assert os.waitstatus_to_exitcode(os.wait()[1]) == 0
assert client.stats().pending == 1 and client.flush(5)
"""
    done = subprocess.run([sys.executable, "-W", "ignore::DeprecationWarning", "-c", script, service.url], timeout=30)
    assert done.returncode == 0
    assert [record["latency_ms"] for record in service.records()] == [2, 1]
