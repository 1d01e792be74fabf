"""The catalog's compiler on small made input: prices, joins, derived fields, aliases, the file's bytes."""

from __future__ import annotations

import json
import zipfile
from dataclasses import dataclass, field
from datetime import date, time
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from policy_cli.catalog.command import catalog
from policy_cli.catalog.document import compile_catalog, render
from policy_cli.catalog.joining import join
from policy_cli.catalog.pricing import PriceRow, Rates, ScheduledRates, picodollars, standing
from policy_cli.catalog.rules import HOSTS, aliases, region, served_family, stage
from policy_cli.catalog.sources import CapabilityTable, SourceError, read_capabilities, to_price_row
from policy_lang.catalog import default_catalog

DAY = date(2026, 11, 21)
BY_PROVIDER = {host.provider: host for host in HOSTS}
BEDROCK = BY_PROVIDER["bedrock"]


def rates(price_in: int, price_out: int, **more: int) -> Rates:
    return Rates({"price_in": price_in, "price_out": price_out, **more})


def entry(provider: str, dollars_in: str, dollars_out: str, **more: Any) -> dict[str, Any]:
    costs = {
        "input_cost_per_token": Decimal(dollars_in) / 1_000_000,
        "output_cost_per_token": Decimal(dollars_out) / 1_000_000,
    }
    return {"litellm_provider": provider, "mode": "chat", **costs, **more}


def priced(*rows: tuple[str, PriceRow]):
    known = dict(rows)
    return lambda provider, name: known.get(f"{provider}/{name}")


def row(id_: str, price_in: int, price_out: int, **more: Any) -> PriceRow:
    return PriceRow(id_, (ScheduledRates(rates(price_in, price_out)),), **more)


@pytest.mark.parametrize(
    ("dollars", "expected"),
    [("1", (1_000_000, False)), ("0.0375", (37_500, False)), ("0.0000005", (1, True)), ("0.0000004", (0, True))],
)
def test_dollars_per_million_tokens_become_whole_picodollars_half_up(dollars, expected):
    assert picodollars(Decimal(dollars)) == expected


def test_the_standing_price_is_the_last_dated_one_in_force():
    schedule = (
        ScheduledRates(rates(5, 30)),
        ScheduledRates(rates(4, 20), start=date(2026, 8, 21)),
        ScheduledRates(rates(9, 90), start=date(2027, 1, 1)),
    )
    model = PriceRow("m", schedule)
    assert standing(model, date(2026, 8, 20)).pair() == (5, 30)
    assert standing(model, date(2026, 8, 21)).pair() == (4, 20)
    assert standing(model, date(2027, 1, 1)).pair() == (9, 90)


def test_a_dearer_daily_window_bounds_the_price_and_a_window_listed_before_a_date_is_history():
    peak = ScheduledRates(rates(8, 8), daily=("01:00", "04:00"))
    flat = ScheduledRates(rates(2, 2), start=date(2026, 8, 17))
    assert standing(PriceRow("m", (ScheduledRates(rates(1, 1)), flat, peak)), DAY).pair() == (8, 8)
    assert standing(PriceRow("m", (ScheduledRates(rates(1, 1)), peak, flat)), DAY).pair() == (2, 2)


@dataclass
class Listed:
    """A model as genai-prices lists it."""

    prices: Any
    price_variants: list[Any] = field(default_factory=list)
    id: str = "m"
    context_window: int | None = 1_000
    deprecated: bool | None = None


class Published:
    """Attributes as genai-prices' price and constraint classes carry them."""

    def __init__(self, **attributes: Any) -> None:
        vars(self).update(attributes)


def test_a_listed_model_keeps_tiers_dates_windows_and_the_batch_price_in_force():
    tiered = Published(base=Decimal(2), tiers=[Published(start=200_000, price=Decimal(4))])
    flat = Published(input_mtok=tiered, output_mtok=Decimal("0.0000015"), web_searches_kcount=Decimal(10))
    window = Published(start_time=time(1), end_time=time(4, 30))
    batch = Published(input_mtok=Decimal(1), output_mtok=Decimal(3))
    listed = Listed(
        prices=[
            Published(constraint=None, prices=flat),
            Published(constraint=Published(start_date=DAY), prices=batch),
            Published(constraint=window, prices=flat),
        ],
        price_variants=[
            Published(when={"service_tier": "flex"}, prices=flat, constraint=None),
            Published(when={"processing": "batch"}, prices=flat, constraint=Published(start_date=date(2027, 1, 1))),
            Published(when={"processing": "batch"}, prices=batch, constraint=Published(start_date=DAY)),
        ],
    )
    read = to_price_row(listed, DAY)
    assert [entry.document() for entry in read.schedule] == [
        {"price_in": 2_000_000, "price_out": 2, "tiers": [{"above": 200_000, "price_in": 4_000_000}]},
        {"from": "2026-11-21", "price_in": 1_000_000, "price_out": 3_000_000},
        {
            "daily": ["01:00", "04:30"],
            "price_in": 2_000_000,
            "price_out": 2,
            "tiers": [{"above": 200_000, "price_in": 4_000_000}],
        },
    ]
    assert read.schedule[0].rates.rounded == ("price_out",)
    assert read.batch is not None
    assert read.batch.document() == {"price_in": 1_000_000, "price_out": 3_000_000}


@pytest.mark.parametrize(
    ("name", "retires", "marked", "expected"),
    [
        ("gpt-6-sol", None, False, "stable"),
        ("gpt-6-sol", date(2027, 2, 20), False, "stable"),
        ("gpt-6-sol", date(2027, 2, 19), False, "deprecated"),
        ("gpt-6-sol", date(2026, 1, 1), False, "deprecated"),
        ("gemini-3.1-pro-preview", None, False, "preview"),
        ("deepseek-v3.2-exp", None, False, "preview"),
        ("expert-model", None, False, "stable"),
        ("gemini-3.1-pro-preview", date(2026, 12, 1), False, "deprecated"),
        ("mistral-tiny", None, True, "deprecated"),
    ],
)
def test_stage_is_read_off_the_name_the_retirement_date_and_the_mark(name, retires, marked, expected):
    assert stage(name, retires, DAY, marked_deprecated=marked) == expected


@pytest.mark.parametrize(
    ("provider", "name", "expected"),
    [
        ("bedrock", "eu.amazon.nova-lite-v1:0", "eu"),
        ("bedrock", "us.amazon.nova-lite-v1:0", "us"),
        ("bedrock", "jp.anthropic.claude-haiku-5-5", "asia"),
        ("bedrock", "global.anthropic.claude-haiku-5-5", "global"),
        ("bedrock", "amazon.nova-premier-v1:0", None),
        ("mistral", "mistral-large-4", "global"),
        ("xai", "grok-4.7", "global"),
        ("openai", "gpt-5", None),
    ],
)
def test_a_region_is_claimed_only_where_the_host_promises_it(provider, name, expected):
    assert region(BY_PROVIDER[provider], name) == expected


@pytest.mark.parametrize(
    ("provider", "name", "served"),
    [
        ("openai", "gpt-5-mini", True),
        ("openai", "gpt-4o-audio-preview", False),
        ("openai", "ft:gpt-4o-2024-08-06", False),
        ("mistral", "mistral-large-latest", False),
        ("mistral", "zai-glm-5-3", False),
        ("bedrock", "eu.amazon.nova-lite-v1:0", True),
        ("bedrock", "apac.amazon.nova-lite-v1:0", False),
        ("bedrock", "us-gov.anthropic.claude-sonnet-5", False),
        ("bedrock", "us.anthropic.claude-3-7-sonnet-20250219-v1:0", False),
        ("bedrock", "us.anthropic.claude-opus-4-1-20250805-v1:0", True),
        ("bedrock", "us.zai.glm-5.3", False),
    ],
)
def test_general_text_models_of_followed_families_become_arms(provider, name, served):
    assert served_family(BY_PROVIDER[provider], name) is served


def test_a_contested_name_goes_to_the_maker_then_by_host_and_geography_order():
    arms = [
        "bedrock/eu.amazon.nova-lite-v1:0",
        "bedrock/us.amazon.nova-lite-v1:0",
        "bedrock/us.anthropic.claude-haiku-4-5-20251001-v1:0",
        "anthropic/claude-haiku-4-5",
        "groq/openai/gpt-oss-20b",
        "bedrock/openai.gpt-oss-20b-1:0",
        "bedrock/us.deepseek.r1-v1:0",
    ]
    expected = {
        "claude-haiku-4-5": "anthropic/claude-haiku-4-5",
        "claude-haiku-4-5-us": "bedrock/us.anthropic.claude-haiku-4-5-20251001-v1:0",
        "deepseek-r1": "bedrock/us.deepseek.r1-v1:0",
        "deepseek-r1-us": "bedrock/us.deepseek.r1-v1:0",
        "gpt-oss-20b": "bedrock/openai.gpt-oss-20b-1:0",
        "nova-lite": "bedrock/us.amazon.nova-lite-v1:0",
        "nova-lite-eu": "bedrock/eu.amazon.nova-lite-v1:0",
        "nova-lite-us": "bedrock/us.amazon.nova-lite-v1:0",
    }
    assert aliases(arms) == expected
    assert aliases(reversed(arms)) == expected


def test_a_joined_model_carries_both_sources_and_says_which_stated_what():
    table = {
        "gpt-9": entry(
            "openai",
            "1",
            "5",
            max_input_tokens=272_000,
            max_output_tokens=64_000,
            supports_function_calling=True,
            supported_modalities=["text"],
            deprecation_date="2028-01-01",
        )
    }
    price = PriceRow(
        "gpt-9", (ScheduledRates(rates(1_000_000, 5_000_000, price_cached_read=100_000)),), context=400_000
    )
    (joined,) = join(table, priced(("openai/gpt-9", price)), DAY).rows
    assert joined.document() == {
        "fields": {
            "arm": "openai/gpt-9",
            "provider": "openai",
            "name": "gpt-9",
            "price_in": 1_000_000,
            "price_out": 5_000_000,
            "price_cached_read": 100_000,
            "context": 272_000,
            "max_output": 64_000,
            "stage": "stable",
            "tools": True,
            "vision": False,
            "prompt_caching": True,
        },
        "retires": "2028-01-01",
        "sources": {
            "genai-prices": {"id": "openai/gpt-9", "fields": ["price_in", "price_out", "price_cached_read"]},
            "litellm": {"id": "gpt-9", "fields": ["name", "context", "max_output", "tools", "vision"]},
            "rule": {"fields": ["stage", "prompt_caching"]},
        },
    }


@pytest.mark.parametrize(
    ("key", "stated", "price", "reason"),
    [
        ("gpt-9", entry("openai", "1", "5"), None, "no price row"),
        ("gpt-9", entry("openai", "1", "5", deprecation_date="2026-11-21"), row("gpt-9", 1, 5), "retired 2026-11-21"),
        ("gpt-9", entry("openai", "0", "0"), row("gpt-9", 1, 5), "no price per token"),
        ("gpt-9", entry("openai", "2", "5"), row("gpt-9", 1, 5), "sources disagree: in 1/2000000, out 5/5000000"),
    ],
)
def test_an_id_that_does_not_join_is_left_out_with_its_reason(key, stated, price, reason):
    find = priced((f"openai/{key}", price)) if price else priced()
    joined = join({key: stated}, find, DAY)
    assert joined.rows == ()
    assert joined.left_out == {f"openai/{key}": reason}


def test_a_source_that_lags_behind_a_dated_price_still_agrees():
    schedule = (ScheduledRates(rates(5_000_000, 9_000_000)), ScheduledRates(rates(4_000_000, 8_000_000), start=DAY))
    (joined,) = join({"m": entry("openai", "5", "9")}, priced(("openai/m", PriceRow("m", schedule))), DAY).rows
    assert joined.model.price_in == 4_000_000
    assert joined.extra["schedule"][1] == {"from": "2026-11-21", "price_in": 4_000_000, "price_out": 8_000_000}


def test_one_id_stands_for_a_model_and_the_other_spellings_say_which():
    price = row("gpt-9", 1_000_000, 2_000_000)
    table = {name: entry("openai", "1", "2") for name in ("gpt-9-2026-01-01", "gpt-9", "gpt-9-pinned")}
    joined = join(table, priced(*((f"openai/{name}", price) for name in table)), DAY)
    assert [made.model.arm for made in joined.rows] == ["openai/gpt-9"]
    assert joined.left_out == {
        "openai/gpt-9-2026-01-01": "same model as openai/gpt-9",
        "openai/gpt-9-pinned": "same model as openai/gpt-9",
    }


def test_a_bedrock_geography_has_its_own_price_and_a_profile_displaces_the_plain_id():
    price = row("amazon.nova-x", 60_000, 240_000)
    table = {
        "amazon.nova-x": entry(BEDROCK.table, "0.06", "0.24"),
        "us.amazon.nova-x": entry(BEDROCK.table, "0.06", "0.24"),
        "eu.amazon.nova-x": entry(BEDROCK.table, "0.078", "0.312"),
    }
    joined = join(table, priced(*((f"aws/{name}", price) for name in table)), DAY)
    stated = [(m.model.arm, m.model.region, m.model.price_in, next(iter(m.sources))) for m in joined.rows]
    assert stated == [
        ("bedrock/eu.amazon.nova-x", "eu", 78_000, "litellm"),
        ("bedrock/us.amazon.nova-x", "us", 60_000, "genai-prices"),
    ]
    assert joined.left_out == {"bedrock/amazon.nova-x": "has inference profiles with a known region"}


def test_the_same_inputs_give_the_same_bytes_whatever_order_the_table_has():
    rows = {f"gpt-{n}": entry("openai", "1", "2") for n in (9, 8, 7)}
    find = priced(*((f"openai/{name}", row(name, 1_000_000, 2_000_000)) for name in rows))
    identity = {"version": "0", "sha256": "0"}
    texts = {
        render(compile_catalog(CapabilityTable(table, "0", "0"), find, identity, DAY)[1])
        for table in (rows, dict(reversed(rows.items())))
    }
    assert len(texts) == 1
    document = json.loads(texts.pop())
    assert [made["fields"]["arm"] for made in document["models"]] == ["openai/gpt-7", "openai/gpt-8", "openai/gpt-9"]
    assert document["aliases"]["gpt-8"] == "openai/gpt-8"


def test_the_shipped_file_is_in_the_form_the_compiler_writes():
    shipped = Path(__file__).parents[2] / "policy_lang" / "catalog.json"
    text = shipped.read_text(encoding="utf-8")
    assert render(json.loads(text)) == text
    assert json.loads(text)["aliases"] == aliases(default_catalog().models)


def test_a_wheel_gives_its_table_its_version_and_a_digest(tmp_path):
    wheel = tmp_path / "litellm-1.2.3-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        text = '{"sample_spec": {}, "gpt-9": {"input_cost_per_token": 1.1e-07}}'
        archive.writestr("litellm/model_prices_and_context_window_backup.json", text)
    table = read_capabilities(wheel)
    assert table.version == "1.2.3"
    assert table.rows == {"gpt-9": {"input_cost_per_token": Decimal("1.1e-07")}}
    assert len(table.sha256) == 64


def test_a_file_that_is_no_litellm_wheel_is_refused_by_name(tmp_path):
    other = tmp_path / "other.whl"
    other.write_bytes(b"no zip")
    with pytest.raises(SourceError, match=r"other.whl` is not a LiteLLM wheel"):
        read_capabilities(other)
    result = CliRunner().invoke(catalog, ["build", "--litellm-wheel", str(other), "--as-of", "2026-11-21"])
    assert result.exit_code == 2


def test_show_prints_one_model_by_alias_and_refuses_an_unknown_name():
    shown = CliRunner().invoke(catalog, ["show", "claude-haiku-4-5", "--format", "json"])
    assert shown.exit_code == 0
    assert json.loads(shown.output)[0]["price_out"] == 5_000_000
    every = CliRunner().invoke(catalog, ["show"])
    assert len(every.output.splitlines()) == len(default_catalog().models)
    unknown = CliRunner().invoke(catalog, ["show", "gpt-99"])
    assert unknown.exit_code == 1
    assert "`gpt-99`" in unknown.output
