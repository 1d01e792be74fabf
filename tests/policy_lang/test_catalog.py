"""The shipped catalog keeps its promises, and a catalog is a value: overlaid, narrowed, fingerprinted."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path
from typing import get_args

import pytest

import policy_lang.catalog
from policy_lang.catalog import Catalog, Model, default_catalog, model_document, model_from_document
from policy_lang.ir import Arm
from policy_lang.vocabulary import FIELDS, REGIONS, STAGES

DOCUMENT = json.loads(Path(policy_lang.catalog.__file__).with_name("catalog.json").read_bytes())
MODELS = list(default_catalog().models.values())
PRICES = ("price_in", "price_out", "price_cached_read", "price_cached_write")


def test_at_least_sixty_models_of_at_least_five_providers_are_current():
    current = [model for model in MODELS if model.stage != "deprecated"]
    providers = Counter(model.provider for model in current)
    assert len(current) >= 60
    assert len([name for name, count in providers.items() if count >= 3]) >= 5


def test_every_arm_id_is_one_the_ir_accepts_and_spells_provider_and_name():
    form = get_args(Arm)[1]
    for model in MODELS:
        assert re.fullmatch(form.pattern, model.arm), model.arm
        assert len(model.arm) <= form.longest
        assert model.arm == f"{model.provider}/{model.name}"


def test_every_price_is_a_positive_whole_number_of_picodollars_and_cached_reads_are_no_dearer():
    for model in MODELS:
        stated = [price for name in PRICES if (price := getattr(model, name)) is not None]
        assert all(type(price) is int and price > 0 for price in stated), model.arm
        assert model.price_cached_read is None or model.price_cached_read <= model.price_in, model.arm


def test_sizes_are_positive_and_words_come_from_the_vocabulary():
    for model in MODELS:
        assert model.context is None or model.context > 0
        assert model.max_output is None or model.max_output > 0
        assert model.region is None or model.region in REGIONS
        assert model.stage in STAGES


def test_facts_are_exactly_the_model_fields_a_policy_may_name():
    assert set(MODELS[0].facts()) == {name for name, spec in FIELDS.items() if spec.scope == "model"}


def test_every_field_has_one_source_and_every_source_a_version_or_document_and_the_day_it_was_read():
    for row in DOCUMENT["models"]:
        sourced = Counter(field for source in row["sources"].values() for field in source["fields"])
        assert sourced == dict.fromkeys(row["fields"].keys() - {"arm", "provider"}, 1), row["fields"]["arm"]
        assert row["sources"].keys() <= DOCUMENT["sources"].keys()
    for source in DOCUMENT["sources"].values():
        assert source["read"] == DOCUMENT["as_of"]
        assert source.keys() & {"version", "document"}


def test_no_alias_is_an_arm_or_leads_nowhere():
    known = default_catalog()
    assert not known.aliases.keys() & known.models.keys()
    assert set(known.aliases.values()) <= known.models.keys()


@pytest.mark.parametrize(
    ("name", "arm"),
    [
        ("claude-haiku-4-5", "anthropic/claude-haiku-4-5"),
        ("claude-sonnet-4-5", "anthropic/claude-sonnet-4-5"),
        ("claude-sonnet-4-5-eu", "bedrock/eu.anthropic.claude-sonnet-4-5-20250929-v1:0"),
        ("claude-haiku-5-5-eu", "bedrock/eu.anthropic.claude-haiku-5-5"),
        ("claude-opus-4-1", "bedrock/us.anthropic.claude-opus-4-1-20250805-v1:0"),
        ("gpt-5", "openai/gpt-5"),
        ("gpt-5-mini", "openai/gpt-5-mini"),
        ("gpt-oss-120b", "bedrock/openai.gpt-oss-120b-1:0"),
        ("nova-lite", "bedrock/us.amazon.nova-lite-v1:0"),
        ("nova-lite-eu", "bedrock/eu.amazon.nova-lite-v1:0"),
        ("mistral-large-4", "mistral/mistral-large-4"),
        ("openai/gpt-5", "openai/gpt-5"),
        ("gpt-4", None),
    ],
)
def test_names_resolve(name, arm):
    assert default_catalog().resolve(name) == arm


@pytest.mark.parametrize(
    ("arm", "dollars_in", "dollars_out"),
    [
        ("anthropic/claude-haiku-4-5", "1", "5"),
        ("anthropic/claude-sonnet-4-5", "3", "15"),
        ("openai/gpt-5-mini", "0.25", "2"),
        ("bedrock/us.amazon.nova-lite-v1:0", "0.06", "0.24"),
        ("bedrock/eu.amazon.nova-lite-v1:0", "0.078", "0.312"),
        ("bedrock/eu.anthropic.claude-sonnet-4-5-20250929-v1:0", "3.3", "16.5"),
    ],
)
def test_list_prices_are_the_published_dollars_per_million_tokens(arm, dollars_in, dollars_out):
    model = default_catalog().models[arm]
    published = [round(float(dollars) * 1_000_000) for dollars in (dollars_in, dollars_out)]
    assert [model.price_in, model.price_out] == published


def test_only_bedrock_profiles_promise_the_eu():
    european = [model for model in MODELS if model.region == "eu"]
    assert len([model for model in european if model.stage == "stable"]) >= 10
    assert all(model.arm.startswith("bedrock/eu.") for model in european)


def test_a_fingerprint_is_the_content_and_not_the_order_it_came_in():
    known = default_catalog()
    again = Catalog.build(reversed(MODELS), dict(reversed(known.aliases.items())), known.as_of)
    dearer = known.repriced("openai/gpt-5", price_in=1, price_out=2)
    assert again.fingerprint == known.fingerprint
    assert dearer.fingerprint != known.fingerprint


def test_a_model_survives_its_document():
    assert [model_from_document(model_document(model)) for model in MODELS] == MODELS


def test_an_overlay_adds_replaces_and_never_steals_a_name():
    own = Model("acme/gpt-5", "acme", "gpt-5", price_in=1, price_out=1)
    other = Model("acme/house-model", "acme", "house-model", price_in=1, price_out=1)
    overlaid = default_catalog().overlaid([own, other])
    assert overlaid.resolve("gpt-5") == "openai/gpt-5"
    assert overlaid.resolve("acme/gpt-5") == "acme/gpt-5"
    assert overlaid.resolve("house-model") == "acme/house-model"


def test_a_narrowed_catalog_keeps_only_the_aliases_that_still_lead_somewhere():
    narrowed = default_catalog().narrowed(["bedrock/eu.amazon.nova-lite-v1:0"])
    assert list(narrowed.models) == ["bedrock/eu.amazon.nova-lite-v1:0"]
    assert narrowed.aliases == {"nova-lite-eu": "bedrock/eu.amazon.nova-lite-v1:0"}


def test_prices_by_hour_of_the_day_are_not_taken_for_dated_ones():
    catalog = default_catalog()
    hourly = [arm for arm in catalog.models if arm.startswith("deepseek/")]
    assert hourly
    for date in ("2024-01-01", "2026-11-21", "2030-01-01"):
        assert [catalog.on(date).models[arm] for arm in hourly] == [catalog.models[arm] for arm in hourly]
