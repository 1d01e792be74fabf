"""Names of attributes in logs and spans: OpenTelemetry's for generative AI, and ours for what routing adds to them.

Spelt out because the published constants come and go with releases of their package; a name here changes with
`SEMCONV_VERSION` and not otherwise. Prompts and completions have names there too. They are absent on purpose.
"""

from __future__ import annotations

__all__ = [
    "ARM",
    "CACHED_READ_TOKENS",
    "CACHED_WRITE_TOKENS",
    "DECISION_ID",
    "EXPLORE",
    "FINISH_REASONS",
    "FLOOR",
    "HOP",
    "INPUT_TOKENS",
    "LANE",
    "OPERATION",
    "OUTPUT_TOKENS",
    "POLICY_FINGERPRINT",
    "PROPENSITY",
    "PROVIDER",
    "REASONING_TOKENS",
    "REQUEST_MODEL",
    "RESPONSE_MODEL",
    "ROUTE",
    "SEMCONV_VERSION",
    "TIME_TO_FIRST_CHUNK",
    "provider_name",
]

#: Release of the OpenTelemetry semantic conventions whose `gen_ai.*` names these are.
SEMCONV_VERSION = "1.41.0"

OPERATION = "gen_ai.operation.name"
PROVIDER = "gen_ai.provider.name"
REQUEST_MODEL = "gen_ai.request.model"
RESPONSE_MODEL = "gen_ai.response.model"
FINISH_REASONS = "gen_ai.response.finish_reasons"
TIME_TO_FIRST_CHUNK = "gen_ai.response.time_to_first_chunk"
INPUT_TOKENS = "gen_ai.usage.input_tokens"
OUTPUT_TOKENS = "gen_ai.usage.output_tokens"
CACHED_READ_TOKENS = "gen_ai.usage.cache_read.input_tokens"
CACHED_WRITE_TOKENS = "gen_ai.usage.cache_creation.input_tokens"
REASONING_TOKENS = "gen_ai.usage.reasoning.output_tokens"

#: `live` or `shadow`, or the canary policy that decided.
LANE = "routing.lane"
ROUTE = "routing.route"
DECISION_ID = "routing.decision.id"
POLICY_FINGERPRINT = "routing.policy.fingerprint"
#: Whether the served arm was explored rather than picked.
EXPLORE = "routing.explore"
#: Probability of the plan, in parts per million: exact, as in the receipt.
PROPENSITY = "routing.propensity"
#: `provider/model` as the catalog names it; the `gen_ai` names follow from it, not the other way round.
ARM = "routing.arm"
FLOOR = "routing.floor"
#: Which step of the plan a call was, from 0.
HOP = "routing.hop"

_PROVIDERS = {
    "azure": "azure.ai.openai",
    "bedrock": "aws.bedrock",
    "google": "gcp.gemini",
    "mistral": "mistral_ai",
    "vertex": "gcp.vertex_ai",
    "xai": "x_ai",
}


def provider_name(provider: str) -> str:
    """The well-known value of `gen_ai.provider.name` for a provider of the catalog; another one stays as it is."""
    return _PROVIDERS.get(provider, provider)
