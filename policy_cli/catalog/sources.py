"""The two sources, read into plain values: genai-prices (prices) and the table inside LiteLLM's wheel (capabilities).

Neither is imported by the product: genai-prices lives in the locked environment of requirements/catalog.txt, LiteLLM is
only unzipped.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import zipfile
from collections.abc import Callable, Mapping
from datetime import date
from decimal import Decimal
from importlib.metadata import version
from pathlib import Path
from typing import Any

from policy_cli.catalog.pricing import PriceRow, Rates, ScheduledRates, picodollars
from policy_lang.frozen import frozen

__all__ = ["CapabilityTable", "FindPrice", "SourceError", "read_capabilities", "read_prices", "to_price_row"]

FindPrice = Callable[[str, str], PriceRow | None]

_TABLE = "litellm/model_prices_and_context_window_backup.json"
_PRICE_KEYS = {
    "price_in": "input_mtok",
    "price_out": "output_mtok",
    "price_cached_read": "cache_read_mtok",
    "price_cached_write": "cache_write_mtok",
}


class SourceError(Exception):
    """A source is missing or not what it should be; the message says what to do."""


@frozen
class CapabilityTable:
    """LiteLLM's rows by id, and the identity of the file they came from."""

    rows: Mapping[str, Mapping[str, Any]]
    version: str
    sha256: str


def read_capabilities(wheel: Path) -> CapabilityTable:
    """The table of a LiteLLM wheel; SourceError where the file is no such wheel."""
    try:
        with zipfile.ZipFile(wheel) as archive:
            text = archive.read(_TABLE)
    except (OSError, zipfile.BadZipFile, KeyError) as error:
        raise SourceError(f"`{wheel}` is not a LiteLLM wheel with `{_TABLE}` inside: {error}") from error
    rows = json.loads(text, parse_float=Decimal)
    rows.pop("sample_spec", None)
    return CapabilityTable(rows, wheel.name.split("-")[1], hashlib.sha256(text).hexdigest())


def read_prices(as_of: date) -> tuple[FindPrice, dict[str, str]]:
    """A look-up (provider, model id) -> price row by genai-prices' own matching, and the package's identity."""
    try:
        data = importlib.import_module("genai_prices.data")
    except ModuleNotFoundError as error:
        message = "genai-prices is not installed: run this in the environment of requirements/catalog.txt"
        raise SourceError(message) from error
    providers = {provider.id: provider for provider in data.providers}

    def find(provider: str, name: str) -> PriceRow | None:
        model = providers[provider].find_model(name)
        return None if model is None else to_price_row(model, as_of)

    digest = hashlib.sha256(Path(str(data.__file__)).read_bytes()).hexdigest()
    return find, {"version": version("genai-prices"), "sha256": digest}


def to_price_row(model: Any, as_of: date) -> PriceRow:
    """A genai-prices model: its prices in listed order, and the batch prices in force on `as_of`."""
    listed = model.prices if isinstance(model.prices, list) else [model]
    batch = [
        _rates(variant.prices)
        for variant in model.price_variants or ()
        if variant.when == {"processing": "batch"} and _in_force(variant.constraint, as_of)
    ]
    return PriceRow(
        id=model.id,
        schedule=tuple(_scheduled(entry) for entry in listed),
        context=model.context_window,
        deprecated=bool(model.deprecated),
        # genai-prices lets the first variant that holds win.
        batch=batch[0] if batch else None,
    )


def _scheduled(entry: Any) -> ScheduledRates:
    constraint: Any = getattr(entry, "constraint", None)
    rates = _rates(entry.prices)
    if hasattr(constraint, "start_date"):
        return ScheduledRates(rates, start=constraint.start_date)
    if hasattr(constraint, "start_time"):
        window = (constraint.start_time.strftime("%H:%M"), constraint.end_time.strftime("%H:%M"))
        return ScheduledRates(rates, daily=window)
    return ScheduledRates(rates)


def _in_force(constraint: Any, as_of: date) -> bool:
    return constraint is None or (hasattr(constraint, "start_date") and constraint.start_date <= as_of)


def _rates(prices: Any) -> Rates:
    base: dict[str, int] = {}
    tiers: dict[int, dict[str, int]] = {}
    rounded: list[str] = []
    for name, key in _PRICE_KEYS.items():
        price = vars(prices).get(key)
        if price is None:
            continue
        base[name], inexact = picodollars(getattr(price, "base", price))
        for tier in getattr(price, "tiers", ()):
            tiers.setdefault(tier.start, {})[name], tier_inexact = picodollars(tier.price)
            inexact = inexact or tier_inexact
        if inexact:
            rounded.append(name)
    return Rates(base, tuple(sorted(tiers.items(), key=lambda item: item[0])), tuple(rounded))
