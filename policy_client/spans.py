"""What to put on the caller's own span around a model call, so that traces tell which decision was behind it.

No OpenTelemetry is imported: the attributes are a plain mapping for `span.set_attributes`, and the caller's SDK,
whatever its version, does the rest. Nothing here takes a prompt or a completion.
"""

from __future__ import annotations

from policy_client.reply import RouteReply
from policy_engine import attributes as names

__all__ = ["AttributeValue", "span_attributes", "span_name"]

AttributeValue = str | bool | int | float | list[str]


def span_name(reply: RouteReply, *, hop: int = 0, operation: str = "chat") -> str:
    """`chat claude-haiku-4-5`: operation and requested model, as the conventions ask."""
    return f"{operation} {reply.plan[hop].model}"


def span_attributes(
    reply: RouteReply,
    *,
    hop: int = 0,
    operation: str = "chat",
    response_model: str | None = None,
    finish_reason: str | None = None,
    input_tokens: int | None = None,
    output_tokens: int | None = None,
    cached_read_tokens: int | None = None,
    cached_write_tokens: int | None = None,
    reasoning_tokens: int | None = None,
    ttft_ms: int | None = None,
) -> dict[str, AttributeValue]:
    """Attributes of the call for step `hop` of the plan; what is not given is left out.

    Call it before the model answers for what the decision says, and again with what the answer said. Cached tokens are
    part of `input_tokens`, reasoning tokens of `output_tokens`, as in telemetry.
    """
    step, document = reply.plan[hop], reply.document
    found: dict[str, AttributeValue | None] = {
        names.OPERATION: operation,
        names.PROVIDER: names.provider_name(step.provider),
        names.REQUEST_MODEL: step.model,
        names.RESPONSE_MODEL: response_model,
        names.FINISH_REASONS: [finish_reason] if finish_reason is not None else None,
        names.TIME_TO_FIRST_CHUNK: ttft_ms / 1000 if ttft_ms is not None else None,
        names.INPUT_TOKENS: input_tokens,
        names.OUTPUT_TOKENS: output_tokens,
        names.CACHED_READ_TOKENS: cached_read_tokens,
        names.CACHED_WRITE_TOKENS: cached_write_tokens,
        names.REASONING_TOKENS: reasoning_tokens,
        names.DECISION_ID: reply.decision_id,
        names.POLICY_FINGERPRINT: document["fingerprints"]["policy"],
        names.LANE: document.get("lane", {}).get("policy") or reply.mode,
        names.ROUTE: reply.route,
        names.ARM: step.arm,
        names.FLOOR: step.floor,
        names.HOP: hop,
        names.EXPLORE: reply.explored,
        names.PROPENSITY: reply.propensity_ppm,
    }
    return {name: value for name, value in found.items() if value is not None}
