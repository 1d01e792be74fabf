"""Identity by meaning: SHA-256 over a domain line and the canonical JSON of a value."""

from __future__ import annotations

from dataclasses import fields
from functools import cache
from hashlib import sha256
from typing import Any

from policy_lang.canonical import canonical
from policy_lang.ir import Policy

__all__ = ["fingerprint", "ir_document", "policy_fingerprint", "source_hash"]

_POLICY_DOMAIN = "pointsman/policy/1"
_SOURCE_DOMAIN = "pointsman/source/1"


def fingerprint(domain: str, document: Any) -> str:
    """Hex SHA-256 of `domain`, a newline and the canonical JSON of `document`."""
    return sha256(domain.encode() + b"\n" + canonical(document)).hexdigest()


def policy_fingerprint(policy: Policy) -> str:
    """What a policy means, in 64 hex digits: comments, formatting, spans and the order of gates do not enter."""
    return fingerprint(_POLICY_DOMAIN, ir_document(policy))


def source_hash(text: str) -> str:
    """What a policy file says, to the byte."""
    return sha256(_SOURCE_DOMAIN.encode() + b"\n" + text.encode("utf-8", "surrogatepass")).hexdigest()


def ir_document(node: Any) -> Any:
    """A dataclass of the IR as JSON values: fields at their default left out, tuples as arrays.

    INVARIANT: leaving defaults out lets a version add an optional field without changing what older policies are
    called.
    """
    if isinstance(node, tuple):
        return [ir_document(item) for item in node]
    if isinstance(node, str | int | None):
        return node
    kind: Any = type(node)
    pairs = ((name, getattr(node, name), default) for name, default in _defaults(kind))
    return {name: ir_document(value) for name, value, default in pairs if name in _TAGS or value != default}


@cache
def _defaults(kind: Any) -> tuple[tuple[str, Any], ...]:
    return tuple((part.name, part.default) for part in fields(kind))


_TAGS = ("op", "ir_version")
