"""Attributes for the caller's span: the names of the conventions, the decision behind the call, and no text."""

import inspect
import re
from dataclasses import replace
from pathlib import Path

import pytest

from policy_client import span_attributes, span_name
from policy_client.reply import RouteReply, reply_from_wire
from policy_engine import attributes

FINGERPRINT = "f" * 64
# As the registry of the release has them; one that is renamed there must be renamed in one place here.
CONVENTIONS = {
    "gen_ai.operation.name",
    "gen_ai.provider.name",
    "gen_ai.request.model",
    "gen_ai.response.finish_reasons",
    "gen_ai.response.model",
    "gen_ai.response.time_to_first_chunk",
    "gen_ai.usage.cache_creation.input_tokens",
    "gen_ai.usage.cache_read.input_tokens",
    "gen_ai.usage.input_tokens",
    "gen_ai.usage.output_tokens",
    "gen_ai.usage.reasoning.output_tokens",
}
PACKAGES = [Path(attributes.__file__).parents[1] / name for name in ("functions", "policy_client", "policy_engine")]


@pytest.fixture
def reply() -> RouteReply:
    def step(arm: str, role: str, floor: str) -> dict[str, str]:
        provider, _, model = arm.partition("/")
        return {"arm": arm, "provider": provider, "model": model, "role": role, "floor": floor}

    return reply_from_wire(
        {
            "arm": "google/gemini-3.7-flash",
            "baseline": {"arm": "google/gemini-3.7-flash", "cost_nanodollars": 9},
            "cluster": "0123456789abcdef0123",
            "confidence_ppm": 910_000,
            "decision_id": "0" * 32,
            "degraded": False,
            "expected_cost_nanodollars": 5,
            "explored": True,
            "fingerprints": {"policy": FINGERPRINT},
            "floor": "unproven",
            "lane": {"policy": "acme/support-next"},
            "mode": "live",
            "model": "gemini-3.7-flash",
            "plan": [
                step("google/gemini-3.7-flash", "explore", "unproven"),
                step("bedrock/eu.amazon.nova-lite-v1:0", "fallback", "cleared"),
            ],
            "propensity_ppm": 25_000,
            "provider": "google",
            "route": "labelling",
            "state_age_ms": 0,
            "stream": False,
            "tier": "small",
            "token": "1.k1.payload.mac",
        }
    )


def test_before_the_call_a_span_tells_what_was_decided(reply):
    assert span_name(reply) == "chat gemini-3.7-flash"
    assert span_attributes(reply) == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "gcp.gemini",
        "gen_ai.request.model": "gemini-3.7-flash",
        "routing.arm": "google/gemini-3.7-flash",
        "routing.decision.id": "0" * 32,
        "routing.explore": True,
        "routing.floor": "unproven",
        "routing.hop": 0,
        "routing.lane": "acme/support-next",
        "routing.policy.fingerprint": FINGERPRINT,
        "routing.propensity": 25_000,
        "routing.route": "labelling",
    }


def test_after_the_call_it_tells_what_was_used(reply):
    told = span_attributes(
        reply,
        hop=1,
        operation="text_completion",
        response_model="nova-lite-2",
        finish_reason="length",
        input_tokens=300,
        output_tokens=20,
        cached_read_tokens=0,
        cached_write_tokens=7,
        reasoning_tokens=3,
        ttft_ms=250,
    )
    assert {name: value for name, value in told.items() if name.startswith("gen_ai.")} == {
        "gen_ai.operation.name": "text_completion",
        "gen_ai.provider.name": "aws.bedrock",
        "gen_ai.request.model": "eu.amazon.nova-lite-v1:0",
        "gen_ai.response.finish_reasons": ["length"],
        "gen_ai.response.model": "nova-lite-2",
        "gen_ai.response.time_to_first_chunk": 0.25,
        "gen_ai.usage.cache_creation.input_tokens": 7,
        "gen_ai.usage.cache_read.input_tokens": 0,
        "gen_ai.usage.input_tokens": 300,
        "gen_ai.usage.output_tokens": 20,
        "gen_ai.usage.reasoning.output_tokens": 3,
    }
    assert (told["routing.hop"], told["routing.floor"]) == (1, "cleared")


@pytest.mark.parametrize("mode", ["live", "shadow"])
def test_a_lane_of_its_own_is_called_by_the_policys_mode(reply, mode):
    reply.document["lane"].clear()
    assert span_attributes(replace(reply, mode=mode))["routing.lane"] == mode


def test_no_argument_could_hold_a_prompt():
    taken = {*inspect.signature(span_attributes).parameters, *inspect.signature(span_name).parameters}
    assert not [name for name in taken if re.search("prompt|message|content|completion|instruction", name)]


def test_the_names_are_those_of_the_stated_release():
    values = {getattr(attributes, name) for name in attributes.__all__ if name.isupper()} - {attributes.SEMCONV_VERSION}
    assert {value for value in values if value.startswith("gen_ai.")} == CONVENTIONS
    assert all(re.fullmatch(r"(gen_ai|routing)(\.[a-z_]+)+", value) for value in values)


def test_the_names_are_spelt_out_in_one_place():
    spelt = [
        path.name
        for package in PACKAGES
        for path in package.rglob("*.py")
        if re.search(r"\"(gen_ai|routing)\.", path.read_text())
    ]
    assert spelt == ["attributes.py"]
