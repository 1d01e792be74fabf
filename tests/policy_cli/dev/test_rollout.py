"""From the old path to the new one: a policy in shadow, then by weight, then back; as a caller sees it."""

from __future__ import annotations

import pytest

from policy_client import Client, HmacCredentials

OLD_PATH = "anthropic/claude-opus-4-8"


@pytest.fixture
def client(stack, caller):
    credentials = HmacCredentials(caller.tenant.key_id, caller.tenant.secret)
    with Client(stack.url, credentials, clock=stack.clock, read_timeout=30, batch_age=1e9) as asking:
        yield asking


@pytest.fixture
def published(stack, caller):
    """Publish the sample policy with something changed; its fingerprint."""
    from policy_cli.dev.template import TEMPLATE

    text = (TEMPLATE.parent / "samples/acme/support.policy").read_text()

    def publish(before="", after=""):
        assert before in text
        status, reply = caller.hmac("/v1/policies/acme/support", {"source": text.replace(before, after, 1)})
        assert status == 200, reply
        stack.clock.advance(31_000)
        return reply["fingerprint"]

    return publish


def test_in_shadow_the_old_path_serves_and_tells_what_it_used(stack, client, published, envelope, filed):
    published("tasks ", "mode shadow\ntasks ")
    reply = client.route(policy="acme/support", envelope=envelope)
    assert reply.mode == "shadow"
    assert not client.telemetry(reply, input_tokens=900, output_tokens=9)
    assert "say with `arm` which one served" in client.stats().last_error
    assert client.telemetry(reply, arm=OLD_PATH, input_tokens=900, output_tokens=9, latency_ms=700)
    assert client.flush(30)
    stack.pump()
    (outcome,) = [row for row in filed(stack, "outcomes") if row["decision_id"] == reply.decision_id]
    assert (outcome["state"], outcome["mode"], outcome["arm"]) == ("applied", "shadow", OLD_PATH)
    assert outcome["decided"] == reply.arm != OLD_PATH
    stack.run_schedules()
    stack.clock.advance(31_000)
    assert client.route(policy="acme/support", envelope=envelope).mode == "shadow"


def test_a_version_takes_over_by_weight_and_is_rolled_back(stack, client, caller, published, envelope):
    old = published()
    new = published("explore at most 5%", "explore at most 4%")
    assert caller.hmac("/v1/aliases/acme/support", {"shares": [[old, 500_000], [new, 500_000]]})[0] == 200
    stack.clock.advance(31_000)
    found = [client.route(policy="acme/support", envelope=envelope).document for _ in range(16)]
    assert {reply["fingerprints"]["policy"] for reply in found} == {old, new}
    assert {reply["lane"]["share_ppm"] for reply in found} == {500_000}
    assert caller.hmac("/v1/aliases/acme/support", {"rollback": True, "to": old})[0] == 200
    stack.clock.advance(31_000)
    after = [client.route(policy="acme/support", envelope=envelope).document for _ in range(8)]
    assert {reply["fingerprints"]["policy"] for reply in after} == {old}
