"""Published outcomes as a world: a table of query x model with what each answer was worth and cost.

Columns: query_id, task, prompt_tokens, model, correct (0..1), input_tokens, output_tokens, cost_usd; n_tools and
latency_s where they were published. -1 stands for a number that was not. No prior derives from the file.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from policy_cli.demo.calls import START_MS, Call, PolicyText, Result, Scenario, ScenarioError
from policy_cli.demo.parquet import read_rows
from policy_cli.demo.prices import list_prices
from policy_cli.demo.workload import compiled, policy_arms
from policy_lang.catalog import Model, default_catalog
from policy_lang.checking.checker import FUTURE_WORDS
from policy_lang.envelope import Envelope, build_envelope
from policy_lang.frozen import frozen
from policy_lang.text.expectations import KEYWORDS
from policy_lang.vocabulary import OTHER_TASK, TOOL_BUCKETS

__all__ = [
    "PROVIDER",
    "TENANT",
    "PublishedOutcomes",
    "default_policy",
    "outcomes_scenario",
    "read_outcomes",
    "task_names",
]

PROVIDER = "published"
TENANT = "bench"
POLICY = "bench/outcomes"
_CALL_GAP_MS = 1_000
_REQUIRED = ("query_id", "task", "prompt_tokens", "model", "correct", "input_tokens", "output_tokens", "cost_usd")
_OPTIONAL = ("n_tools", "latency_s")
# Tokens of a call that nobody published: only their being the same for every arm matters (see `prices`).
_UNKNOWN_PROMPT, _UNKNOWN_ANSWER = 500, 100
_MAX_ARMS, _MAX_TASKS = 64, 199
_NANO = 1_000_000_000


@frozen
class PublishedOutcomes:
    """The file's queries that have a row for every arm. `results` by query and arm, `envelopes` by query."""

    tasks: tuple[str, ...]
    envelopes: Mapping[str, Envelope]
    results: Mapping[tuple[str, str], Result]
    models: tuple[Model, ...]
    left_out: int

    @property
    def arms(self) -> tuple[str, ...]:
        return tuple(model.arm for model in self.models)

    def result(self, call: Call, arm: str) -> Result:
        return self.results[call.key, arm]


def outcomes_scenario(
    path: Path,
    models: Sequence[str],
    decisions: int,
    seed: int,
    value_nanodollars: int,
    policy: PolicyText | None = None,
) -> Scenario:
    """Route `decisions` queries of a file, drawn in shuffled passes, one a second."""
    published = read_outcomes(path, models)
    policy = policy or default_policy(published, value_nanodollars)
    unknown = policy_arms(compiled(policy, default_catalog().overlaid(published.models))) - set(published.arms)
    if unknown:
        examples = f"`{min(unknown)}`, of which {path.name} has no outcomes; its models are named `{published.arms[0]}`"
        raise ScenarioError(f"{policy.origin} names {examples}, ...")
    queries = _shuffled_passes(sorted(published.envelopes), seed)
    calls = [
        Call(number, START_MS + number * _CALL_GAP_MS, policy.tenant, policy.name, published.envelopes[query], query)
        for number, query in zip(range(decisions), queries, strict=False)
    ]
    notes = (f"{published.left_out} queries without a row for every model are left out",) if published.left_out else ()
    return Scenario(
        title=f"{path.name}: {len(published.envelopes)} queries x {len(published.models)} models",
        policies=(policy,),
        calls=calls,
        world=published,
        overlay=published.models,
        arms=published.arms,
        value_nanodollars=value_nanodollars,
        notes=notes,
    )


def read_outcomes(path: Path, models: Sequence[str] = ()) -> PublishedOutcomes:
    """Read a file; all of its models when none are named. ScenarioError says what the file or the list lacks."""
    rows = _rows(path, models)
    names = tuple(models) or tuple(dict.fromkeys(row["model"] for row in rows))
    if not 2 <= len(names) <= _MAX_ARMS:
        raise ScenarioError(f"{path.name}: between 2 and {_MAX_ARMS} models can be routed among, got {len(names)}")
    by_query: dict[str, dict[str, dict[str, Any]]] = {}
    for row in rows:
        by_query.setdefault(row["query_id"], {})[row["model"]] = row
    whole = {query: found for query, found in by_query.items() if len(found) == len(names)}
    if not whole:
        raise ScenarioError(f"{path.name}: no query has a row for every one of the {len(names)} models")
    tasks = task_names(row["task"] for row in rows)
    if len(set(tasks.values())) > _MAX_TASKS:
        raise ScenarioError(f"{path.name}: a policy declares at most {_MAX_TASKS} tasks, the file has {len(tasks)}")
    return PublishedOutcomes(
        tasks=tuple(sorted(set(tasks.values()))),
        envelopes={query: _envelope(next(iter(found.values())), tasks) for query, found in whole.items()},
        results={(query, _arm(name)): _result(row) for query, found in whole.items() for name, row in found.items()},
        models=tuple(_model(name, [found[name] for found in whole.values()]) for name in names),
        left_out=len(by_query) - len(whole),
    )


def default_policy(published: PublishedOutcomes, value_nanodollars: int) -> PolicyText:
    """The policy written in advance: every arm in one tier, the best value, a little exploration."""
    arms = ", ".join(f'"{arm}"' for arm in published.arms)
    tasks = ", ".join(task for task in published.tasks if task != OTHER_TASK) or OTHER_TASK
    dollars = f"{value_nanodollars / _NANO:.9f}".rstrip("0")
    source = (
        f'policy "{POLICY}" language 1\n\n'
        f"tasks {tasks}\n"
        f"tier all = [{arms}]\n\n"
        "default route general {\n"
        "  use     all\n"
        f"  pick    best value at ${dollars}/success\n"
        "  explore at most 5%, 30% while unproven\n"
        "}\n"
        f'fallback "{published.arms[0]}"\n'
    )
    return PolicyText(TENANT, POLICY, source, "written in advance, before any outcome was seen")


def task_names(sources: Iterable[str]) -> dict[str, str]:
    """A task name the language accepts for each name the file uses; names that would coincide get a number."""
    reserved = FUTURE_WORDS | frozenset(KEYWORDS.values())
    names: dict[str, str] = {}
    for source in sorted(set(sources)):
        slug = re.sub(r"[^a-z0-9_-]+", "-", source.lower()).strip("-_")
        slug = slug if slug[:1].isalpha() else f"task-{slug}".rstrip("-")
        # A name may hold dashes only between letters and digits: `NAME` of the grammar.
        slug = re.sub(r"-+_*(?![a-z0-9_])", "", slug[:40])
        slug = f"{slug}-task" if slug in reserved else slug
        taken, number = set(names.values()), 2
        unique = slug
        while unique in taken:
            unique, number = f"{slug}-{number}", number + 1
        names[source] = unique
    return names


def _rows(path: Path, models: Sequence[str]) -> list[dict[str, Any]]:
    rows = read_rows(path, _REQUIRED, _OPTIONAL, only=("model", models) if models else None)
    known = {row["model"] for row in rows}
    if unknown := [name for name in models if name not in known]:
        offered = sorted({row["model"] for row in read_rows(path, ("model",))})
        raise ScenarioError(_unknown_model(path, unknown[0], offered))
    return rows


def _unknown_model(path: Path, name: str, offered: list[str]) -> str:
    close = get_close_matches(name, offered, n=1)
    hint = f"did you mean `{close[0]}`?" if close else f"it has {', '.join(offered[:8])}" + ", ..." * (len(offered) > 8)
    return f"{path.name} has no model `{name}`; {hint}"


def _shuffled_passes(queries: list[str], seed: int) -> Iterator[str]:
    chance = random.Random(seed)  # noqa: S311 - an order of queries, not a secret
    while True:
        chance.shuffle(queries)
        yield from queries


def _arm(model: str) -> str:
    return f"{PROVIDER}/{model}"


def _model(name: str, rows: Sequence[Mapping[str, Any]]) -> Model:
    price_in, price_out = list_prices([(*_tokens(row), row["cost_usd"]) for row in rows])
    return Model(_arm(name), PROVIDER, name, price_in, price_out)


def _envelope(row: Mapping[str, Any], tasks: Mapping[str, str]) -> Envelope:
    prompt = max(0, row["prompt_tokens"])
    tools = min(max(0, row.get("n_tools") or 0), TOOL_BUCKETS[-1].upper)
    return build_envelope(
        task_type=tasks[row["task"]],
        context_tokens=prompt,
        tools_used=tools,
        estimated_tokens=prompt + _UNKNOWN_ANSWER,
    )


def _result(row: Mapping[str, Any]) -> Result:
    quality = float(row["correct"])
    tokens_in, tokens_out = _tokens(row)
    seconds = row.get("latency_s")
    return Result(
        outcome="ok" if quality >= 0.5 else "wrong",
        quality=quality,
        cost_nanodollars=round(row["cost_usd"] * _NANO),
        input_tokens=tokens_in,
        output_tokens=tokens_out,
        latency_ms=round(seconds * 1000) if seconds is not None and seconds >= 0 else None,
        graded=quality not in (0.0, 1.0),
    )


def _tokens(row: Mapping[str, Any]) -> tuple[int, int]:
    """As published; else the query's own length and a constant, alike for every arm."""
    tokens_in, tokens_out = row["input_tokens"], row["output_tokens"]
    if tokens_in < 0:
        tokens_in = row["prompt_tokens"] if row["prompt_tokens"] >= 0 else _UNKNOWN_PROMPT
    return tokens_in, tokens_out if tokens_out >= 0 else _UNKNOWN_ANSWER
