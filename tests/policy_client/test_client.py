from __future__ import annotations

import hmac
import inspect
import json
import os
import socket
import subprocess
import sys
import time
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
from policy_engine.wire import ROUTE, parse_route

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


def test_a_secret_still_in_hex_is_refused_with_what_to_do():
    with pytest.raises(TypeError, match=r"bytes\.fromhex"):
        HmacCredentials("k-acme", "00ff")


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
    with Client(service.url, HmacCredentials("k", b"s"), carry_receipts=True, batch_age=0.5) as client:
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


def asked_pins(service):
    return [json.loads(body).get("pin") for _, _, body in service.asked]


def test_everything_that_a_request_may_say_is_sent(service, reply_document):
    service.answer(200, reply_document)
    said = {
        "policy": "acme/support", "org": "growth", "team": "desk", "product": "mail", "attributes": {"channel": "mail"},
        "candidates": ["a/b"], "session": "s-1", "pin": "stored", "tool_loop": True, "idempotency_key": "k-1",
    }  # fmt: skip
    with Client(service.url, KEY, carry_receipts=True) as client:
        client.route(envelope=ENVELOPE, **said)
    document = json.loads(service.asked[0][2])
    assert document == {**said, "carry_receipt": True, "envelope": document["envelope"]}
    assert set(document) == set(ROUTE.fields) - {"ir"}
    parse_route(service.asked[0][2])


def test_a_session_carries_its_latest_pin_and_no_other_call_does(service, reply_document):
    for pin in ("pin.k.a.m", "pin.k.b.m", None):
        service.answer(200, {**reply_document, "session_pin": pin} if pin else reply_document)
    with Client(service.url, KEY) as client:
        replies = [client.route(policy="a", envelope=ENVELOPE, session="s-1") for _ in range(4)]
        client.route(policy="a", envelope=ENVELOPE, session="s-2")
        client.route(policy="a", envelope=ENVELOPE)
    assert [reply.session_pin for reply in replies] == ["pin.k.a.m", "pin.k.b.m", None, None]
    assert asked_pins(service) == [None, "pin.k.a.m", "pin.k.b.m", "pin.k.b.m", None, None]


def test_a_pin_that_the_caller_gives_is_sent_and_not_remembered(service, reply_document):
    service.answer(200, {**reply_document, "session_pin": "pin.k.b.m"})
    with Client(service.url, KEY) as client:
        for pin in ("stored", "pin.k.a.m", None):
            client.route(policy="a", envelope=ENVELOPE, session="s-1", pin=pin)
    assert asked_pins(service) == ["stored", "pin.k.a.m", None]


def test_a_turn_that_is_repeated_under_its_key_is_the_same_request(service, reply_document):
    service.answer(200, {**reply_document, "session_pin": "pin.k.a.m"})
    with Client(service.url, KEY) as client:
        for key in ("turn-1", "turn-1", "turn-2", "turn-2"):
            client.route(policy="a", envelope=ENVELOPE, session="s-1", idempotency_key=key)
    bodies = [body for _, _, body in service.asked]
    assert bodies[0] == bodies[1] != bodies[2] == bodies[3]
    assert asked_pins(service)[2] == "pin.k.a.m"


def test_of_too_many_sessions_the_one_unused_for_longest_is_forgotten(service, reply_document):
    service.answer(200, {**reply_document, "session_pin": "pin.k.a.m"})
    with Client(service.url, KEY, sessions=2) as client:
        for session in ("s-1", "s-2", "s-1", "s-3", "s-1", "s-2"):
            client.route(policy="a", envelope=ENVELOPE, session=session)
    assert [bool(pin) for pin in asked_pins(service)] == [False, False, True, False, True, False]


def test_a_remembered_pin_that_is_refused_is_forgotten_and_one_that_was_given_is_the_callers(service, reply_document):
    refusal = (400, {"error": {"code": "invalid_pin", "message": "unknown key"}})
    service.answer(200, {**reply_document, "session_pin": "pin.k.a.m"})
    service.answer(*refusal)
    service.answer(200, {**reply_document, "session_pin": "pin.k.b.m"})
    service.answer(*refusal)
    with Client(service.url, KEY) as client:
        for _ in range(2):
            reply = client.route(policy="a", envelope=ENVELOPE, session="s-1")
        assert reply.session_pin == "pin.k.b.m"
        with pytest.raises(RouteError, match="unknown key"):
            client.route(policy="a", envelope=ENVELOPE, session="s-1", pin="pin.k.x.m")
    assert asked_pins(service) == [None, "pin.k.a.m", None, "pin.k.x.m"]


@pytest.mark.parametrize(
    "url", ["localhost:8080", "ftp://x", "http://", "http://host/?q=1", "http://host:port", "http://host:70000"]
)
def test_an_address_that_cannot_be_posted_to_is_refused_at_once(url):
    with pytest.raises(ValueError, match="http"):
        Client(url, KEY)


@pytest.mark.parametrize("credentials", [None, "k-acme", HmacCredentials])
def test_credentials_that_cannot_sign_are_refused_at_once(credentials):
    with pytest.raises(TypeError, match=r"must be `HmacCredentials\(key_id, secret\)` or `SigV4Credentials"):
        Client("http://127.0.0.1:9", credentials)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"attributes": ["eu"]}, "`attributes` must be a mapping of names to values"),
        ({"attributes": []}, "`attributes` must be a mapping of names to values"),
        ({"attributes": "eu"}, "`attributes` must be a mapping of names to values"),
        ({"candidates": "a/b"}, "`candidates` must be a sequence of arm ids"),
        ({"envelope": {"task_type": "label"}}, "`envelope` must be an Envelope"),
    ],
)
def test_an_argument_of_the_wrong_kind_is_refused_before_anything_is_sent(service, wrong, says):
    with Client(service.url, KEY) as client, pytest.raises(TypeError, match=says):
        client.route(**{"policy": "a", "envelope": ENVELOPE, **wrong})
    assert service.asked == []


@pytest.mark.parametrize("end", [Client.flush, Client.close])
def test_one_timeout_covers_telemetry_and_receipts_and_neither_waits_for_the_other(service, reply_document, end):
    receipt = {"receipt": "receipt.k1.e30.mac"}
    service.answer(200, {**reply_document, **receipt})
    with Client(service.url, KEY, carry_receipts=True, batch_age=60, telemetry_url="http://127.0.0.1:9") as client:
        reply = client.route(envelope=ENVELOPE, policy="acme/support")
        client.telemetry(reply)
        began = time.monotonic()
        assert end(client, 0.5) is False
        assert 0.4 < time.monotonic() - began < 0.9
        assert client.carried().accepted == 1
        assert client.stats().accepted == 0


def test_a_close_that_waits_for_both_in_vain_takes_its_timeout_once(service, reply_document):
    service.answer(200, {**reply_document, "receipt": "receipt.k1.e30.mac"})
    service.answer(503, {"error": {}}, wait=2)
    client = Client(service.url, KEY, carry_receipts=True, batch_age=60, read_timeout=30)
    client.telemetry(client.route(envelope=ENVELOPE, policy="acme/support"))
    began = time.monotonic()
    assert client.close(0.5) is False
    assert time.monotonic() - began < 0.95
    assert (client.stats().refused, client.carried().refused) == (1, 1)


def test_the_public_names_are_these():
    assert sorted(policy_client.__all__) == [
        "AfterOutcome",
        "Cascade",
        "Check",
        "Client",
        "ClientError",
        "Credentials",
        "Envelope",
        "EnvelopeError",
        "HmacCredentials",
        "NoCandidates",
        "Parameter",
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
