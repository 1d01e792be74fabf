"""The second source: decisions from signed copies while DynamoDB is down, and from nothing that was not signed."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from datetime import datetime

import pytest
from botocore.awsrequest import AWSResponse
from moto.core.botocore_stubber import MockRawResponse

from functions.stores.errors import StoreError
from functions.stores.keys import bundle_object, credentials_object
from functions.stores.state import Revision
from policy_engine.breakers import Breaker
from policy_engine.bundle import BundleError, open_bundle, opened, pack_bundle, sealed
from policy_engine.receipt import open_sealed
from policy_engine.state import RouteState
from policy_engine.token import SigningKeys
from policy_lang.catalog import default_catalog

KEYS = SigningKeys("k2", {"k1": b"1" * 32, "k2": b"2" * 32})


@pytest.fixture
def dark(cloud, failing):
    """A deployment that was looked at once and whose tables are down; every environment is cold."""
    cloud.watch()
    cloud.restart()
    cloud.take("records")
    cloud.calls.clear()
    cloud.faults.append(failing("dynamodb."))
    return cloud


def test_a_cold_environment_decides_from_the_copies(dark):
    dark.now += 45_000
    status, reply = dark.route()
    assert (status, reply["degraded"], reply["state_age_ms"], reply["explored"]) == (200, True, 45_000, False)
    answered = [call for call in dark.calls if not call.startswith("dynamodb.")]
    assert answered == ["s3.GetObject", "secrets-manager.GetSecretValue", "s3.GetObject", "sqs.SendMessage"]
    receipt = open_sealed(dark.take("records")[-1]["body"].split("\n")[1])
    assert receipt["circumstances"]["degraded"] is True
    assert receipt["circumstances"]["state_age_ms"] == 45_000


def test_the_copy_is_what_was_current(dark, cloud):
    reply = dark.route()[1]
    dark.faults.clear()
    dark.now += 2_000
    again = cloud.route()[1]
    assert again["degraded"] is False
    assert reply["fingerprints"] == again["fingerprints"]


def test_a_warm_environment_uses_its_cache_for_five_minutes_and_then_the_copy(cloud, failing, policy_text):
    cloud.route()
    cloud.now += 10_000
    newest = cloud.publish(policy_text.replace("90% proven 90%", "90% proven 80%"))[1]["fingerprint"]
    cloud.faults.append(failing("dynamodb."))
    cloud.now += 280_000
    held = cloud.route()[1]
    assert (held["degraded"], held["state_age_ms"]) == (True, 290_000)
    assert held["fingerprints"]["policy"] != newest
    cloud.now += 11_000
    copied = cloud.route()[1]
    assert (copied["degraded"], copied["state_age_ms"]) == (True, 291_000)
    assert copied["fingerprints"]["policy"] == newest
    cloud.faults.clear()
    cloud.now += 2_001
    assert cloud.route()[1]["degraded"] is False


def test_a_copy_serves_for_a_day_and_its_age_is_in_the_receipt(dark):
    dark.now += 86_400_000
    status, reply = dark.route()
    assert (status, reply["degraded"], reply["state_age_ms"]) == (200, True, 86_400_000)
    receipt = open_sealed(dark.take("records")[-1]["body"].split("\n")[1])
    assert receipt["circumstances"]["state_age_ms"] == 86_400_000


@pytest.mark.parametrize("warm", [False, True])
def test_beyond_the_limit_neither_the_copy_nor_what_is_cached_serves(cloud, failing, monkeypatch, warm):
    monkeypatch.setenv("STATE_COPY_LIMIT_MS", "3600000")
    cloud.restart()
    cloud.watch()
    if warm:
        assert cloud.route()[0] == 200
    cloud.faults.append(failing("dynamodb."))
    cloud.now += 3_600_000
    assert cloud.route()[0] == 200
    cloud.now += 60_000
    status, reply = cloud.route()
    assert (status, reply["error"]["code"]) == (503, "state_unavailable")
    assert "61 minutes old; it serves for 60 (StateCopyLimitSeconds)" in reply["error"]["message"]
    cloud.faults.clear()
    assert cloud.route()[1]["degraded"] is False


HAIKU, MINI = "anthropic/claude-haiku-4-5", "openai/gpt-5-mini"


def test_a_half_open_breaker_that_nobody_can_close_holds_no_arm_back(cloud, failing, wanted):
    opened = Breaker(cloud.now, cloud.now + 60_000)
    cloud.state.revise("acme", lambda state: Revision(replace(state, breakers={MINI: opened})))
    cloud.watch()
    cloud.restart()
    cloud.faults.append(failing("dynamodb."))
    chat = wanted(envelope={**wanted()["envelope"], "task_type": "chat"})

    def served():
        return Counter(cloud.route(chat)[1]["arm"] for _ in range(30))

    assert served() == {HAIKU: 30}  # open
    cloud.now += 120_000
    assert served()[HAIKU] > 15  # half open: one call in ten tries it
    cloud.now += 16 * 60_000
    assert served() == {MINI: 30}


# Its price changes on the second of these days (policy_lang/catalog.json).
DATED = """policy "acme/dated" language 1
tier t = [mistral-large-4]
default route general { use t  pick cheapest }
fallback mistral-large-4
"""
EVE, DAY_OF_CHANGE = "2026-10-19", "2026-10-20"


@pytest.mark.parametrize("tables", ["answer", "are down", "are down for an hour"])
def test_prices_change_at_midnight_whether_or_not_the_state_can_be_read(bare, failing, wanted, tables):
    midnight = round(datetime.fromisoformat(f"{DAY_OF_CHANGE}T00:00:00+00:00").timestamp() * 1000)
    catalog = default_catalog()
    before, after = (catalog.on(day).fingerprint for day in (EVE, DAY_OF_CHANGE))
    bare.now = midnight - 40_000
    assert bare.publish(DATED, "acme/dated")[0] == 200
    asked = wanted(policy="acme/dated")
    assert bare.route(asked)[1]["fingerprints"]["catalog"] == before != after
    if tables != "answer":
        bare.faults.append(failing("dynamodb."))
    bare.now = midnight + (3_600_000 if tables == "are down for an hour" else 1_000)
    reply = bare.route(asked)[1]
    assert (reply["fingerprints"]["catalog"], reply["degraded"]) == (after, tables != "answer")


def test_while_the_tables_are_down_most_requests_ask_nobody(dark):
    dark.route()
    dark.calls.clear()
    dark.now += 100
    dark.route()
    assert dark.calls == ["dynamodb.GetItem", "s3.GetObject", "sqs.SendMessage"]  # the copied credential is not held


def test_publishing_copies_at_once(bare, failing):
    bare.watch()
    bare.publish()
    bare.restart()
    bare.faults.append(failing("dynamodb."))
    assert bare.route()[0] == 200


def test_what_was_published_is_published_though_its_copy_failed(bare, failing):
    fault = failing("s3.PutObject", after=2)
    bare.faults.append(fault)
    assert bare.publish()[0] == 200
    bare.faults.clear()
    assert bare.keys("state-bucket", bundle_object("acme")) == []
    bare.watch()
    assert bare.keys("state-bucket", bundle_object("acme")) == [bundle_object("acme")]


@pytest.mark.parametrize("altered", ["flipped", "foreign", "unsigned", "truncated", "empty"])
def test_a_copy_that_was_tampered_with_serves_nobody(dark, altered):
    key = bundle_object("acme")
    blob = dark.s3.get_object(Bucket="state-bucket", Key=key)["Body"].read()
    changed = {
        "flipped": blob[:-1] + bytes([blob[-1] ^ 1]),
        "foreign": pack_bundle(RouteState("acme", 99), dark.now, KEYS),
        "unsigned": blob.partition(b"\n")[2],
        "truncated": blob[:-20],
        "empty": b"",
    }[altered]
    dark.s3.put_object(Bucket="state-bucket", Key=key, Body=changed)
    status, document = dark.route()
    assert (status, document["error"]["code"]) == (503, "state_unavailable")


def test_another_tenants_copy_under_this_ones_key_serves_nobody(dark):
    foreign = dark.s3.get_object(Bucket="state-bucket", Key=bundle_object("globex"))["Body"].read()
    dark.s3.put_object(Bucket="state-bucket", Key=bundle_object("acme"), Body=foreign)
    assert dark.route()[0] == 503


def test_copied_credentials_that_were_tampered_with_open_no_door(dark):
    for shard in range(16):
        forged = {"iam#arn:aws:iam::111111111111:role/acme-app": ["globex", "active", ""]}
        blob = sealed("credentials", str(shard), dark.now, json.dumps(forged).encode(), KEYS)
        dark.s3.put_object(Bucket="state-bucket", Key=credentials_object(shard), Body=blob)
    assert dark.route()[1]["error"]["code"] == "registry_unavailable"


def test_copies_are_written_when_something_moved_or_they_grow_old(cloud):
    cloud.watch()
    for later, written in ((60_000, 0), (60_000, 0), (600_000, 18)):
        cloud.now += later
        cloud.calls.clear()
        cloud.watch()
        assert cloud.calls.count("s3.PutObject") == written


def test_a_superseded_state_that_cannot_be_removed_is_told(cloud, policy_text):
    cloud.publish(policy_text.replace("90% proven 90%", "90% proven 80%"))

    def refused(request, **_):
        body = b"<DeleteResult><Error><Key>a</Key><Code>SlowDown</Code></Error></DeleteResult>"
        return AWSResponse(request.url, 200, {}, MockRawResponse(body))

    cloud.s3.meta.events.register_first("before-send.s3.DeleteObjects", refused)
    with pytest.raises(StoreError, match="1 of 1 superseded states could not be removed") as told:
        cloud.state.sweep("acme", written_ms(cloud) + 3_700_000)
    assert told.value.cause == "SlowDown"


def test_old_states_go_an_hour_after_they_were_replaced(cloud, policy_text):
    for proven in (80, 70):
        cloud.publish(policy_text.replace("90% proven 90%", f"90% proven {proven}%"))
    cloud.watch()
    stored = cloud.keys("state-bucket", "_passing/state/acme/")
    assert len(stored) == 4
    cloud.now = written_ms(cloud) + 3_500_000
    assert cloud.hourly()["swept"] == 0
    cloud.now += 200_000
    cloud.calls.clear()
    assert cloud.hourly()["swept"] == 3
    assert cloud.calls.count("s3.DeleteObjects") == 1  # a busy tenant leaves hundreds, and an hour's run is a minute
    assert len(cloud.keys("state-bucket", "_passing/state/acme/")) == 1
    cloud.restart()
    assert cloud.route()[0] == 200
    assert len(cloud.keys("state-bucket", "acme/policies/")) == 3


def written_ms(cloud):
    """S3 stamps objects with a clock of its own."""
    found = cloud.s3.list_objects_v2(Bucket="state-bucket", Prefix="_passing/state/acme/")["Contents"]
    return round(max(entry["LastModified"] for entry in found).timestamp() * 1000)


class TestSeals:
    def test_a_bundle_opens_to_what_was_packed(self):
        state = RouteState("acme", 7, stopped={"a/b": 1})
        assert open_bundle(pack_bundle(state, 5, KEYS), "acme", KEYS) == (state, 5)

    def test_keys_that_no_longer_sign_still_verify(self):
        blob = pack_bundle(RouteState("acme"), 5, SigningKeys("k1", KEYS.secrets))
        assert open_bundle(blob, "acme", KEYS)[1] == 5
        with pytest.raises(BundleError, match="not signed with a key at hand"):
            open_bundle(blob, "acme", SigningKeys("k2", {"k2": KEYS.secrets["k2"]}))

    def test_a_seal_of_another_kind_subject_or_body_is_none(self):
        blob = sealed("credentials", "3", 5, b"{}", KEYS)
        assert opened("credentials", "3", blob, KEYS) == (b"{}", 5)
        for kind, subject, altered in (
            ("bundle", "3", blob),
            ("credentials", "4", blob),
            ("credentials", "3", blob + b" "),
        ):
            with pytest.raises(BundleError):
                opened(kind, subject, altered, KEYS)
