"""What a route orders, as a caller of the running service reads it."""

from __future__ import annotations

import pytest

from policy_cli.demo.onboarding import hmac_credentials, onboard
from policy_cli.demo.policies import policy_texts
from policy_cli.dev import LocalStack, VirtualClock
from policy_client import AfterOutcome, Cascade, Check, Client, Parameter, build_envelope
from policy_client.reply import reply_from_wire

POLICY = """policy "acme/orders" language 1
tasks label, chat
tier small = [claude-haiku-4-5]
tier large = [claude-opus-4-8]
route ordered when task == label {
  cascade small -> large escalate when judge < 80% or not json_valid or not schema invoice/v2
  pick cheapest
  set max_tokens at least 4096
  set temperature 0.7
  set reasoning_effort low
  set seed by decision
  on rate_limited, timeout retry 2 backoff 200ms then next
  on unavailable open breaker then next
  on auth disable 10m
  on refused abort
  timeout 30s
  batch allowed
}
default route plain { use small pick cheapest }
fallback claude-haiku-4-5
"""


@pytest.fixture(scope="module")
def replies(tmp_path_factory):
    """Of a route that orders everything there is to order, and of one that orders nothing."""
    text = tmp_path_factory.mktemp("policies") / "orders.policy"
    text.write_text(POLICY)
    with LocalStack(clock=VirtualClock(1_800_000_000_000), seed=1) as stack:
        (tenant,) = onboard(stack, policy_texts([text]))
        with Client(stack.url, hmac_credentials(tenant), clock=stack.clock, read_timeout=30) as client:
            return [
                client.route(policy="acme/orders", envelope=build_envelope(task_type=task))
                for task in ("label", "chat")
            ]


def test_parameters_are_in_their_own_units_and_a_seed_is_the_decisions(replies):
    ordered, plain = replies
    assert set(ordered.parameters) == {
        Parameter("max_tokens", "at_least", 4096),
        Parameter("temperature", "set", 0.7),
        Parameter("reasoning_effort", "set", "low"),
        Parameter("seed", "seed", int(ordered.decision_id[16:24], 16) >> 1),
    }
    assert [type(each.value) for each in ordered.parameters if each.name == "max_tokens"] == [int]
    assert plain.parameters == ()


@pytest.mark.parametrize(
    ("outcome", "order"),
    [
        ("rate_limited", AfterOutcome("next", retries=2, backoff_ms=200)),
        ("timeout", AfterOutcome("next", retries=2, backoff_ms=200)),
        ("unavailable", AfterOutcome("next", open_breaker=True)),
        ("auth", AfterOutcome("disable", disable_ms=600_000)),
        ("refused", AfterOutcome("abort")),
        ("empty", AfterOutcome("next")),
    ],
)
def test_what_follows_an_outcome_is_asked_by_its_name(replies, outcome, order):
    ordered, plain = replies
    assert ordered.after(outcome) == order
    assert (outcome in ordered.on) == (outcome != "empty")
    assert plain.after(outcome) == AfterOutcome()


def test_a_cascade_that_was_weighed_says_its_steps_checks_and_price(replies):
    ordered, plain = replies
    cascade = ordered.cascade
    assert isinstance(cascade, Cascade)
    assert cascade.steps == ("anthropic/claude-haiku-4-5", "anthropic/claude-opus-4-8")
    assert set(cascade.escalate) == {
        Check("judge", below_ppm=800_000),
        Check("json_valid"),
        Check("schema", argument="invoice/v2"),
    }
    assert cascade.pays == (cascade.cost_nanodollars < cascade.direct_nanodollars)
    assert 0 < cascade.break_even_ppm < 1_000_000
    assert plain.cascade is None


def test_time_and_batch_and_warnings_have_their_defaults(replies):
    ordered, plain = replies
    assert (ordered.timeout_ms, ordered.batch, ordered.warnings) == (30_000, True, ())
    assert (plain.timeout_ms, plain.batch, plain.warnings) == (None, False, ())


def test_fields_of_a_later_version_are_ignored_and_stay_in_the_document(replies):
    document = dict(replies[0].document)
    document["on"] = {"refused": {"then": "abort", "until": "noon"}}
    document["warnings"] = ["baseline_absent"]
    reply = reply_from_wire(document)
    assert reply.after("refused") == AfterOutcome("abort")
    assert (reply.warnings, reply.document["on"]["refused"]["until"]) == (("baseline_absent",), "noon")
