"""What a request is worth the second time, and what a signed string is worth in other hands or altered."""

from __future__ import annotations

import json
from base64 import b64encode, urlsafe_b64encode

import pytest

from functions.ingest import app as ingest
from functions.publish import app as publish
from functions.route import app as route
from policy_engine.pins import Pin, mint_pin
from policy_engine.signing import WINDOW_MS, signed_headers
from policy_engine.token import SigningKeys
from policy_lang.fingerprint import ir_document

FOREIGN = "arn:aws:sts::222222222222:assumed-role/globex-app/s"
# The deployment's own keys, as tests/functions/conftest.py makes them, and one that it does not have.
OURS = SigningKeys("k2", {"k2": bytes.fromhex("bb" * 32)})
STOLEN_NAME = SigningKeys("k2", {"k2": b"another key"})
DOORS = {
    "/v1/route": route.handler,
    "/v1/telemetry": ingest.handler,
    "/v1/policies/acme/support": publish.handler,
}


@pytest.fixture
def knock(cloud):
    """Status and document of the answer to an event, sent once more as a request of its own."""

    def answer(event):
        cloud.requests += 1
        context = {**event["requestContext"], "timeEpoch": cloud.now, "requestId": f"request-{cloud.requests}"}
        found = DOORS[event["rawPath"]]({**event, "requestContext": context}, None)
        return found["statusCode"], json.loads(found["body"])

    return answer


@pytest.mark.parametrize("path", DOORS)
@pytest.mark.parametrize("late", [WINDOW_MS + 1, 24 * 3_600_000])
def test_no_door_opens_to_a_signature_that_is_older_than_five_minutes(cloud, knock, wanted, path, late):
    event = cloud.signed(path, wanted())
    cloud.now += late
    status, document = knock(event)
    assert (status, document["error"]["code"]) == (401, "stale_timestamp")


def test_a_replayed_route_request_is_a_decision_of_its_own(cloud, knock, wanted):
    event = cloud.signed("/v1/route", wanted())
    first, again = knock(event), knock(event)
    assert (first[0], again[0]) == (200, 200)
    assert first[1]["decision_id"] != again[1]["decision_id"]
    assert len(cloud.take("records")) == 2


def test_a_replayed_route_request_with_a_key_is_the_same_decision(cloud, knock, wanted):
    event = cloud.signed("/v1/route", wanted(idempotency_key="order-7"))
    assert knock(event) == knock(event)
    assert len(cloud.take("records")) == 1


@pytest.mark.parametrize("tenants", [("acme", "acme"), ("acme", "globex")])
def test_a_key_with_another_body_is_refused_and_tells_another_tenant_nothing(cloud, wanted, report, tenants):
    principals = {"acme": {}, "globex": {"principal": FOREIGN}}
    assert cloud.publish(**principals["globex"])[0] == 200
    (first, second), other = (principals[tenant] for tenant in tenants), wanted(idempotency_key="order-7", org="sales")
    conflict = (409, "idempotency_conflict") if tenants[0] == tenants[1] else None
    reply = cloud.route(wanted(idempotency_key="order-7"), **first)[1]
    status, document = cloud.route(other, **second)
    assert (status, document.get("error", {}).get("code")) == (conflict or (200, None))
    record = report(reply)
    assert cloud.ingest({"records": [record], "idempotency_key": "order-7"}, **first)[0] == 202
    status, document = cloud.ingest({"records": [{**record, "hop": 1}], "idempotency_key": "order-7"}, **second)
    assert (status, document.get("error", {}).get("code")) == (conflict or (202, None))


def test_replayed_telemetry_counts_once(cloud, knock, report):
    records = [report(cloud.route()[1])]
    event = cloud.signed("/v1/telemetry", {"records": records})
    assert [knock(event)[0] for _ in range(3)] == [202] * 3
    cloud.learn(cloud.take("telemetry"))
    cloud.record()
    assert cloud.states() == {"applied": 1, "duplicate": 2}


def test_a_replayed_publication_cannot_undo_a_later_one(cloud, knock, policy_text):
    old = cloud.signed("/v1/policies/acme/support", {"source": policy_text.replace("90%", "95%")})
    assert knock(old)[0] == 200
    cloud.now += 1_000
    assert knock(cloud.signed("/v1/policies/acme/support", {"source": policy_text}))[0] == 200
    newer = cloud.state.current("acme")
    cloud.now += 1_000
    status, document = knock(old)
    assert (status, document["error"]["code"]) == (401, "replayed_signature")
    assert cloud.state.current("acme") == newer


def test_a_used_signature_is_forgotten_only_after_it_has_become_stale(cloud, knock, policy_text):
    assert (
        knock(cloud.signed("/v1/policies/acme/support", {"source": policy_text}, now=cloud.now + WINDOW_MS))[0] == 200
    )
    (used,) = [item for item in cloud.items("state") if item["sk"]["S"].startswith("signature#")]
    assert used["pk"]["S"] == "tenant#acme"
    assert int(used["expires_at"]["N"]) * 1000 >= cloud.now + 2 * WINDOW_MS


def test_whether_a_signature_was_used_must_be_known(cloud, knock, policy_text, failing):
    knock(cloud.signed("/v1/route", {}))
    cloud.faults.append(failing("dynamodb.PutItem"))
    status, document = knock(cloud.signed("/v1/policies/acme/support", {"source": policy_text}))
    assert (status, document["error"]["code"]) == (503, "registry_unavailable")


@pytest.mark.parametrize("path", DOORS)
@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"x-pointsman-key": "acme-1,globex-1"}, "bad_signature"),
        ({"x-pointsman-signature": ""}, "missing_credentials"),
        ({"x-pointsman-timestamp": "1e15"}, "malformed_credentials"),
        ({"x-pointsman-timestamp": "-1"}, "malformed_credentials"),
        ({"x-pointsman-timestamp": "\uff11\uff12"}, "malformed_credentials"),
        ({"x-pointsman-timestamp": "9" * 16}, "malformed_credentials"),
        ({"x-pointsman-key": "a" * 65}, "malformed_credentials"),
        ({"x-pointsman-key": "acme-1#-"}, "bad_signature"),
    ],
)
def test_headers_that_were_tampered_with_are_refused(cloud, knock, wanted, path, change, code):
    event = cloud.signed(path, wanted())
    status, document = knock({**event, "headers": {**event["headers"], **change}})
    assert (status, document["error"]["code"]) == (401, code)


@pytest.mark.parametrize("path", DOORS)
def test_the_signature_covers_what_a_base64_body_decodes_to(cloud, knock, wanted, path):
    plain = cloud.signed(path, wanted())
    assert knock({**plain, "isBase64Encoded": True})[1]["error"]["code"] == "malformed_body"
    other = b64encode(json.dumps(wanted(org="rich")).encode()).decode()
    assert knock({**plain, "body": other, "isBase64Encoded": True})[1]["error"]["code"] == "bad_signature"


def test_a_base64_body_that_is_signed_as_sent_is_served(cloud, knock, wanted):
    event = cloud.signed("/v1/route", wanted())
    assert knock({**event, "body": b64encode(event["body"].encode()).decode(), "isBase64Encoded": True})[0] == 200


@pytest.mark.parametrize("path", ["/v1/telemetry", "/v1/policies/acme/support"])
@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ('{"a":1,"a":1}', 400, "duplicate_key"),
        ('{"a":{"b":1,"b":2}}', 400, "duplicate_key"),
        ('{"a":NaN}', 400, "not_a_number"),
        ('{"a":-Infinity}', 400, "not_a_number"),
        ('{"a":1e400}', 400, "number_too_large"),
        (f'{{"a":{2**53}}}', 400, "number_too_large"),
        ('{"a":' + "9" * 10_000 + "}", 400, "number_too_large"),
        ("[" * 65 + "]" * 65, 400, "too_deep"),
        ('{"a":' * 65 + "1" + "}" * 65, 400, "too_deep"),
        ("{" + " " * 400_000 + "}", 413, "body_too_large"),
        ("\ufeff{}", 400, "malformed_json"),
        ("{}{}", 400, "malformed_json"),
    ],
)
def test_what_two_parsers_could_read_differently_is_refused_at_every_door(cloud, knock, path, body, status, code):
    found, document = knock(cloud.event(path, body))
    assert (found, document["error"]["code"]) == (status, code)


class TestPins:
    @pytest.fixture
    def asked(self, cloud, wanted):
        """Status and error code, or role of the first step, for a request whose routes pin sessions."""
        inline = ir_document(next(iter(cloud.state.current("acme").policies.values())).policy)
        for each in (*inline["routes"], inline["default"]):
            each["pin_ms"] = 1_800_000

        def ask(pin, *, session="s1", **how):
            status, reply = cloud.route(wanted(policy=None, ir=inline, session=session, pin=pin), **how)
            return status, reply["error"]["code"] if status != 200 else reply["plan"][0]["role"]

        return ask

    def pin(self, cloud, keys=OURS, **fields):
        usual = {"tenant": "acme", "session": "s1", "route": "labelling", "arm": "openai/gpt-5-mini"}
        return mint_pin(Pin(**{**usual, "until_ms": cloud.now + 60_000, **fields}), keys)

    def test_a_pin_of_ours_holds(self, cloud, asked):
        assert asked(self.pin(cloud)) == (200, "pinned")

    @pytest.mark.parametrize(
        "fields",
        [{"keys": STOLEN_NAME}, {"tenant": "globex"}, {"session": "s2"}, {"keys": SigningKeys("k9", {"k9": b"x"})}],
    )
    def test_a_pin_that_is_not_this_sessions_is_refused(self, cloud, asked, fields):
        assert asked(self.pin(cloud, **fields)) == (400, "invalid_pin")

    def test_another_tenant_cannot_use_it(self, cloud, asked):
        assert asked(self.pin(cloud), principal=FOREIGN) == (400, "invalid_pin")

    @pytest.mark.parametrize(
        "fields", [{"route": "general"}, {"until_ms": 1}, {"until_ms": 10**15}, {"arm": "anthropic/claude-opus-4-8"}]
    )
    def test_a_pin_grants_no_arm_that_the_policy_does_not(self, cloud, asked, fields):
        status, role = asked(self.pin(cloud, **fields))
        assert status == 200
        assert role != "pinned"

    def test_no_letter_of_a_pin_can_be_changed(self, cloud, asked):
        pin = self.pin(cloud)
        for at in range(4, len(pin), 5):
            letter = "A" if pin[at] != "A" else "B"
            assert asked(pin[:at] + letter + pin[at + 1 :])[0] == 400, at

    def test_a_decision_token_is_no_pin_and_a_pin_is_no_decision_token(self, cloud, asked, report):
        token = cloud.route()[1]["token"]
        assert asked(token) == (400, "invalid_field")
        assert asked("pin" + token[1:]) == (400, "invalid_pin")
        reply = cloud.route()[1]
        for forged in (self.pin(cloud), "1" + self.pin(cloud)[3:]):
            assert cloud.ingest([report(reply, token=forged)])[0] == 202
        cloud.learn(cloud.take("telemetry"))
        cloud.record()
        assert cloud.states() == {"rejected": 2}


def test_no_letter_of_a_decision_token_can_be_changed(cloud, report):
    reply = cloud.route()[1]
    token = reply["token"]
    forged = [token[:at] + ("A" if token[at] != "A" else "B") + token[at + 1 :] for at in range(5, len(token), 7)]
    longer = [token + "A", token + ".", token[:-1], "1" + token]
    claims = token.split(".")
    raised = urlsafe_b64encode(b'["acme","0","0","label","r",[],1000000,0,0]').rstrip(b"=").decode()
    forged += [*longer, ".".join([*claims[:2], raised, claims[3]])]
    assert cloud.ingest([report(reply, token=each) for each in forged])[0] == 202
    cloud.learn(cloud.take("telemetry"))
    cloud.record()
    assert cloud.states() == {"rejected": len(forged)}
    assert cloud.items("statistics") == []


def test_a_signature_made_for_one_method_or_path_opens_no_other(cloud, knock, wanted):
    body = json.dumps(wanted()).encode()
    for method, path in (
        ("GET", "/v1/route"),
        ("POST", "/v1/telemetry"),
        ("POST", "/v1/route?x=1"),
        ("post", "/v1/route"),
    ):
        headers = signed_headers("acme-1", bytes(range(32)), method=method, path=path, body=body, now_ms=cloud.now)
        status, document = knock(cloud.event("/v1/route", body.decode(), principal=None, headers=headers))
        assert (status, document["error"]["code"]) == (401, "bad_signature"), (method, path)
