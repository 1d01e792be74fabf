"""The join: one arm per LiteLLM id that genai-prices prices, with the source of every field.

A join is trusted only where the two sources, which are kept by different people, state the same price.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date
from decimal import Decimal
from typing import Any

from policy_cli.catalog.pricing import PRICE_FIELDS, PriceRow, Rates, picodollars, standing
from policy_cli.catalog.rules import HOSTS, Host, geography, region, served_family, stage
from policy_cli.catalog.sources import FindPrice
from policy_lang.catalog import Model, model_document
from policy_lang.frozen import frozen

__all__ = ["Joined", "Row", "join"]

_GENAI, _LITELLM, _RULE = "genai-prices", "litellm", "rule"
_MODES = frozenset({"chat", "responses"})
_FLAGS = {
    "tools": "supports_function_calling",
    "json_schema": "supports_response_schema",
    "vision": "supports_vision",
    "reasoning": "supports_reasoning",
    "streaming": "supports_native_streaming",
    "prompt_caching": "supports_prompt_caching",
}
_COSTS = {
    "price_in": "input_cost_per_token",
    "price_out": "output_cost_per_token",
    "price_cached_read": "cache_read_input_token_cost",
    "price_cached_write": "cache_creation_input_token_cost",
}
_MILLION = 1_000_000


@frozen
class Row:
    """One arm of the file: the model, where each field came from, and what `Model` does not read yet."""

    model: Model
    sources: Mapping[str, Mapping[str, Any]]
    extra: Mapping[str, Any]

    def document(self) -> dict[str, Any]:
        return {"fields": model_document(self.model), **self.extra, "sources": self.sources}


@frozen
class Joined:
    """The arms, sorted by id, and every candidate id that did not become one with the reason."""

    rows: tuple[Row, ...]
    left_out: Mapping[str, str]


@frozen
class _Candidate:
    host: Host
    name: str
    key: str
    entry: Mapping[str, Any]
    priced: PriceRow

    @property
    def arm(self) -> str:
        return f"{self.host.provider}/{self.name}"


def join(table: Mapping[str, Mapping[str, Any]], find_price: FindPrice, as_of: date) -> Joined:
    """Every current text model both sources know and agree on."""
    left_out: dict[str, str] = {}
    candidates: list[_Candidate] = []
    for host in HOSTS:
        for key, entry in table.items():
            name = key.removeprefix(host.prefix)
            if not _offered(host, key, entry) or not served_family(host, name):
                continue
            priced = find_price(host.prices, name)
            if priced is None:
                left_out[f"{host.provider}/{name}"] = "no price row"
                continue
            # An id of a model whose own id has ended is a leftover of it, whatever its row says.
            endings = (_retires(entry), _retires(table.get(host.prefix + priced.id, {})))
            if ended := [day for day in endings if day is not None and day <= as_of]:
                left_out[f"{host.provider}/{name}"] = f"retired {min(ended)}"
            else:
                candidates.append(_Candidate(host, name, key, entry, priced))
    rows: list[Row] = []
    for candidate in _one_per_price_row(candidates, left_out):
        made = _row(candidate, as_of)
        if isinstance(made, str):
            left_out[candidate.arm] = made
        else:
            rows.append(made)
    return Joined(tuple(sorted(rows, key=lambda row: row.model.arm)), left_out)


def _offered(host: Host, key: str, entry: Mapping[str, Any]) -> bool:
    return entry.get("litellm_provider") == host.table and key.startswith(host.prefix) and entry.get("mode") in _MODES


def _retires(entry: Mapping[str, Any]) -> date | None:
    stated = entry.get("deprecation_date")
    return None if stated is None else date.fromisoformat(stated)


def _one_per_price_row(candidates: Iterable[_Candidate], left_out: dict[str, str]) -> list[_Candidate]:
    """One id per price row and geography: the id the price row itself bears, else the shortest, else the first by name.

    On Bedrock an id without a profile yields to any profile of the same model: only a profile's region is known.
    """
    best: dict[tuple[str, str, str | None], _Candidate] = {}
    ranked = sorted(candidates, key=lambda c: (c.name != c.priced.id, len(c.name), c.name))
    profiled = {c.name.partition(".")[2] for c in ranked if c.host.provider == "bedrock" and geography(c.name)}
    for candidate in ranked:
        bedrock = candidate.host.provider == "bedrock"
        place = geography(candidate.name) if bedrock else None
        if bedrock and place is None and candidate.name in profiled:
            left_out[candidate.arm] = "has inference profiles with a known region"
            continue
        slot = (candidate.host.provider, candidate.priced.id, place)
        kept = best.setdefault(slot, candidate)
        if kept is not candidate:
            left_out[candidate.arm] = f"same model as {kept.arm}"
    return list(best.values())


def _row(candidate: _Candidate, as_of: date) -> Row | str:
    """The arm's row, or why there is none."""
    priced = _prices(candidate, as_of)
    if isinstance(priced, str):
        return priced
    source, rates = priced
    fields: dict[str, Any] = {}
    origin: dict[str, list[str]] = {_GENAI: [], _LITELLM: ["name"], _RULE: []}
    for name, value, stated_by in _stated(candidate, as_of, source, rates):
        if value is not None:
            fields[name] = value
            origin[stated_by].append(name)
    model = Model(arm=candidate.arm, provider=candidate.host.provider, name=candidate.name, **fields)
    ids = {_GENAI: f"{candidate.host.prices}/{candidate.priced.id}", _LITELLM: candidate.key}
    sources = {
        name: {**({"id": ids[name]} if name in ids else {}), "fields": listed}
        for name, listed in origin.items()
        if listed
    }
    return Row(model, sources, _extra(candidate, source, rates))


def _prices(candidate: _Candidate, as_of: date) -> tuple[str, Rates] | str:
    """The list prices and who states them; a reason where the sources leave it open."""
    ours, theirs = standing(candidate.priced, as_of), _table_rates(candidate.entry)
    known = {entry.rates.pair() for entry in candidate.priced.schedule}
    if not all(ours.pair()) or not all(theirs.pair()):
        return "no price per token"
    if theirs.pair() in known:
        return _GENAI, ours
    # genai-prices lists Bedrock's US prices under every geography; LiteLLM's row is for this one.
    if candidate.host.provider == "bedrock" and geography(candidate.name) in ("eu", "jp"):
        return _LITELLM, theirs
    return "sources disagree: in {}/{}, out {}/{}".format(
        ours.base["price_in"], theirs.base["price_in"], ours.base["price_out"], theirs.base["price_out"]
    )


def _table_rates(entry: Mapping[str, Any]) -> Rates:
    base: dict[str, int] = {}
    rounded: list[str] = []
    for name, key in _COSTS.items():
        if (cost := entry.get(key)) is not None:
            base[name], inexact = picodollars(Decimal(cost) * _MILLION)
            rounded += [name] * inexact
    return Rates(base, rounded=tuple(rounded))


def _stated(candidate: _Candidate, as_of: date, source: str, rates: Rates) -> Iterable[tuple[str, Any, str]]:
    """(field, value or None, source id) in the order of the file."""
    entry, priced = candidate.entry, candidate.priced
    for name in PRICE_FIELDS:
        yield name, rates.base.get(name), source
    limit = entry.get("max_input_tokens")
    yield "context", limit or priced.context, _LITELLM if limit else _GENAI
    yield "max_output", entry.get("max_output_tokens"), _LITELLM
    yield "region", region(candidate.host, candidate.name), _RULE
    marked = priced.deprecated
    yield "stage", stage(candidate.name, _retires(entry), as_of, marked_deprecated=marked), _RULE
    for name, key in _FLAGS.items():
        yield name, *_flag(name, entry, key, rates)


def _flag(name: str, entry: Mapping[str, Any], key: str, rates: Rates) -> tuple[bool | None, str]:
    """A flag as stated; two are implied by something else the source states. Silence stays unknown."""
    stated = entry.get(key)
    if stated is not None:
        return bool(stated), _LITELLM
    if name == "vision" and (inputs := entry.get("supported_modalities")):
        return "image" in inputs, _LITELLM
    if name == "prompt_caching" and "price_cached_read" in rates.base:
        return True, _RULE
    return None, _LITELLM


def _extra(candidate: _Candidate, source: str, rates: Rates) -> dict[str, Any]:
    priced = candidate.priced
    retires = _retires(candidate.entry)
    extra: dict[str, Any] = {}
    if retires is not None:
        extra["retires"] = retires.isoformat()
    if rates.rounded:
        extra["rounded"] = list(rates.rounded)
    if source != _GENAI:
        return extra
    if rates.tiers:
        extra["tiers"] = rates.document()["tiers"]
    if len(priced.schedule) > 1:
        extra["schedule"] = [entry.document() for entry in priced.schedule]
    if priced.batch is not None:
        extra["batch"] = priced.batch.document()
    return extra
