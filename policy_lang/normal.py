"""The normal form of expressions: flat, sorted, without repeats, no double negation. Kleene-equivalent to the input."""

from __future__ import annotations

from collections.abc import Iterable

from policy_lang.canonical import canonical
from policy_lang.fingerprint import ir_document
from policy_lang.ir import And, Expr, In, Not, Or

__all__ = ["ALWAYS", "conjunction", "disjunction", "membership", "negation"]

ALWAYS = And(())


def conjunction(items: Iterable[Expr]) -> Expr:
    """All of `items`; a single one stands for itself."""
    flat = _flat(And, items)
    return flat[0] if len(flat) == 1 else And(flat)


def disjunction(items: Iterable[Expr]) -> Expr:
    """Any of `items`; a single one stands for itself."""
    flat = _flat(Or, items)
    return flat[0] if len(flat) == 1 else Or(flat)


def negation(item: Expr) -> Expr:
    """Not `item`; two of them cancel."""
    return item.item if isinstance(item, Not) else Not(item)


def membership(field: str, values: Iterable[str]) -> In:
    """`field in [values]`, sorted."""
    return In(field, tuple(sorted(set(values))))


def _flat(kind: type[And] | type[Or], items: Iterable[Expr]) -> tuple[Expr, ...]:
    parts: dict[bytes, Expr] = {}
    for item in items:
        inner = item.items if isinstance(item, kind) else (item,)
        parts.update((canonical(ir_document(part)), part) for part in inner)
    return tuple(parts[key] for key in sorted(parts))
