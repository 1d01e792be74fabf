"""A conversation under a policy with `pin`: the client keeps it on its model, turn after turn."""

from __future__ import annotations

import pytest

from policy_client import Client, HmacCredentials, RouteError

POLICY = """policy "acme/talk" language 1
tasks label
attribute channel = [mail, chat]
tier small = [claude-haiku-4-5, gpt-5.4-mini, nova-lite-eu]
default route talk {
  use small
  pick cheapest
  pin session 30m
}
fallback claude-haiku-4-5
baseline claude-haiku-4-5
"""
# Cheapest first.
ARMS = ["bedrock/eu.amazon.nova-lite-v1:0", "openai/gpt-5.4-mini", "anthropic/claude-haiku-4-5"]


@pytest.fixture
def client(stack, caller):
    stack.clock.advance(1)
    status, reply = caller.hmac("/v1/policies/acme/talk", {"source": POLICY})
    assert status == 200, reply
    stack.clock.advance(31_000)
    credentials = HmacCredentials(caller.tenant.key_id, caller.tenant.secret)
    with Client(stack.url, credentials, clock=stack.clock, read_timeout=30) as asking:
        yield asking


@pytest.fixture
def turn(stack, client, envelope):
    """One turn, a minute after the last; the arm that serves and the role in which it does."""

    def ask(**fields):
        stack.clock.advance(60_000)
        reply = client.route(policy="acme/talk", envelope=envelope, **fields)
        return reply.arm, reply.plan[0].role

    return ask


@pytest.mark.parametrize("pin", [None, "stored"])
def test_a_session_stays_on_its_model_without_the_caller_carrying_anything(turn, pin):
    talk = {"session": f"talk-{pin}", "pin": pin}
    # The cheapest is not among the candidates of the first turn, and would gain too little to move the session later.
    assert turn(**talk, candidates=ARMS[1:2]) == (ARMS[1], "pick")
    assert turn(**talk, candidates=ARMS[1:], tool_loop=True) == (ARMS[1], "pinned")
    assert turn(**talk, candidates=ARMS[2:]) == (ARMS[2], "pick")
    assert turn(session=f"other-{pin}", pin=pin, candidates=ARMS[1:2]) == (ARMS[1], "pick")


def test_a_turn_repeated_under_its_key_gets_the_same_reply(client, envelope):
    asked = {"policy": "acme/talk", "envelope": envelope, "session": "again", "attributes": {"channel": "mail"}}
    replies = [client.route(**asked, idempotency_key="turn-1") for _ in range(2)]
    assert replies[0] == replies[1]
    assert client.route(**asked, idempotency_key="turn-2").decision_id != replies[0].decision_id


def test_another_sessions_pin_is_refused(client, envelope):
    pin = client.route(policy="acme/talk", envelope=envelope, session="mine").session_pin
    assert pin is not None
    with pytest.raises(RouteError, match="belongs to another session"):
        client.route(policy="acme/talk", envelope=envelope, session="yours", pin=pin)
