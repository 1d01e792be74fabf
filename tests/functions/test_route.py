"""`POST /v1/route` end to end: what is answered, what is kept, and what it costs in AWS calls."""

from __future__ import annotations

import json
import subprocess
import sys
from base64 import b64encode
from pathlib import Path

import pytest

from functions.route import app as route
from functions.stores.secrets import keys_from_secret
from functions.stores.state import Revision
from policy_engine.receipt import open_sealed, signed_receipt
from policy_engine.replay import replay
from policy_engine.state import with_overlay
from policy_engine.token import verify
from policy_lang.catalog import Model, default_catalog
from policy_lang.compiler import compile_policy
from policy_lang.fingerprint import ir_document

COLD = [
    "dynamodb.GetItem",
    "dynamodb.GetItem",
    "s3.GetObject",
    "secrets-manager.GetSecretValue",
    "dynamodb.UpdateItem",
    "sqs.SendMessage",
]


def test_a_decision_is_served_with_its_plan_and_token(cloud):
    status, reply = cloud.route()
    assert status == 200
    assert reply["status"] == "served"
    assert reply["plan"][0]["arm"] == reply["arm"]
    assert reply["floor"] == "unproven"
    assert reply["degraded"] is False
    assert reply["token"].startswith("1.k2.")


def test_the_receipt_is_in_the_queue_before_the_reply_leaves(cloud):
    _, reply = cloud.route()
    (message,) = cloud.take("records")
    header, line = message["body"].split("\n")
    assert json.loads(header) == {"at_ms": cloud.now, "kind": "receipt", "tenant": "acme"}
    assert open_sealed(line)["circumstances"]["decision_id"] == reply["decision_id"]


def test_the_same_event_gives_the_same_answer_in_every_environment(cloud, wanted):
    event = cloud.event("/v1/route", wanted())
    first = route.handler(event, None)
    cloud.restart()
    assert route.handler(event, None) == first


def test_a_request_costs_one_aws_call_when_warm_and_six_when_cold(cloud):
    while cloud.route()[1]["explored"]:  # which uses up the first slice of its lease: the next request would renew it
        cloud.restart()
        cloud.calls.clear()
    assert cloud.calls == COLD
    cloud.calls.clear()
    cloud.route()
    assert cloud.calls == ["sqs.SendMessage"]


def test_an_expired_state_costs_one_more_call_or_two_when_it_moved_and_a_lease_then_waits(cloud, policy_text):
    cloud.route()
    cloud.now += 31_000
    cloud.calls.clear()
    cloud.route()
    assert cloud.calls == ["dynamodb.GetItem", "dynamodb.UpdateItem", "sqs.SendMessage"]
    cloud.publish(policy_text.replace("90% proven", "80% proven"))
    cloud.now += 31_000
    cloud.calls.clear()
    cloud.route()
    assert cloud.calls == ["dynamodb.GetItem", "s3.GetObject", "sqs.SendMessage"]
    cloud.calls.clear()
    cloud.route()
    assert cloud.calls == ["dynamodb.UpdateItem", "sqs.SendMessage"]


def test_a_published_policy_is_served_once_the_cached_one_is_old(cloud, policy_text):
    before = cloud.route()[1]["fingerprints"]["policy"]
    published = cloud.publish(policy_text.replace("90% proven", "80% proven"))[1]["fingerprint"]
    assert cloud.route()[1]["fingerprints"]["policy"] == before
    cloud.now += 30_001
    assert cloud.route()[1]["fingerprints"]["policy"] == published != before


def test_an_inline_policy_is_decided_on_without_being_published(cloud, wanted):
    inline = ir_document(next(iter(cloud.state.current("acme").policies.values())).policy)
    status, reply = cloud.route(wanted(policy=None, ir=inline))
    assert status == 200
    assert reply["fingerprints"]["policy"] == cloud.route()[1]["fingerprints"]["policy"]


@pytest.fixture
def pinning(cloud):
    """The published policy as an inline IR whose routes pin sessions for half an hour."""
    inline = ir_document(next(iter(cloud.state.current("acme").policies.values())).policy)
    for each in (*inline["routes"], inline["default"]):
        each["pin_ms"] = 1_800_000
    return inline


@pytest.fixture
def pinned(cloud, wanted, pinning):
    """A reply of the session `s1` with a pin; an explored arm is none to stay with."""
    while "session_pin" not in (reply := cloud.route(wanted(policy=None, ir=pinning, session="s1"))[1]):
        assert reply["explored"]
    return reply


def test_a_session_keeps_its_arm_while_it_carries_the_pin(cloud, wanted, pinning, pinned):
    first = pinned
    for _ in range(20):
        held = cloud.route(wanted(policy=None, ir=pinning, session="s1", pin=first["session_pin"]))[1]
        assert (held["arm"], held["plan"][0]["role"], held["explored"]) == (first["arm"], "pinned", False)
        assert held["session_pin"] == first["session_pin"]


@pytest.mark.parametrize(
    ("session", "change"),
    [
        ("s2", lambda pin: pin),
        (None, lambda pin: pin),
        ("s1", lambda pin: pin[:-2] + "AA"),
        ("s1", lambda _: "pin.a.b.c"),
    ],
)
def test_a_forged_pin_or_one_of_another_session_is_refused(cloud, wanted, pinning, pinned, session, change):
    pin = pinned["session_pin"]
    fields = {"session": session} if session else {}
    status, reply = cloud.route(wanted(policy=None, ir=pinning, pin=change(pin), **fields))
    assert (status, reply["error"]["code"]) == (400, "invalid_pin")


def test_an_attribute_the_policy_does_not_declare_is_refused(cloud, wanted):
    status, reply = cloud.route(wanted(attributes={"plan": "gold"}))
    assert (status, reply["error"]["code"]) == (400, "invalid_attribute")
    assert "it declares none" in reply["error"]["message"]


GUARDED = """
policy "acme/guarded" language 1
tier t = [claude-haiku-4-5, claude-opus-4-8]
default route general { use t  pick best quality  explore at most 10% }
fallback claude-haiku-4-5
guard {
  forbid "no opus from outside" when model.price_out >= $20/Mtok
  explore at most 10%
  cost at most $0.50/call
}
"""


def test_an_inline_policy_is_held_to_the_guard_of_the_published_ones(cloud, wanted):
    cloud.publish(GUARDED, "acme/guarded")
    inline = ir_document(compile_policy(GUARDED, default_catalog()).policy)
    del inline["guard"]
    status, reply = cloud.route(wanted(policy=None, ir=inline))
    barred = {row["arm"]: row["reasons"][0]["rule"] for row in reply["candidates"] if row["fate"] == "barred"}
    assert (status, barred) == (200, {"anthropic/claude-opus-4-8": "no opus from outside"})
    assert reply["arm"] == "anthropic/claude-haiku-4-5"
    inline["default"]["explore"]["rate_ppm"] = 200_000
    status, reply = cloud.route(wanted(policy=None, ir=inline))
    assert (status, reply["error"]["code"]) == (403, "beyond_guard")
    assert "default.explore.rate_ppm" in reply["error"]["message"]


def test_an_inline_policy_spends_from_the_budgets_of_the_policy_that_guards_it(cloud, wanted):
    assert cloud.publish(GUARDED + "budget tenant 3_000 tokens/day", "acme/guarded")[0] == 200
    inline = ir_document(compile_policy(GUARDED, default_catalog()).policy)
    assert "budgets" not in inline
    answers = [cloud.route(wanted(policy=None, ir=inline)) for _ in range(8)]
    assert [status for status, _ in answers] == [200, 200, 200, 429, 429, 429, 429, 429]
    inline["budgets"] = [{"scope": "tenant", "limit": 9_000, "unit": "tokens", "period": "day"}]
    assert cloud.route(wanted(policy=None, ir=inline))[1]["error"]["code"] == "budget_denied"
    assert cloud.route(wanted(policy="acme/guarded"))[1]["error"]["code"] == "budget_denied"
    assert all(replay(message["body"].split("\n")[1], {}).equal for message in cloud.take("records")[:-1])


def test_what_a_guard_finds_too_dear_is_not_served_inline_and_the_receipt_replays(cloud, wanted):
    cloud.publish(GUARDED.replace("$0.50", "$0.0000001"), "acme/guarded")
    inline = ir_document(compile_policy(GUARDED, default_catalog()).policy)
    del inline["guard"]
    cloud.take("records")
    status, reply = cloud.route(wanted(policy=None, ir=inline))
    fates = {row["arm"]: row["fate"] for row in reply["error"]["candidates"]}
    assert (status, fates["anthropic/claude-haiku-4-5"]) == (422, "too_dear")
    (message,) = cloud.take("records")
    assert replay(message["body"].split("\n")[1], {}).equal


def test_a_canary_serves_its_share_of_the_sessions_and_keeps_them(cloud, wanted, policy_text):
    canary = policy_text.replace('"acme/support"', '"acme/next"')
    assert cloud.publish(canary, "acme/next")[0] == 200
    assert cloud.publish(policy_text + '\ncanary "acme/next" 30% by session until 2099-12-31\n')[0] == 200
    lanes = {}
    for _ in range(2):
        for number in range(40):
            reply = cloud.route(wanted(session=f"s{number}"))[1]
            lanes.setdefault(number, set()).add((reply["lane"]["policy"], reply["lane"]["propensity_ppm"]))
    assert {lane for found in lanes.values() for lane in found} == {("acme/next", 300_000), (None, 700_000)}
    assert all(len(found) == 1 for found in lanes.values())


def test_an_inline_policy_needs_nothing_published(bare, cloud, wanted):
    inline = ir_document(next(iter(cloud.state.current("acme").policies.values())).policy)
    foreign = "arn:aws:sts::222222222222:assumed-role/globex-app/s"
    assert bare.route(wanted(policy=None, ir=inline), principal=foreign)[0] == 200


def test_a_candidate_subset_narrows_the_choice(cloud, wanted):
    subset = wanted(candidates=["openai/gpt-5-mini"])
    fates = {row["arm"]: row["fate"] for row in cloud.route(subset)[1]["candidates"]}
    assert fates["anthropic/claude-sonnet-4-5"] != "eligible"


def test_the_tenants_own_catalog_rows_can_be_served(cloud, wanted):
    row = Model("lab/tiny", "lab", "tiny", 1, 1, context=200_000, stage="stable")
    cloud.state.revise("acme", lambda state: Revision(with_overlay(state, (row,))))
    source = 'policy "lab" language 1\ntier t = [tiny]\ndefault route r { use t pick cheapest }\nfallback tiny\n'
    assert cloud.publish(source, "lab")[0] == 200
    status, reply = cloud.route(wanted(policy="lab"))
    assert (status, reply["arm"]) == (200, "lab/tiny")
    assert reply["fingerprints"]["catalog"] != default_catalog().fingerprint


def test_no_candidates_is_a_loud_answer_with_reasons_and_a_receipt(cloud, wanted):
    status, reply = cloud.route(wanted(org="frozen"))
    assert (status, reply["error"]["code"]) == (422, "no_candidates")
    reasons = {reason["rule"] for row in reply["error"]["candidates"] for reason in row["reasons"]}
    assert reasons == {"the org is frozen"}
    (message,) = cloud.take("records")
    assert open_sealed(message["body"].split("\n")[1])["circumstances"]["decision_id"] == reply["error"]["decision_id"]


def test_an_idempotency_key_takes_the_place_of_chance(cloud, wanted):
    keyed = wanted(idempotency_key="order-7")
    assert cloud.route(keyed)[1]["decision_id"] == cloud.route(keyed)[1]["decision_id"]
    assert cloud.route()[1]["decision_id"] != cloud.route()[1]["decision_id"]


BAD_BODIES = {
    "nothing": ("", 400, "malformed_json"),
    "half an object": ('{"policy":', 400, "malformed_json"),
    "an array": ("[]", 400, "invalid_field"),
    "a key twice": ('{"policy":"a","policy":"b"}', 400, "duplicate_key"),
    "NaN": ('{"policy":NaN}', 400, "not_a_number"),
    "a huge integer": ('{"policy":123456789012345678901}', 400, "number_too_large"),
    "a thousand levels": ("[" * 1000 + "]" * 1000, 400, "too_deep"),
    "an unknown field": ('{"policy":"a","prompt":"x"}', 400, "unknown_field"),
    "no envelope": ('{"policy":"a"}', 400, "missing_field"),
    "both policy and ir": ('{"policy":"a","ir":{}}', 400, "missing_field"),
    "one mebibyte": ('{"policy":"' + "a" * 1_048_576 + '"}', 413, "body_too_large"),
    "a lone surrogate": ('{"policy":"\\ud800","envelope":{}}', 400, "invalid_field"),
    "bytes that are no text": ("\ud800", 400, "malformed_json"),
}


@pytest.mark.parametrize("case", BAD_BODIES)
def test_a_bad_body_is_refused_with_a_code(cloud, case):
    body, status, code = BAD_BODIES[case]
    found, document = cloud.route(body)
    assert (found, document["error"]["code"]) == (status, code)
    assert cloud.take("records") == []


BAD_REQUESTS = {
    "unknown policy": ({"policy": "acme/nothing"}, 404, "unknown_policy"),
    "ill-formed policy name": ({"policy": "Acme Support"}, 400, "invalid_field"),
    "no candidates asked for": ({"candidates": []}, 400, "invalid_field"),
    "an empty inline policy": ({"policy": None, "ir": {}}, 400, "invalid_ir"),
    "a prompt in the envelope": ({"envelope": {"prompt": "x"}}, 400, "invalid_envelope"),
    "an empty envelope": ({"envelope": {}}, 400, "invalid_envelope"),
}


@pytest.mark.parametrize("case", BAD_REQUESTS)
def test_a_bad_request_is_refused_with_a_code(cloud, wanted, case):
    fields, status, code = BAD_REQUESTS[case]
    found, document = cloud.route(wanted(**fields))
    assert (found, document["error"]["code"]) == (status, code)
    assert cloud.take("records") == []


def test_an_inline_policy_is_told_where_it_is_wrong(cloud, wanted):
    inline = ir_document(next(iter(cloud.state.current("acme").policies.values())).policy)
    inline["routes"][0]["pick"][0]["rule"] = "dearest"
    message = cloud.route(wanted(policy=None, ir=inline))[1]["error"]["message"]
    assert "routes[0].pick[0].rule" in message


def test_base64_bodies_are_read_and_bad_ones_refused(cloud, wanted):
    body = json.dumps(wanted()).encode()
    assert cloud.route(b64encode(body).decode(), base64=True)[0] == 200
    assert cloud.route("%%%", base64=True)[1]["error"]["code"] == "malformed_body"


@pytest.mark.parametrize(("method", "status"), [("GET", 405), ("PUT", 405)])
def test_other_methods_are_refused(cloud, method, status):
    assert cloud.route(method=method)[0] == status


def test_other_paths_are_refused(cloud):
    assert json.loads(route.handler(cloud.event("/v1/root", {}), None)["body"])["error"]["code"] == "unknown_path"


def test_cached_state_serves_degraded_while_its_source_is_down(cloud, failing):
    cloud.route()
    cloud.faults.append(failing("dynamodb."))
    cloud.now += 60_000
    status, reply = cloud.route()
    assert (status, reply["degraded"], reply["state_age_ms"], reply["explored"]) == (200, True, 60_000, False)
    receipt = open_sealed(cloud.take("records")[-1]["body"].split("\n")[1])
    assert receipt["circumstances"]["degraded"] is True
    cloud.faults.clear()
    cloud.now += 2_000
    assert cloud.route()[1]["degraded"] is False


def test_a_source_that_is_down_is_not_asked_by_every_request(cloud, failing):
    cloud.route()
    cloud.faults.append(failing("dynamodb."))
    cloud.now += 60_000
    cloud.route()
    cloud.calls.clear()
    cloud.now += 100
    cloud.route()
    assert cloud.calls == ["sqs.SendMessage"]


def test_state_older_than_five_minutes_does_not_serve_without_its_copy(cloud, failing):
    cloud.route()
    cloud.faults.append(failing("dynamodb.", "s3."))
    cloud.now += 301_000
    status, document = cloud.route()
    assert (status, document["error"]["code"]) == (503, "state_unavailable")


def test_a_cold_environment_without_its_tables_and_copies_says_so(cloud, failing):
    cloud.faults.append(failing("dynamodb.", "s3."))
    status, document = cloud.route()
    assert (status, document["error"]["code"]) == (503, "registry_unavailable")


def test_a_cold_environment_without_its_bucket_says_so(cloud, failing):
    cloud.faults.append(failing("s3."))
    status, document = cloud.route()
    assert (status, document["error"]["code"]) == (503, "state_unavailable")


def test_without_signing_keys_nothing_is_decided(cloud, failing):
    cloud.faults.append(failing("secrets-manager."))
    status, document = cloud.route()
    assert (status, document["error"]["code"]) == (503, "signing_unavailable")
    assert cloud.take("records") == []


@pytest.mark.parametrize(
    "slip",
    [
        '{"current": "k3", "keys": {"k2": "bb"}}',
        '{"current": "k2", "keys": {"k2": "not hex"}}',
        '{"current": "k2", "keys": {"k2": ""}}',
        '{"current": "k2", "keys": {"k2": "bb", "k1": null}}',
        '{"current": "k2", "keys": ["k2"]}',
        "{}",
    ],
)
def test_a_slip_in_the_signing_secret_leaves_the_keys_at_hand_in_force(cloud, slip):
    cloud.route()
    whole = cloud.secretsmanager.get_secret_value(SecretId=cloud.secret)["SecretString"]
    cloud.secretsmanager.put_secret_value(SecretId=cloud.secret, SecretString=slip)
    cloud.now += 6 * 60_000
    status, reply = cloud.route()
    assert status == 200
    assert verify(reply["token"], keys_from_secret(whole)).tenant == "acme"
    cloud.restart()
    status, document = cloud.route()
    assert (status, document["error"]["code"]) == (503, "signing_unavailable")


def test_the_templates_secret_stays_a_key_when_it_is_rotated_as_the_manual_says():
    (first,) = keys_from_secret("generated").secrets.items()
    rotated = keys_from_secret(json.dumps({"current": "k2", "keys": {"k1": b"generated".hex(), "k2": "bb" * 32}}))
    assert first in rotated.secrets.items()


def test_a_receipt_that_finds_its_queue_down_is_spooled_and_drained_later(cloud, failing):
    cloud.faults.append(failing("sqs."))
    status, reply = cloud.route()
    assert status == 200
    assert cloud.keys("state-bucket", "_passing/spool/") == [f"_passing/spool/acme/{reply['decision_id']}.json"]
    cloud.faults.clear()
    assert cloud.watch()["drained"] == 1
    assert cloud.keys("state-bucket", "_passing/spool/") == cloud.keys("records-bucket") == []
    assert cloud.record() == []
    assert [open_sealed(line)["circumstances"]["decision_id"] for line in cloud.filed("receipts")] == [
        reply["decision_id"]
    ]


def test_no_reply_leaves_when_a_receipt_can_be_kept_nowhere(cloud, failing):
    cloud.route()
    cloud.faults.append(failing("sqs.", "s3."))
    status, document = cloud.route()
    assert (status, document["error"]["code"]) == (503, "receipt_unavailable")


@pytest.fixture
def carried(cloud, wanted, failing):
    """The reply to a caller who offered to carry the receipt while it could be kept nowhere."""
    cloud.route()
    cloud.take("records")
    cloud.faults.append(failing("sqs.", "s3."))

    def ask(**fields):
        return cloud.route(wanted(carry_receipt=True, **fields))

    return ask


def test_a_receipt_that_can_be_kept_nowhere_is_handed_to_a_caller_who_offered_to_carry_it(cloud, carried):
    status, reply = carried()
    assert status == 200
    line = signed_receipt(reply["receipt"], cloud.keys_of_tokens)
    assert open_sealed(line)["circumstances"]["decision_id"] == reply["decision_id"]
    cloud.faults.clear()
    for _ in range(2):
        assert cloud.returned([reply["receipt"]]) == (202, {"accepted": 1})
    cloud.record()
    assert set(cloud.filed("receipts")) == {line}


def test_a_refusal_is_carried_like_any_other_decision(cloud, carried):
    status, reply = carried(org="frozen")
    assert (status, reply["error"]["code"]) == (422, "no_candidates")
    cloud.faults.clear()
    assert cloud.returned([reply["error"]["receipt"]])[0] == 202
    cloud.record()
    assert len(cloud.filed("receipts")) == 1


def test_a_receipt_that_is_durable_is_handed_to_nobody(cloud, wanted):
    assert "receipt" not in cloud.route(wanted(carry_receipt=True))[1]


def test_carried_receipts_that_still_find_no_place_are_to_be_carried_on(cloud, carried):
    reply = carried()[1]
    assert cloud.returned([reply["receipt"]])[1]["error"]["code"] == "receipt_unavailable"


@pytest.mark.parametrize(
    ("change", "principal", "status", "code"),
    [
        (lambda receipt: receipt[:-2] + "AA", None, 400, "invalid_receipt"),
        (lambda receipt: "receipt.k9." + receipt.partition(".k2.")[2], None, 400, "invalid_receipt"),
        (lambda receipt: receipt, "arn:aws:sts::222222222222:assumed-role/globex-app/s", 403, "foreign_receipt"),
        (lambda receipt: receipt.removeprefix("receipt."), None, 400, "invalid_field"),
        (lambda receipt: [receipt], None, 400, "invalid_field"),
    ],
)
def test_only_what_was_signed_for_a_tenant_is_taken_back(cloud, carried, change, principal, status, code):
    receipt = carried()[1]["receipt"]
    cloud.faults.clear()
    found, document = cloud.returned([change(receipt)], **({"principal": principal} if principal else {}))
    assert (found, document["error"]["code"]) == (status, code)
    assert cloud.take("records") == []


def test_route_starts_without_the_libraries_it_does_not_need():
    probe = "import sys, functions.route.app; print(*sorted({m.split('.')[0] for m in sys.modules}))"
    root = Path(route.__file__).parents[2]
    run = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True, cwd=root)
    assert not {"aws_xray_sdk", "lark", "jsonschema", "pydantic", "boto3"} & set(run.stdout.split())


def test_a_request_leaves_one_record_with_ids_and_counts_and_nothing_that_was_asked(cloud, capsys):
    capsys.readouterr()
    cloud.route()
    (record,) = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert (record["service"], record["level"], record["message"]) == ("route", "INFO", "answered")
    assert (record["routing.lane"], record["routing.route"], record["Decisions"]) == ("live", "labelling", [1.0])
    assert "envelope" not in json.dumps(record)
