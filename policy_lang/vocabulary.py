"""The closed vocabulary: what a policy may speak about, and the buckets of an envelope.

Every dimension of an envelope is finite, so the shape space is finite and the compiler can enumerate it.
Bucket bounds are inclusive upper bounds; every top bucket has a bound too, so `tokens.upper` is always a number.
"""

from __future__ import annotations

from typing import Literal

from policy_lang.frozen import frozen

__all__ = [
    "ATTRIBUTE_PREFIX",
    "CONTEXT_BUCKETS",
    "FIELDS",
    "OTHER_TASK",
    "OUTCOMES",
    "REGIONS",
    "STAGES",
    "STANDARD_TASKS",
    "STRUCTURES",
    "TOKEN_BUCKETS",
    "TOOL_BUCKETS",
    "Bucket",
    "FieldSpec",
    "Outcome",
    "Scope",
    "attribute_spec",
    "bucket_for",
    "bucket_rank",
    "bucket_upper",
    "scope_of",
]


@frozen
class Bucket:
    """One named class of a size; `upper` is inclusive."""

    name: str
    upper: int


CONTEXT_BUCKETS = (
    Bucket("short", 1_999),
    Bucket("medium", 7_999),
    Bucket("long", 31_999),
    Bucket("extended", 1_000_000),
)
TOKEN_BUCKETS = (
    Bucket("tiny", 499),
    Bucket("small", 1_999),
    Bucket("medium", 7_999),
    Bucket("large", 31_999),
    Bucket("huge", 1_000_000),
)
TOOL_BUCKETS = (
    Bucket("0", 0),
    Bucket("1", 1),
    Bucket("2-4", 4),
    Bucket("5-9", 9),
    Bucket("10-19", 19),
    Bucket("20+", 128),
)

STRUCTURES = ("prose", "code", "json", "list", "mixed")

OTHER_TASK = "other"
STANDARD_TASKS = (
    "analysis",
    "chat",
    "classify",
    "code-edit",
    "code-gen",
    "code-review",
    "extract",
    "label",
    "pii-extract",
    "plan",
    "qa-complex",
    "qa-simple",
    "reasoning",
    "rewrite",
    "summarize",
    "synthesis",
    "tool-call",
    "translate",
    OTHER_TASK,
)

REGIONS = ("us", "eu", "asia", "global")
STAGES = ("stable", "preview", "deprecated")

Outcome = Literal[
    "ok",
    "wrong",
    "invalid_output",
    "refused",
    "truncated",
    "empty",
    "rate_limited",
    "timeout",
    "unavailable",
    "context_window",
    "auth",
    "cancelled",
    "caller_error",
]
#: Outcome -> who is at fault. Only `ok` and model faults feed floors; provider faults feed breakers and latency.
OUTCOMES: dict[str, Literal["none", "model", "provider", "caller"]] = {
    "ok": "none",
    "wrong": "model",
    "invalid_output": "model",
    "refused": "model",
    "truncated": "model",
    "empty": "model",
    "rate_limited": "provider",
    "timeout": "provider",
    "unavailable": "provider",
    "context_window": "provider",
    "auth": "provider",
    "cancelled": "caller",
    "caller_error": "caller",
}


Scope = Literal["shape", "request", "model"]
#: enum: one of `values`, equality only. ordered: buckets, compared by rank. slug: open string, equality only.
#: flag: boolean. tokens / price / ppm: integers (tokens, pico-dollars per token, parts per million).
Kind = Literal["enum", "ordered", "slug", "flag", "tokens", "price", "ppm"]


@frozen
class FieldSpec:
    """A field a policy may name. `values` lists the closed vocabulary, empty where the kind is open."""

    name: str
    scope: Scope
    kind: Kind
    values: tuple[str, ...] = ()


def _names(buckets: tuple[Bucket, ...]) -> tuple[str, ...]:
    return tuple(bucket.name for bucket in buckets)


_SPECS = (
    FieldSpec("task", "shape", "enum"),
    FieldSpec("structure", "shape", "enum", STRUCTURES),
    FieldSpec("context", "shape", "ordered", _names(CONTEXT_BUCKETS)),
    FieldSpec("context.upper", "shape", "tokens"),
    FieldSpec("tools", "shape", "ordered", _names(TOOL_BUCKETS)),
    FieldSpec("time_sensitive", "shape", "flag"),
    FieldSpec("tokens", "shape", "ordered", _names(TOKEN_BUCKETS)),
    FieldSpec("tokens.upper", "shape", "tokens"),
    FieldSpec("org", "request", "slug"),
    FieldSpec("team", "request", "slug"),
    FieldSpec("product", "request", "slug"),
    FieldSpec("model.provider", "model", "slug"),
    FieldSpec("model.region", "model", "enum", REGIONS),
    FieldSpec("model.stage", "model", "enum", STAGES),
    FieldSpec("model.context", "model", "tokens"),
    FieldSpec("model.max_output", "model", "tokens"),
    FieldSpec("model.price_in", "model", "price"),
    FieldSpec("model.price_out", "model", "price"),
    FieldSpec("model.price_cached_read", "model", "price"),
    FieldSpec("model.tools", "model", "flag"),
    FieldSpec("model.json_schema", "model", "flag"),
    FieldSpec("model.vision", "model", "flag"),
    FieldSpec("model.reasoning", "model", "flag"),
    FieldSpec("model.streaming", "model", "flag"),
    FieldSpec("model.prompt_caching", "model", "flag"),
)
#: The fixed part of the vocabulary; a policy adds `attribute.NAME` for each attribute it declares.
FIELDS: dict[str, FieldSpec] = {spec.name: spec for spec in _SPECS}
ATTRIBUTE_PREFIX = "attribute."

_BUCKETS = {"context": CONTEXT_BUCKETS, "tokens": TOKEN_BUCKETS, "tools": TOOL_BUCKETS}
_RANKS = {name: {b.name: rank for rank, b in enumerate(buckets)} for name, buckets in _BUCKETS.items()}


def attribute_spec(name: str, values: tuple[str, ...]) -> FieldSpec:
    """The field that a declared attribute adds: a closed enum, sent with the request."""
    return FieldSpec(ATTRIBUTE_PREFIX + name, "request", "enum", values)


def scope_of(field: str) -> Scope:
    """What a field describes; KeyError for a name outside the vocabulary."""
    return "request" if field.startswith(ATTRIBUTE_PREFIX) else FIELDS[field].scope


def bucket_for(field: str, size: int) -> str:
    """Name of the bucket of `field` (context, tokens, tools) that holds `size`; ValueError outside the bounds."""
    buckets = _BUCKETS[field]
    if size >= 0:
        for bucket in buckets:
            if size <= bucket.upper:
                return bucket.name
    raise ValueError(f"{field} must be between 0 and {buckets[-1].upper}, got {size}")


def bucket_rank(field: str, name: str) -> int:
    """Position of a bucket in its dimension, 0 the smallest; KeyError for a name outside the vocabulary."""
    return _RANKS[field][name]


def bucket_upper(field: str, name: str) -> int:
    """Inclusive upper bound of a bucket, in tokens or tools."""
    return _BUCKETS[field][_RANKS[field][name]].upper
