"""The semantic envelope: six fields that describe a call without a word of its prompt, and the id they hash to."""

from __future__ import annotations

import re
from collections.abc import Collection
from hashlib import sha256

from policy_lang.frozen import frozen
from policy_lang.vocabulary import (
    CONTEXT_BUCKETS,
    STRUCTURES,
    TOKEN_BUCKETS,
    TOOL_BUCKETS,
    bucket_for,
    bucket_upper,
)

__all__ = [
    "Envelope",
    "EnvelopeError",
    "build_envelope",
    "cluster_id",
    "envelope_from_wire",
    "envelope_to_wire",
    "typical_tokens",
]

TASK_NAME = re.compile(r"[a-z][a-z0-9_-]{0,47}")
_TYPICAL_TOKENS = {"tiny": 250, "small": 1_250, "medium": 5_000, "large": 20_000, "huge": 64_000}
_CLUSTER_DOMAIN = b"pointsman/cluster/1\n"
_CONTEXT_UPPER = {bucket.name: bucket.upper for bucket in CONTEXT_BUCKETS}
_TOKENS_UPPER = {bucket.name: bucket.upper for bucket in TOKEN_BUCKETS}
_TOOLS = frozenset(bucket.name for bucket in TOOL_BUCKETS)
_STRUCTURES = frozenset(STRUCTURES)


class EnvelopeError(ValueError):
    """A field is missing, unknown or outside its vocabulary; the message says what would be accepted."""


@frozen
class Envelope:
    """The shape of one call. Sizes and the tool count are bucket names, never raw numbers."""

    task_type: str
    structure_type: str
    context_length: str
    tools_used: str
    time_sensitive: bool
    estimated_tokens: str

    def facts(self) -> dict[str, str | int | bool]:
        """Shape fields under the names a policy uses."""
        return {
            "task": self.task_type,
            "structure": self.structure_type,
            "context": self.context_length,
            "context.upper": _CONTEXT_UPPER[self.context_length],
            "tools": self.tools_used,
            "time_sensitive": self.time_sensitive,
            "tokens": self.estimated_tokens,
            "tokens.upper": _TOKENS_UPPER[self.estimated_tokens],
        }


def build_envelope(
    *,
    task_type: str,
    structure_type: str = "prose",
    context_tokens: int = 0,
    tools_used: int = 0,
    time_sensitive: bool = False,
    estimated_tokens: int = 0,
) -> Envelope:
    """Bucket the caller's numbers into an envelope.

    `context_tokens` is the size of the prompt as sent, `estimated_tokens` the expected total of the call (prompt plus
    completion), `tools_used` the number of tool schemas offered. EnvelopeError names the field and the accepted range.
    """
    try:
        context = bucket_for("context", context_tokens)
        tools = bucket_for("tools", tools_used)
        tokens = bucket_for("tokens", max(estimated_tokens, context_tokens))
    except ValueError as problem:
        raise EnvelopeError(str(problem)) from None
    except TypeError:
        raise EnvelopeError("`context_tokens`, `tools_used` and `estimated_tokens` must be whole numbers") from None
    return _checked(Envelope(task_type, structure_type, context, tools, time_sensitive, tokens))


def envelope_to_wire(envelope: Envelope) -> dict[str, str | bool]:
    """The JSON object that travels in a route request."""
    return {
        "task_type": envelope.task_type,
        "structure_type": envelope.structure_type,
        "context_length": envelope.context_length,
        "tools_used": envelope.tools_used,
        "time_sensitive": envelope.time_sensitive,
        "estimated_tokens": envelope.estimated_tokens,
    }


def envelope_from_wire(document: object) -> Envelope:
    """Admit a JSON object as an envelope; exactly the six fields, each inside its vocabulary."""
    if not isinstance(document, dict):
        raise EnvelopeError("`envelope` must be an object with six fields")
    names = Envelope.__match_args__
    if unknown := sorted(set(document) - set(names)):
        raise EnvelopeError(f"unknown field `{unknown[0][:40]}` in `envelope`; the fields are {', '.join(names)}")
    if missing := [name for name in names if name not in document]:
        raise EnvelopeError(f"`envelope` lacks `{missing[0]}`; the fields are {', '.join(names)}")
    return _checked(Envelope(**{name: document[name] for name in names}))


def typical_tokens(envelope: Envelope) -> tuple[int, int]:
    """Input and output tokens to expect of a call where nothing has been learned, tool schemas not counted."""
    total = _TYPICAL_TOKENS[envelope.estimated_tokens]
    prompt = min(total * 3 // 4, bucket_upper("context", envelope.context_length))
    return prompt, total - prompt


def cluster_id(envelope: Envelope) -> str:
    """Stable id of a shape: SHA-256 over a domain line and the six values joined by newlines, first 80 bits in hex.

    The same structure gives the same id in every language: lower-case ASCII values in field order, booleans as 0 or 1.
    """
    values = (
        envelope.task_type,
        envelope.structure_type,
        envelope.context_length,
        envelope.tools_used,
        "1" if envelope.time_sensitive else "0",
        envelope.estimated_tokens,
    )
    return sha256(_CLUSTER_DOMAIN + "\n".join(values).encode()).hexdigest()[:20]


def _checked(envelope: Envelope) -> Envelope:
    if not isinstance(envelope.task_type, str) or not TASK_NAME.fullmatch(envelope.task_type):
        raise EnvelopeError("`task_type` must be a lower-case name of letters, digits, `-` and `_`, at most 48 long")
    _one_of("structure_type", envelope.structure_type, _STRUCTURES)
    _one_of("context_length", envelope.context_length, _CONTEXT_UPPER)
    _one_of("tools_used", envelope.tools_used, _TOOLS)
    _one_of("estimated_tokens", envelope.estimated_tokens, _TOKENS_UPPER)
    if not isinstance(envelope.time_sensitive, bool):
        raise EnvelopeError("`time_sensitive` must be true or false")
    return envelope


def _one_of(field: str, value: object, accepted: Collection[str]) -> None:
    if not isinstance(value, str) or value not in accepted:
        raise EnvelopeError(f"`{field}` must be one of {', '.join(sorted(accepted))}")
