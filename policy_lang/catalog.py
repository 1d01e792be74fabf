"""The catalog: what each arm can do and what it costs, as one fingerprinted snapshot that tenants may overlay.

The snapshot (`catalog.json` beside this file) is compiled by `pointsman catalog build`; each field carries its source
and the date it was read. Prices are whole pico-dollars per token. A field the sources lack is None: unknown to gates.

    CatalogError    a row without prices, with ones that no provider asks, or with tiers out of order; there is no cost
                    without a price
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import field, replace
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

from policy_lang.fingerprint import fingerprint
from policy_lang.frozen import frozen
from policy_lang.gates import FactValue

__all__ = ["Catalog", "CatalogError", "Model", "Prices", "default_catalog", "model_document", "model_from_document"]

_DOMAIN = "pointsman/catalog/1"


class CatalogError(ValueError):
    """The message names the arm and the price."""


@frozen
class Prices:
    """What a token of each class costs, pico-dollars, where the prompt has more tokens than `above` (0: always)."""

    price_in: int
    price_out: int
    price_cached_read: int | None = None
    price_cached_write: int | None = None
    above: int = 0


@frozen
class Model:
    """One arm. Sizes in tokens, prices in pico-dollars per token, None where no source states the field.

    `tiers`: prices of longer prompts, ascending. `batch`: prices of the provider's batch service, its tiers with it.
    """

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
    tiers: tuple[Prices, ...] = ()
    batch: tuple[Prices, ...] = ()

    def __post_init__(self) -> None:
        for held in (self, *self.tiers, *self.batch):
            for name in _PRICE_FIELDS:
                price = getattr(held, name)
                if (price is None and name in _REQUIRED) or not (price is None or (type(price) is int and price >= 0)):
                    raise CatalogError(f"`{self.arm}`: `{name}` must be whole pico-dollars per token, not {price!r}")
        for what, starts in (("tiers", [0, *_starts(self.tiers)]), ("batch", _starts(self.batch))):
            if starts and (starts[0] != 0 or any(low >= high for low, high in pairwise(starts))):
                raise CatalogError(f"`{self.arm}`: `above` must ascend in `{what}`, from 0 in `batch`")

    def steps(self, *, batch: bool = False) -> tuple[Prices, ...]:
        """The price list, that of the shortest prompts first; the list price where the arm has no batch service."""
        if batch and self.batch:
            return self.batch
        return (Prices(self.price_in, self.price_out, self.price_cached_read, self.price_cached_write), *self.tiers)

    def prices(self, prompt_tokens: int, *, batch: bool = False) -> Prices:
        """The prices that hold for a prompt of this size."""
        first, *longer = self.steps(batch=batch)
        return next((step for step in reversed(longer) if prompt_tokens > step.above), first)

    def facts(self) -> dict[str, FactValue]:
        """Model fields under the names a policy uses."""
        return {label: getattr(self, name) for label, name in _FACT_FIELDS}


_NO_FACTS = ("arm", "name", "price_cached_write", "tiers", "batch")
_FACT_FIELDS = tuple((f"model.{name}", name) for name in Model.__match_args__ if name not in _NO_FACTS)
_REQUIRED = ("price_in", "price_out")
_PRICE_FIELDS = ("price_in", "price_out", "price_cached_read", "price_cached_write")


@frozen
class Catalog:
    """Models by arm id, aliases (bare model names and nicknames) to arm ids, and the fingerprint over both.

    `schedule`: by arm, (first day it holds as an ISO date, "" for always; prices with their tiers), ascending.
    """

    models: Mapping[str, Model]
    aliases: Mapping[str, str]
    fingerprint: str
    as_of: str = ""
    schedule: Mapping[str, tuple[tuple[str, tuple[Prices, ...]], ...]] = field(default_factory=dict)

    @staticmethod
    def build(models: Iterable[Model], aliases: Mapping[str, str], as_of: str = "") -> Catalog:
        """A catalog with its fingerprint; arms sorted, so equal content is equal identity."""
        by_arm = {model.arm: model for model in sorted(models, key=lambda model: model.arm)}
        document = {"aliases": dict(aliases), "models": [model_document(model) for model in by_arm.values()]}
        return Catalog(by_arm, dict(aliases), fingerprint(_DOMAIN, document), as_of)

    def resolve(self, name: str) -> str | None:
        """Arm id for an arm id or an alias; None when the catalog knows neither."""
        return name if name in self.models else self.aliases.get(name)

    def overlaid(self, rows: Collection[Model]) -> Catalog:
        """This catalog with `rows` added or replaced; a new bare name becomes an alias unless it is taken.

        A replaced arm loses its dated prices: the overlay's hold.
        """
        models = dict(self.models)
        aliases = dict(self.aliases)
        for row in rows:
            models[row.arm] = row
            aliases.setdefault(row.name, row.arm)
        built = Catalog.build(models.values(), aliases, self.as_of)
        own = {row.arm for row in rows}
        return replace(built, schedule={arm: dated for arm, dated in self.schedule.items() if arm not in own})

    def narrowed(self, arms: Iterable[str]) -> Catalog:
        """Only `arms` and the aliases that lead to them."""
        kept = set(arms)
        aliases = {alias: arm for alias, arm in self.aliases.items() if arm in kept}
        built = Catalog.build((m for arm, m in self.models.items() if arm in kept), aliases, self.as_of)
        return replace(built, schedule={arm: dated for arm, dated in self.schedule.items() if arm in kept})

    def on(self, date: str) -> Catalog:
        """This catalog at the prices of an ISO date; itself where no dated price says otherwise."""
        changed = [
            _at_prices(self.models[arm], held[-1])
            for arm, dated in self.schedule.items()
            if arm in self.models and (held := [prices for first, prices in dated if first <= date])
        ]
        moved = [model for model in changed if model != self.models[model.arm]]
        if not moved:
            return self
        return replace(self.overlaid(moved), schedule=self.schedule, as_of=date)

    def repriced(self, arm: str, *, price_in: int, price_out: int) -> Catalog:
        """This catalog with other list prices for one arm, pico-dollars per token."""
        return self.overlaid((replace(self.models[arm], price_in=price_in, price_out=price_out),))


def model_document(model: Model) -> dict[str, Any]:
    """A model as JSON values; absent fields are left out."""
    found: dict[str, Any] = {
        name: value for name in Model.__match_args__ if (value := getattr(model, name)) is not None
    }
    for name in ("tiers", "batch"):
        if steps := found.pop(name):
            found[name] = [_prices_document(step) for step in steps]
    return found


def model_from_document(document: Mapping[str, Any]) -> Model:
    """The inverse of `model_document`; CatalogError without a price, TypeError on unknown or other missing fields."""
    for name in _REQUIRED:
        if name not in document:
            raise CatalogError(f"`{document.get('arm')}`: `{name}` is missing; an arm needs both list prices")
    if "tiers" not in document and "batch" not in document:
        return Model(**document)
    steps = {name: tuple(Prices(**step) for step in document.get(name, ())) for name in ("tiers", "batch")}
    return Model(**{**document, **steps})


@cache
def default_catalog() -> Catalog:
    """The snapshot shipped with the package."""
    # Not importlib.resources: its reader alone would double the load time of a cold environment.
    document = json.loads(Path(__file__).with_name("catalog.json").read_bytes())
    models, schedule = [], {}
    for row in document["models"]:
        model = Model(**row["fields"])
        if "tiers" in row or "batch" in row:
            tiers = tuple(Prices(**step) for step in row.get("tiers", ()))
            model = replace(model, tiers=tiers, batch=_steps(row["batch"]) if "batch" in row else ())
        models.append(model)
        # Hours of the day are no dates: such a row keeps its list price, the one of the dearest hours.
        if "schedule" in row and not any("daily" in entry for entry in row["schedule"]):
            schedule[model.arm] = tuple((entry.get("from", ""), _steps(entry)) for entry in row["schedule"])
    return replace(Catalog.build(models, document["aliases"], document["as_of"]), schedule=schedule)


def _steps(entry: Mapping[str, Any]) -> tuple[Prices, ...]:
    """A price entry of the file, its own prices first, then its tiers."""
    base = Prices(**{name: entry[name] for name in _PRICE_FIELDS if name in entry})
    return (base, *(Prices(**step) for step in entry.get("tiers", ())))


def _at_prices(model: Model, steps: tuple[Prices, ...]) -> Model:
    listed = {name: getattr(steps[0], name) for name in _PRICE_FIELDS}
    return replace(model, **listed, tiers=steps[1:])


def _starts(steps: tuple[Prices, ...]) -> list[int]:
    return [step.above for step in steps]


def _prices_document(step: Prices) -> dict[str, int]:
    return {name: value for name in Prices.__match_args__ if (value := getattr(step, name)) is not None}
