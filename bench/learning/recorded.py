"""Published outcomes (one row a query and model) as a world: calls drawn in shuffled passes, every answer known.

Token counts the file lacks, or that do not come to its cost at list price, are replaced by the output tokens that do,
so that the engine bills exactly what the file says. Nothing else of the file reaches a router before it has served.
"""

from __future__ import annotations

import csv
import random
import re
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from math import isfinite
from pathlib import Path
from statistics import fmean
from typing import overload

import pyarrow.parquet as parquet
from online import Call, Outcome
from pyarrow import ArrowInvalid

from policy_lang.catalog import Catalog, Model
from policy_lang.envelope import Envelope, build_envelope

TRACES = Path(__file__).parents[3] / "shared/data/traces/azure_2023_code.parquet"
START_MS = 1_790_000_000_000
MAX_TASKS = 198
_REQUIRED = ("query_id", "model", "correct", "cost_usd")
_LATENCY_MS = 1_500
_FAMILY = re.compile(r"[a-z]+")


@dataclass(frozen=True, slots=True)
class Row:
    """One answer of one model. Tokens and seconds are negative where they are not published."""

    dataset: str
    query: str
    task: str
    model: str
    quality: float
    cost_usd: float
    prompt_tokens: int
    tools: int
    tokens_in: int
    tokens_out: int
    latency_s: float


@dataclass(frozen=True)
class Recorded:
    """A file as arrays: `outcomes[query][model]`, an envelope a query, list prices and an arm id a model."""

    envelopes: tuple[Envelope, ...]
    outcomes: tuple[Mapping[str, Outcome], ...]
    models: tuple[str, ...]
    catalog: Catalog
    tasks: tuple[str, ...]
    arms: Mapping[str, str]

    def mean_cost(self, model: str) -> float:
        """Nano-dollars a call."""
        return fmean(row[model].cost_nanodollars for row in self.outcomes)

    def mean_quality(self, model: str) -> float:
        return fmean(row[model].quality for row in self.outcomes)

    def net_utility(self, model: str, value_nanodollars: float) -> float:
        """Mean quality less what it costs in successes worth `value_nanodollars`."""
        return self.mean_quality(model) - self.mean_cost(model) / value_nanodollars


def load(path: Path, models: Sequence[str] | None = None, *, structure: bool = True) -> Recorded:
    """Read a file of the form of `shared/data/replay`. Without `structure` task, sizes and tools are hidden.

    Rows without an outcome or a cost are left out, and so are queries that some chosen model has no row for.
    """
    rows = _rows(path)
    known = sorted({row.model for row in rows})
    if unknown := sorted(set(models or ()) - set(known)):
        raise SystemExit(f"no model `{unknown[0]}` in {path.name}; it has {', '.join(known)}")
    chosen = tuple(dict.fromkeys(models or known))
    by_query: dict[str, dict[str, Row]] = defaultdict(dict)
    for row in rows:
        by_query[row.query][row.model] = row
    whole = [found for found in by_query.values() if all(model in found for model in chosen)]
    if not whole:
        raise SystemExit(
            f"{path.name}: no query has an outcome and a cost of every model; choose some with --models, of "
            + ", ".join(f"{model} ({number})" for model, number in Counter(row.model for row in rows).most_common())
        )
    if left_out := len(by_query) - len(whole):
        print(f"{left_out} of {len(by_query)} queries lack a row of some model and are left out", file=sys.stderr)
    prices = _prices(path, rows, chosen)
    arms = _arms(chosen)
    graded = any(row.quality not in (0, 1) for row in rows)
    names = _task_names(found[chosen[0]].task for found in whole)
    envelopes = tuple(_envelope(found[chosen[0]], names, structure) for found in whole)
    outcomes = tuple({m: _outcome(found[m], prices[m], graded) for m in chosen} for found in whole)
    catalog = Catalog.build([Model(arms[m], _family(m), m, *prices[m]) for m in chosen], {m: arms[m] for m in chosen})
    return Recorded(envelopes, outcomes, chosen, catalog, tuple(sorted({e.task_type for e in envelopes})), arms)


def _rows(path: Path) -> list[Row]:
    """The file's rows that have an outcome and a cost; what is not such a file is told in one line."""
    try:
        columns = parquet.read_table(path)
    except (OSError, ArrowInvalid) as problem:
        raise SystemExit(f"{path} cannot be read as parquet: {problem}") from None
    if missing := [name for name in _REQUIRED if name not in columns.column_names]:
        raise SystemExit(
            f"{path.name} has no column `{missing[0]}`; needed are {', '.join(_REQUIRED)}; used where present: "
            "dataset, task, prompt_tokens, n_tools, input_tokens, output_tokens, latency_s"
        )
    found = [row for row in columns.to_pylist() if None not in (_number(row["correct"]), _number(row["cost_usd"]))]
    if not found:
        raise SystemExit(f"{path.name} has no row with both an outcome (`correct`) and a cost (`cost_usd`)")
    if left_out := columns.num_rows - len(found):
        print(f"{left_out} of {columns.num_rows} rows have no outcome or no cost and are left out", file=sys.stderr)
    return [_row(path, row) for row in found]


def _row(path: Path, row: Mapping[str, object]) -> Row:
    quality, cost = _number(row["correct"], 0.0), _number(row["cost_usd"], 0.0)
    where = f"{path.name}, query `{row['query_id']}`, model `{row['model']}`"
    if not 0 <= quality <= 1:
        raise SystemExit(f"{where}: `correct` is {quality:g}; a quality lies between 0 and 1")
    if cost < 0:
        raise SystemExit(f"{where}: `cost_usd` is {cost:g}; a cost is at least 0")
    task = row.get("task")
    return Row(
        dataset=str(row.get("dataset") or ""),
        query=f"{row.get('dataset') or ''}/{row['query_id']}",
        task="other" if task is None else str(task),
        model=str(row["model"]),
        quality=quality,
        cost_usd=cost,
        prompt_tokens=max(0, round(_number(row.get("prompt_tokens"), 0.0))),
        tools=min(128, max(0, round(_number(row.get("n_tools"), 0.0)))),
        tokens_in=round(_number(row.get("input_tokens"), -1.0)),
        tokens_out=round(_number(row.get("output_tokens"), -1.0)),
        latency_s=_number(row.get("latency_s"), -1.0),
    )


@overload
def _number(value: object, default: float) -> float: ...
@overload
def _number(value: object) -> float | None: ...
def _number(value: object, default: float | None = None) -> float | None:
    """A finite number, else the default: columns come with nulls and with NaN."""
    try:
        found = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return default
    return found if isfinite(found) else default


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


@cache
def _trace_gaps() -> tuple[int, ...]:
    if not TRACES.exists():
        return ()
    times = parquet.read_table(TRACES).column("t_ms").to_pylist()
    return tuple(max(0, round(later - earlier)) for earlier, later in pairwise(times))


def _envelope(row: Row, names: Mapping[str, str], structure: bool) -> Envelope:
    if not structure:
        return build_envelope(task_type="other")
    size = row.prompt_tokens
    return build_envelope(
        task_type=names[row.task], context_tokens=size, tools_used=row.tools, estimated_tokens=size + 100
    )


def _outcome(row: Row, price: tuple[int, int], graded: bool) -> Outcome:
    cost = row.cost_usd * 1e9
    tokens_in, tokens_out = row.tokens_in, row.tokens_out
    if tokens_in < 0 or tokens_out < 0 or abs((tokens_in * price[0] + tokens_out * price[1]) / 1000 - cost) > cost / 50:
        tokens_in, tokens_out = 0, round(cost * 1000 / price[1])
    latency_ms = round(row.latency_s * 1000) if row.latency_s >= 0 else _LATENCY_MS
    return Outcome(row.quality, round(cost), latency_ms, tokens_in, tokens_out, graded)


def _prices(path: Path, rows: Sequence[Row], models: Sequence[str]) -> dict[str, tuple[int, int]]:
    """Pico-dollars per token in and out: `prices.csv` beside the file, else a call's mean cost as 1,000 tokens."""
    listed: dict[str, tuple[int, int]] = {}
    beside = path.with_name("prices.csv")
    if beside.exists():
        with beside.open() as lines:
            for line in csv.DictReader(lines):
                if line["dataset"] == rows[0].dataset:
                    told, made = (round(float(line[f"{way}_usd_per_mtok"] or 0) * 1e6) for way in ("input", "output"))
                    listed[line["model"]] = told, made
    spent: Counter[str] = Counter()
    number = Counter(row.model for row in rows)
    for row in rows:
        spent[row.model] += row.cost_usd  # type: ignore[assignment]  # a counter of dollars
    found: dict[str, tuple[int, int]] = {}
    for model in models:
        blended = max(1, round(spent[model] / number[model] * 1e12 / 1000))
        price = listed.get(model)
        found[model] = price if price and min(price) > 0 else (blended, blended)
    return found


def _task_names(tasks: Iterable[str]) -> dict[str, str]:
    """Slugs of the task names, the most frequent ones; the rest fall to `other`."""
    ranked = [task for task, _ in Counter(tasks).most_common()]
    return {task: _slug(task, place) if place < MAX_TASKS else "other" for place, task in enumerate(ranked)}


def _slug(task: str, place: int) -> str:
    slug = re.sub(r"[^a-z0-9_-]+", "-", str(task).lower()).strip("-")[:40]
    return f"t{place}-{slug}"[:48].rstrip("-")


def _arms(models: Sequence[str]) -> dict[str, str]:
    """Arm ids of the models, provider first; names that come to the same id are told apart by their place."""
    found: dict[str, str] = {}
    for place, model in enumerate(models):
        arm = f"{_family(model)}/{re.sub(r'[^A-Za-z0-9._:/@-]+', '-', model)}"[:110]
        found[model] = arm if arm not in found.values() else f"{arm}-{place}"
    return found


def _family(model: str) -> str:
    found = _FAMILY.search(model.lower())
    return found.group() if found else "other"


def list_price(recorded: Recorded, model: str) -> float:
    """Nano-dollars of a typical call at list price: 300 tokens in, 100 out."""
    row = recorded.catalog.models[recorded.arms[model]]
    return (300 * row.price_in + 100 * row.price_out) / 1000
