"""The file: what the joined rows, aliases and source identities look like as JSON, one line per model."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import date
from typing import Any

from policy_cli.catalog.joining import Joined, join
from policy_cli.catalog.rules import aliases
from policy_cli.catalog.sources import CapabilityTable, FindPrice

__all__ = ["compile_catalog", "render"]


def compile_catalog(
    table: CapabilityTable, find_price: FindPrice, prices: Mapping[str, str], as_of: date
) -> tuple[Joined, dict[str, Any]]:
    """The join, and the document made of it."""
    joined = join(table.rows, find_price, as_of)
    read = as_of.isoformat()
    document = {
        "as_of": read,
        "sources": {
            "genai-prices": {**prices, "read": read},
            "litellm": {"version": table.version, "sha256": table.sha256, "read": read},
            "rule": {"document": "docs/catalog.md", "read": read},
        },
        "aliases": aliases(row.model.arm for row in joined.rows),
        "models": [row.document() for row in joined.rows],
    }
    return joined, document


def render(document: Mapping[str, Any]) -> str:
    """The document as text: one line per alias and per model, so that a change of price is a change of one line."""
    alias_lines = ",\n".join(f"{_compact(name)}:{_compact(arm)}" for name, arm in document["aliases"].items())
    model_lines = ",\n".join(_compact(row) for row in document["models"])
    return (
        f'{{"as_of":{_compact(document["as_of"])},\n"sources":{_compact(document["sources"])},\n'
        f'"aliases":{{\n{alias_lines}\n}},\n"models":[\n{model_lines}\n]}}\n'
    )


def _compact(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=True)
