"""Size of a JSON value before anything recurses over it: depth of nesting and number of objects, counted on a stack."""

from __future__ import annotations

from typing import Any

from policy_lang.ir import MAX_DEPTH, MAX_NODES

__all__ = ["out_of_bounds"]


def out_of_bounds(document: object) -> str | None:
    """Which limit of the language version `document` breaks, or None. Depth counts arrays and objects alike."""
    nodes = 0
    pending: list[tuple[Any, int]] = [(document, 1)]
    while pending:
        value, depth = pending.pop()
        if isinstance(value, dict):
            nodes += 1
            children = value.values()
        elif isinstance(value, list):
            children = value  # type: ignore[assignment]
        else:
            continue
        if depth > MAX_DEPTH:
            return f"nested deeper than {MAX_DEPTH} levels"
        if nodes > MAX_NODES or len(pending) + len(children) > 16 * MAX_NODES:
            return f"more than {MAX_NODES} nodes"
        pending.extend((child, depth + 1) for child in children)
    return None
