"""Who may speak for a tenant. The three doors share one authenticator; what holds for one is tried on all."""

from __future__ import annotations

import json

import pytest

from functions.ingest import app as ingest
from functions.publish import app as publish
from functions.route import app as route
from functions.stores.errors import StoreError
from functions.stores.items import encoded
from functions.stores.keys import credential_key
from functions.stores.registry import Credential, iam_principal

DOORS = {
    "/v1/route": route.handler,
    "/v1/telemetry": ingest.handler,
    "/v1/policies/acme/support": publish.handler,
}
FORGED_HEADERS = {
    "x-pointsman-tenant": "acme",
    "x-tenant-id": "acme",
    "x-amzn-request-context": '{"authorizer":{"iam":{"userArn":"arn:aws:iam::111111111111:role/acme-app"}}}',
    "authorization": "AWS4-HMAC-SHA256 Credential=AKIAFORGED/20260921/us-east-1/lambda/aws4_request, Signature=0",
    "x-pointsman-key": "acme-1",
    "x-pointsman-timestamp": "1790000000000",
    "x-pointsman-signature": "0" * 64,
}


@pytest.fixture
def knock(cloud):
    """Status and error code (None where there is none) of an event at the door of its path."""

    def answer(event):
        found = DOORS[event["rawPath"]](event, None)
        return found["statusCode"], json.loads(found["body"]).get("error", {}).get("code")

    return answer


@pytest.mark.parametrize("path", DOORS)
def test_a_request_without_any_credential_is_nobodys(cloud, knock, wanted, path):
    assert knock(cloud.event(path, wanted(), principal=None)) == (401, "missing_credentials")


@pytest.mark.parametrize("path", DOORS)
def test_forging_everything_but_the_authorizer_gets_nobody_in(cloud, knock, wanted, path):
    body = wanted(tenant="acme", principal="arn:aws:iam::111111111111:role/acme-app")
    event = cloud.event(path, body, principal=None, headers=FORGED_HEADERS)
    event["userArn"] = event["requestContext"]["userArn"] = "arn:aws:iam::111111111111:role/acme-app"
    assert knock(event) == (401, "bad_signature")


@pytest.mark.parametrize("path", DOORS)
def test_a_principal_that_nobody_registered_is_refused_whatever_it_signs(cloud, knock, wanted, path):
    stranger = "arn:aws:sts::999999999999:assumed-role/acme-app/i-0123"
    signed = cloud.signed(path, wanted())["headers"]
    assert knock(cloud.event(path, wanted(), principal=stranger, headers=signed)) == (403, "unknown_tenant")


def test_a_foreign_tenant_sees_its_own_policies_only(cloud, knock, wanted):
    foreign = "arn:aws:sts::222222222222:assumed-role/globex-app/s"
    assert knock(cloud.event("/v1/route", wanted(), principal=foreign)) == (404, "unknown_policy")


def test_a_signed_request_needs_no_authorizer(cloud, knock, wanted):
    assert knock(cloud.signed("/v1/route", wanted())) == (200, None)


def test_the_tenant_of_a_decision_is_the_credentials(cloud, wanted):
    route.handler(cloud.signed("/v1/route", wanted()), None)
    (message,) = cloud.take("records")
    assert json.loads(message["body"].split("\n")[1])["receipt"]["tenant"] == "acme"


@pytest.mark.parametrize(
    ("forgery", "code"),
    [
        ({"key": b"another key"}, "bad_signature"),
        ({"key": b""}, "bad_signature"),
        ({"key_id": "acme-2"}, "bad_signature"),
        ({"key_id": "acme-2", "key": b""}, "bad_signature"),
        ({"now": 1_790_000_000_000 - 300_001}, "stale_timestamp"),
        ({"now": 1_790_000_000_000 + 300_001}, "stale_timestamp"),
    ],
)
def test_a_wrong_signature_is_refused(cloud, knock, wanted, forgery, code):
    assert knock(cloud.signed("/v1/route", wanted(), **forgery)) == (401, code)


def test_a_signature_holds_for_one_body_on_one_path(cloud, knock, wanted):
    tampered = cloud.signed("/v1/route", wanted())
    tampered["body"] = tampered["body"].replace("labs", "rich")
    assert knock(tampered) == (401, "bad_signature")
    moved = cloud.signed("/v1/route", wanted())
    moved["rawPath"] = "/v1/telemetry"
    assert knock(moved) == (401, "bad_signature")


def test_a_suspended_credential_is_refused(cloud, knock, wanted):
    cloud.dynamodb.update_item(
        TableName="state",
        Key={"pk": {"S": "credential#hmac#acme-1"}, "sk": {"S": "-"}},
        UpdateExpression="SET #status = :status",
        ExpressionAttributeNames={"#status": "status"},
        ExpressionAttributeValues={":status": {"S": "suspended"}},
    )
    assert knock(cloud.signed("/v1/route", wanted())) == (403, "tenant_suspended")


def test_a_known_credential_outlives_its_registry_and_an_unknown_one_does_not(cloud, knock, wanted, failing):
    cloud.route()
    cloud.faults.append(failing("dynamodb."))
    cloud.now += 290_000
    assert cloud.route()[0] == 200
    assert knock(cloud.signed("/v1/route", wanted())) == (503, "registry_unavailable")


def test_without_its_registry_a_cold_environment_asks_the_signed_copies(cloud, knock, wanted, failing):
    cloud.watch()
    cloud.restart()
    cloud.faults.append(failing("dynamodb."))
    assert knock(cloud.signed("/v1/route", wanted()))[0] == 200
    assert knock(cloud.signed("/v1/route", wanted(), key=bytes(32))) == (401, "bad_signature")
    assert knock(cloud.signed("/v1/route", wanted(), key_id="acme-2")) == (401, "bad_signature")
    assert cloud.route()[0] == 200
    stranger = "arn:aws:sts::333333333333:assumed-role/nobody/s"
    assert knock(cloud.event("/v1/route", wanted(), principal=stranger)) == (403, "unknown_tenant")


def test_a_copied_credential_counts_for_a_day(cloud, knock, wanted, failing):
    cloud.watch()
    cloud.faults.append(failing("dynamodb."))
    for age_ms, expected in ((86_400_000, 200), (86_400_001, (503, "registry_unavailable"))):
        cloud.restart()
        event = cloud.event("/v1/route", wanted())
        event["requestContext"]["timeEpoch"] = cloud.now + age_ms
        assert knock(event) == (expected if isinstance(expected, tuple) else (200, None))


def test_a_revoked_credential_is_gone_from_the_copies_with_the_next_look(cloud, knock, wanted, failing):
    cloud.watch()
    cloud.dynamodb.delete_item(TableName="state", Key=encoded(credential_key("hmac", "acme-1")))
    cloud.watch()
    cloud.restart()
    cloud.faults.append(failing("dynamodb."))
    assert knock(cloud.signed("/v1/route", wanted())) == (401, "bad_signature")


@pytest.fixture
def warm(cloud, wanted):
    """An environment that has read its caller's credential."""
    cloud.watch()
    assert cloud.route()[0] == 200
    return cloud


def test_a_revocation_that_reached_the_copies_reaches_warm_environments_in_an_outage(warm, failing):
    warm.registry.suspend("acme", "iam", "arn:aws:iam::111111111111:role/acme-app")
    warm.watch()
    warm.now += 300_001
    warm.faults.append(failing("dynamodb."))
    status, reply = warm.route()
    assert (status, reply["error"]["code"]) == (403, "tenant_suspended")


@pytest.mark.parametrize(("age_ms", "expected"), [(86_400_000, 202), (86_400_001, 503)])
def test_without_copies_a_credential_read_here_counts_for_a_day_of_an_outage(warm, failing, report, age_ms, expected):
    body = [report(warm.route()[1])]
    assert warm.ingest(body)[0] == 202
    warm.now += age_ms
    warm.faults.append(failing("dynamodb."))
    assert warm.ingest(body)[0] == expected


def test_credentials_are_read_again_after_five_minutes(cloud):
    cloud.ingest([])
    cloud.now += 300_001
    cloud.calls.clear()
    cloud.ingest([])
    assert cloud.calls == ["dynamodb.GetItem"]


@pytest.mark.parametrize(
    ("arn", "principal"),
    [
        ("arn:aws:sts::1:assumed-role/app/i-0", "arn:aws:iam::1:role/app"),
        ("arn:aws-cn:sts::1:assumed-role/app/s@x.y", "arn:aws-cn:iam::1:role/app"),
        ("arn:aws:iam::1:role/a:b/c/app", "arn:aws:iam::1:role/app"),
        ("arn:aws:iam::1:role/team/app", "arn:aws:iam::1:role/app"),
        ("arn:aws:iam::1:user/ann", "arn:aws:iam::1:user/ann"),
        ("arn:aws:iam::1:root", "arn:aws:iam::1:root"),
        ("arn:aws:sts::1:federated-user/ann", "arn:aws:sts::1:federated-user/ann"),
        ("nonsense", "nonsense"),
    ],
)
def test_the_session_is_stripped_from_a_principal(arn, principal):
    assert iam_principal(arn) == principal


@pytest.mark.parametrize("name", ["", "Acme", "a#b", "a/b", "a b", "a" * 49])
def test_a_tenants_name_cannot_reach_into_anothers_keys(bare, name):
    with pytest.raises(ValueError, match="tenant's name"):
        bare.registry.enrol(name)


@pytest.fixture
def interleaved(bare):
    """Do something right before AWS hears of the next call of a kind."""

    def arrange(call, act):
        def meet(now):
            if now == call:
                bare.faults.clear()
                act()

        bare.faults.append(meet)

    return arrange


def test_of_two_that_take_a_key_id_at_once_one_is_refused_and_enrols_nobody(bare, interleaved):
    interleaved("dynamodb.TransactWriteItems", lambda: bare.registry.enrol("first", keys={"k-1": b"\1" * 32}))
    with pytest.raises(ValueError, match="the key id `k-1` is taken"):
        bare.registry.enrol("second", principals=["arn:aws:iam::3:role/app"], keys={"k-1": b"\2" * 32})
    assert bare.registry.credential("hmac", "k-1") == Credential("first", True, b"\1" * 32)
    assert bare.registry.credential("iam", "arn:aws:iam::3:role/app") is None
    assert "second" not in bare.registry.tenants()


def test_of_two_that_rotate_to_a_key_id_at_once_one_is_refused(bare, interleaved):
    interleaved("dynamodb.TransactWriteItems", lambda: bare.registry.add_key("acme", "k-1", b"\1" * 32))
    with pytest.raises(ValueError, match="the key id `k-1` is taken"):
        bare.registry.add_key("acme", "k-1", b"\2" * 32)
    assert bare.registry.credential("hmac", "k-1").secret == b"\1" * 32


def test_a_key_that_is_retired_while_another_takes_its_id_is_not_brought_back_by_a_rotation(bare, interleaved):
    bare.registry.add_key("acme", "k-1", b"\1" * 32)
    interleaved("dynamodb.TransactWriteItems", lambda: bare.registry.suspend("acme", "hmac", "k-1"))
    with pytest.raises(ValueError, match="is taken"):
        bare.registry.add_key("acme", "k-1", b"\2" * 32)
    assert bare.registry.credential("hmac", "k-1") == Credential("acme", False, b"\1" * 32)
    bare.registry.enrol("globex", keys={"k-1": b"\3" * 32})
    with pytest.raises(ValueError, match="no such credential of `acme`"):
        bare.registry.suspend("acme", "hmac", "k-1")
    assert bare.registry.credential("hmac", "k-1") == Credential("globex", True, b"\3" * 32)


def test_an_enrolment_whose_reply_was_lost_can_be_made_again(bare, failing):
    for enrol in (
        lambda: bare.registry.enrol("first", keys={"k-1": b"\1" * 32}),
        lambda: bare.registry.add_key("first", "k-2", b"\2" * 32),
    ):
        bare.lost.append(failing("dynamodb.TransactWriteItems"))
        with pytest.raises(StoreError):
            enrol()
        bare.lost.clear()
        enrol()
    assert {bare.registry.credential("hmac", name).tenant for name in ("k-1", "k-2")} == {"first"}
