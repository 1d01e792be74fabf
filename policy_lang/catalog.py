"""The catalog: what each arm can do and what it costs, as one fingerprinted snapshot that tenants may overlay.

The snapshot (`catalog.json` beside this file) is compiled by `pointsman catalog build`; each field carries its source
and the date it was read. Prices are whole pico-dollars per token. A field the sources lack is None: unknown to gates.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from policy_lang.fingerprint import fingerprint
from policy_lang.gates import FactValue
from policy_lang.records import dataclass

__all__ = ["Catalog", "Model", "default_catalog", "model_document", "model_from_document"]

_DOMAIN = "pointsman/catalog/1"


@dataclass(frozen=True, slots=True)
class Model:
    """One arm. Sizes in tokens, prices in pico-dollars per token, None where no source states the field."""

    arm: str
    provider: str
    name: str
    price_in: int
    price_out: int
    price_cached_read: int | None = None
    price_cached_write: int | None = None
    context: int | None = None
    max_output: int | None = None
    region: str | None = None
    stage: str | None = None
    tools: bool | None = None
    json_schema: bool | None = None
    vision: bool | None = None
    reasoning: bool | None = None
    streaming: bool | None = None
    prompt_caching: bool | None = None

    def facts(self) -> dict[str, FactValue]:
        """Model fields under the names a policy uses."""
        return {f"model.{name}": getattr(self, name) for name in _FACT_FIELDS}


_FACT_FIELDS = tuple(name for name in Model.__slots__ if name not in ("arm", "name", "price_cached_write"))


@dataclass(frozen=True, slots=True)
class Catalog:
    """Models by arm id, aliases (bare model names and nicknames) to arm ids, and the fingerprint over both."""

    models: Mapping[str, Model]
    aliases: Mapping[str, str]
    fingerprint: str
    as_of: str = ""

    @staticmethod
    def build(models: Iterable[Model], aliases: Mapping[str, str], as_of: str = "") -> Catalog:
        """A catalog with its fingerprint; arms sorted, so equal content is equal identity."""
        by_arm = {model.arm: model for model in sorted(models, key=lambda model: model.arm)}
        document = {"aliases": dict(aliases), "models": [model_document(model) for model in by_arm.values()]}
        return Catalog(by_arm, dict(aliases), fingerprint(_DOMAIN, document), as_of)

    def resolve(self, name: str) -> str | None:
        """Arm id for an arm id or an alias; None when the catalog knows neither."""
        return name if name in self.models else self.aliases.get(name)

    def overlaid(self, rows: Iterable[Model]) -> Catalog:
        """This catalog with `rows` added or replaced; a new bare name becomes an alias unless it is taken."""
        models = dict(self.models)
        aliases = dict(self.aliases)
        for row in rows:
            models[row.arm] = row
            aliases.setdefault(row.name, row.arm)
        return Catalog.build(models.values(), aliases, self.as_of)

    def narrowed(self, arms: Iterable[str]) -> Catalog:
        """Only `arms` and the aliases that lead to them."""
        kept = set(arms)
        aliases = {alias: arm for alias, arm in self.aliases.items() if arm in kept}
        return Catalog.build((m for arm, m in self.models.items() if arm in kept), aliases, self.as_of)

    def repriced(self, arm: str, *, price_in: int, price_out: int) -> Catalog:
        """This catalog with other list prices for one arm, pico-dollars per token."""
        return self.overlaid((replace(self.models[arm], price_in=price_in, price_out=price_out),))


def model_document(model: Model) -> dict[str, Any]:
    """A model as JSON values; absent fields are left out."""
    return {name: value for name in Model.__slots__ if (value := getattr(model, name)) is not None}


def model_from_document(document: Mapping[str, Any]) -> Model:
    """The inverse of `model_document`; TypeError on unknown or missing fields."""
    return Model(**document)


@cache
def default_catalog() -> Catalog:
    """The snapshot shipped with the package."""
    # Not importlib.resources: its reader alone would double the load time of a cold environment.
    document = json.loads(Path(__file__).with_name("catalog.json").read_bytes())
    models = [model_from_document(row["fields"]) for row in document["models"]]
    return Catalog.build(models, document["aliases"], document["as_of"])
