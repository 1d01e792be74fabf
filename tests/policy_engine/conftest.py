"""A small world for the engine's tests: four arms, one policy with gates, a floor and a value route."""

from __future__ import annotations

import os

import pytest
from hypothesis import Phase, settings

from policy_engine.snapshot import build_snapshot
from policy_engine.statistics import CellRow, epoch_of, merge_sums, outcome_sums
from policy_engine.table import compile_table
from policy_engine.wire import RouteRequest, TelemetryRecord
from policy_lang.catalog import Catalog, Model
from policy_lang.envelope import build_envelope, cluster_id
from policy_lang.ir import And, Compare, Explore, Floor, Gate, PickTerm, Policy, Route, Tier

NOW = 1_790_000_000_000

CHEAP = Model("a/cheap", "a", "cheap", 100_000, 400_000, context=128_000, region="eu", stage="stable")
PLAIN = Model("b/plain", "b", "plain", 1_000_000, 5_000_000, context=200_000, region="us", stage="stable")
STRONG = Model("b/strong", "b", "strong", 3_000_000, 15_000_000, context=200_000, region="us", stage="stable")
BLANK = Model("c/blank", "c", "blank", 200_000, 800_000)

EU_ONLY = Gate(
    "PII stays in the EU",
    "forbid",
    And((Compare("model.region", "ne", "eu"), Compare("task", "eq", "pii-extract"))),
)
LABELLING = Route(
    "labelling",
    Compare("task", "eq", "label"),
    ("small", "large"),
    (PickTerm("cheapest"),),
    floors=(Floor("success", 900_000, 900_000),),
    until_proven="b/strong",
    explore=Explore(50_000, 300_000, 2_000_000_000),
    pin_ms=1_800_000,
)
GENERAL = Route(
    "general",
    And(()),
    ("small", "large"),
    (PickTerm("best_value", value_nanodollars=13_300_000),),
    explore=Explore(50_000),
)

# For `bench/seeded_bugs.py`: whether a bug is caught, not by how small an example.
settings.register_profile("first failure", phases=(Phase.explicit, Phase.generate), derandomize=True)
if os.environ.get("POINTSMAN_FIRST_FAILURE"):
    settings.load_profile("first failure")


@pytest.fixture
def catalog():
    return Catalog.build((CHEAP, PLAIN, STRONG, BLANK), {})


@pytest.fixture
def policy():
    return Policy(
        name="acme/support",
        tasks=("label", "other", "pii-extract"),
        tiers=(Tier("large", ("b/strong",)), Tier("small", ("a/cheap", "b/plain", "c/blank"))),
        gates=(EU_ONLY,),
        routes=(LABELLING,),
        default=GENERAL,
        fallback=("b/plain", "a/cheap"),
        baseline="b/strong",
    )


@pytest.fixture
def table(policy, catalog):
    return compile_table(policy, catalog, {"PII stays in the EU": 6, "route:labelling": 9, "route:general": 16})


@pytest.fixture
def request_for():
    """Build a route request by task; other envelope fields by keyword."""

    def build(task: str, **fields) -> RouteRequest:
        extra = {name: fields.pop(name) for name in ("org", "candidates", "session", "tool_loop") if name in fields}
        envelope = build_envelope(task_type=task, **{"context_tokens": 300, "estimated_tokens": 450, **fields})
        return RouteRequest(envelope, policy="acme/support", **extra)

    return build


@pytest.fixture
def learned(request_for):
    """A snapshot of given (task, arm, successes, failures) counts, decided and observed at NOW. `cached`: by arm, the
    tokens of its prompts that were read from a cache.
    """

    def build(*counts: tuple[str, str, int, int], now=NOW, spent=None, cached=None):
        rows = []
        for task, arm, good, bad in counts:
            record = {"token": "t" * 20, "hop": 0, "arm": arm, "input_tokens": 300, "output_tokens": 100}
            record["cached_read_tokens"] = (cached or {}).get(arm)
            ok = outcome_sums(TelemetryRecord(**record, outcome="ok", latency_ms=900), NOW)
            wrong = outcome_sums(TelemetryRecord(**record, outcome="wrong", latency_ms=900), NOW)
            sums = merge_sums([ok] * good + [wrong] * bad)
            rows.append(CellRow(cluster_id(request_for(task).envelope), task, arm, 0, epoch_of(NOW), sums))
        return build_snapshot(rows, now, spent_nanodollars=spent)

    return build
