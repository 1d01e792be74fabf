"""Published outcomes (one row a query and model) as a world: calls drawn in shuffled passes, every answer known.

Token counts the file lacks, or that do not come to its cost at list price, are replaced by the output tokens that do,
so that the engine bills exactly what the file says. Nothing else of the file reaches a router before it has served.
"""

from __future__ import annotations

import csv
import random
import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from statistics import fmean

import pyarrow.parquet as parquet
from online import Call, Outcome

from policy_lang.catalog import Catalog, Model
from policy_lang.envelope import Envelope, build_envelope

TRACES = Path(__file__).parents[3] / "shared/data/traces/azure_2023_code.parquet"
START_MS = 1_790_000_000_000
MAX_TASKS = 198
_LATENCY_MS = 1_500
_FAMILY = re.compile(r"[a-z]+")


@dataclass(frozen=True)
class Recorded:
    """A file as arrays: `outcomes[query][model]`, an envelope a query, list prices a model."""

    envelopes: tuple[Envelope, ...]
    outcomes: tuple[Mapping[str, Outcome], ...]
    models: tuple[str, ...]
    catalog: Catalog
    tasks: tuple[str, ...]

    def mean_cost(self, model: str) -> float:
        """Nano-dollars a call."""
        return fmean(row[model].cost_nanodollars for row in self.outcomes)

    def mean_quality(self, model: str) -> float:
        return fmean(row[model].quality for row in self.outcomes)


def load(path: Path, models: Sequence[str] | None = None, *, structure: bool = True) -> Recorded:
    """Read a file of the form of `shared/data/replay`. Without `structure` task, sizes and tools are hidden."""
    rows = parquet.read_table(path).to_pylist()
    known = sorted({row["model"] for row in rows})
    if unknown := sorted(set(models or ()) - set(known)):
        raise SystemExit(f"no model `{unknown[0]}` in {path.name}; it has {', '.join(known)}")
    chosen = tuple(models or known)
    prices = _prices(path, rows, chosen)
    graded = any(row["correct"] not in (0, 1) for row in rows)
    by_query: dict[tuple[str, str], dict[str, Mapping[str, object]]] = defaultdict(dict)
    for row in rows:
        if row["model"] in prices:
            by_query[row["dataset"], row["query_id"]][row["model"]] = row
    whole = [found for found in by_query.values() if len(found) == len(chosen)]
    names = _task_names(row["task"] for found in whole for row in list(found.values())[:1])
    envelopes = tuple(_envelope(next(iter(found.values())), names, structure) for found in whole)
    outcomes = tuple({m: _outcome(found[m], prices[m], graded) for m in chosen} for found in whole)
    catalog = Catalog.build([Model(_arm(m), _family(m), m, *prices[m]) for m in chosen], {m: _arm(m) for m in chosen})
    return Recorded(envelopes, outcomes, chosen, catalog, tuple(sorted({e.task_type for e in envelopes})))


def calls(recorded: Recorded, passes: int, seed: int) -> tuple[list[Call], list[int]]:
    """Calls of `passes` shuffled passes, and the query behind each; arrivals from the trace where it is present."""
    chance = random.Random(f"calls {seed}")
    queries: list[int] = []
    for _ in range(passes):
        order = list(range(len(recorded.envelopes)))
        chance.shuffle(order)
        queries += order
    times = arrivals(len(queries), chance)
    found = [
        Call(number, at, recorded.envelopes[query], recorded.models)
        for number, (at, query) in enumerate(zip(times, queries, strict=True))
    ]
    return found, queries


def arrivals(number: int, chance: random.Random) -> list[int]:
    """`number` arrival times: the trace from a random point on, round and round; Poisson at its rate without it."""
    gaps = _trace_gaps() or tuple(round(chance.expovariate(1 / 390)) for _ in range(number))
    first, now, times = chance.randrange(len(gaps)), START_MS, []
    for place in range(number):
        now += gaps[(first + place) % len(gaps)]
        times.append(now)
    return times


def arm_of(model: str) -> str:
    return _arm(model)


@cache
def _trace_gaps() -> tuple[int, ...]:
    if not TRACES.exists():
        return ()
    times = parquet.read_table(TRACES).column("t_ms").to_pylist()
    return tuple(max(0, round(later - earlier)) for earlier, later in zip(times, times[1:], strict=False))


def _envelope(row: Mapping[str, object], names: Mapping[str, str], structure: bool) -> Envelope:
    if not structure:
        return build_envelope(task_type="other")
    size = max(0, int(row["prompt_tokens"]))
    tools = max(0, min(128, int(row.get("n_tools") or 0)))
    return build_envelope(
        task_type=names[row["task"]], context_tokens=size, tools_used=tools, estimated_tokens=size + 100
    )


def _outcome(row: Mapping[str, object], price: tuple[int, int], graded: bool) -> Outcome:
    cost = float(row["cost_usd"]) * 1e9
    tokens_in, tokens_out = int(row["input_tokens"]), int(row["output_tokens"])
    if tokens_in < 0 or tokens_out < 0 or abs((tokens_in * price[0] + tokens_out * price[1]) / 1000 - cost) > cost / 50:
        tokens_in, tokens_out = 0, round(cost * 1000 / price[1])
    latency = float(row.get("latency_s") or -1)
    latency_ms = round(latency * 1000) if latency >= 0 else _LATENCY_MS
    return Outcome(float(row["correct"]), round(cost), latency_ms, tokens_in, tokens_out, graded)


def _prices(path: Path, rows: Sequence[Mapping[str, object]], models: Sequence[str]) -> dict[str, tuple[int, int]]:
    """Pico-dollars per token in and out: from `prices.csv` beside the file, else the file's mean cost of 1,000 tokens."""
    listed = {}
    beside = path.with_name("prices.csv")
    if beside.exists():
        with beside.open() as lines:
            for row in csv.DictReader(lines):
                if row["dataset"] == rows[0]["dataset"]:
                    listed[row["model"]] = tuple(
                        round(float(row[f"{way}_usd_per_mtok"] or 0) * 1e6) for way in ("input", "output")
                    )
    spent, number = Counter(), Counter()
    for row in rows:
        spent[row["model"]] += float(row["cost_usd"])
        number[row["model"]] += 1
    found = {}
    for model in models:
        blended = max(1, round(spent[model] / number[model] * 1e12 / 1000))
        price = listed.get(model)
        found[model] = price if price and min(price) > 0 else (blended, blended)
    return found


def _task_names(tasks: object) -> dict[str, str]:
    """Slugs of the task names, the most frequent ones; the rest fall to `other`."""
    ranked = [task for task, _ in Counter(tasks).most_common()]
    return {task: _slug(task, place) if place < MAX_TASKS else "other" for place, task in enumerate(ranked)}


def _slug(task: str, place: int) -> str:
    slug = re.sub(r"[^a-z0-9_-]+", "-", str(task).lower()).strip("-")[:40]
    return f"t{place}-{slug}"[:48].rstrip("-")


def _arm(model: str) -> str:
    return f"{_family(model)}/{re.sub(r'[^A-Za-z0-9._:/@-]+', '-', model)}"[:120]


def _family(model: str) -> str:
    found = _FAMILY.search(model.lower())
    return found.group() if found else "other"


def list_price(recorded: Recorded, model: str) -> float:
    """Nano-dollars of a typical call at list price: 300 tokens in, 100 out."""
    row = recorded.catalog.models[_arm(model)]
    return (300 * row.price_in + 100 * row.price_out) / 1000
