"""Time of `decide` with policy, floor, bandit and propensity, of the receipt with its hash, and of replay.

    python bench/decide.py

Warm: the steady state of an environment, every (shape, snapshot) seen before. Next snapshot, nothing new in cell: each
decision meets another snapshot than the last, in which its cell's estimates are equal. First in cell: nothing is
remembered of the cell but its survey; with new posteriors, its estimates were never seen either. Cold: a table nobody
has used, posteriors never computed before.
CPU time, best of several rounds, per decision.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import Any

from policy_engine.beta import tail_ppm
from policy_engine.decision import Circumstances, decide, decision_id_for
from policy_engine.receipt import receipt_body, reply, seal
from policy_engine.replay import PolicyStore, Replayer, replay
from policy_engine.snapshot import Snapshot, build_snapshot, snapshot_document, snapshot_from_document
from policy_engine.statistics import CellRow, epoch_of, merge_sums, outcome_sums
from policy_engine.table import Table, compile_table
from policy_engine.token import SigningKeys, mint
from policy_engine.wire import RouteRequest, TelemetryRecord
from policy_lang.catalog import Catalog, Model
from policy_lang.envelope import Envelope, build_envelope, cluster_id
from policy_lang.ir import And, Compare, CompareFields, Explore, Floor, Gate, PickTerm, Policy, Route, Tier

NOW = 1_790_000_000_000
TASKS = ("analysis", "classify", "extract", "label", "other", "summarize")
DECISIONS = 2_000


def world(arms: int) -> tuple[Policy, Catalog, Snapshot, list[RouteRequest]]:
    """A policy of six gates and a proven floor over `arms` arms that have all been tried in every cell."""
    chance = random.Random(arms)
    models = [
        Model(
            f"p/m{n}", "p", f"m{n}", 100_000 * (n + 1), 500_000 * (n + 1), context=128_000, region="eu", stage="stable"
        )
        for n in range(arms)
    ]
    gates = (
        Gate("eu", "forbid", And((Compare("task", "eq", "extract"), Compare("model.region", "ne", "eu")))),
        Gate("no previews", "forbid", Compare("model.stage", "eq", "preview")),
        Gate("headroom", "require", CompareFields("model.context", "lt", 1_000_000, "tokens.upper")),
        Gate("ceiling", "require", Compare("model.price_out", "gt", 10**9)),
        Gate("known provider", "forbid", Compare("model.provider", "eq", "q")),
        Gate("labs", "forbid", And((Compare("org", "eq", "labs"), Compare("model.region", "eq", "us")))),
    )
    route = Route(
        "general",
        And(()),
        ("all",),
        (PickTerm("cheapest"),),
        floors=(Floor("success", 900_000, 900_000),),
        explore=Explore(50_000, 300_000),
    )
    names = tuple(model.arm for model in models)
    policy = Policy("bench/decide", TASKS, (Tier("all", names),), gates, (), route, names[:2])
    envelopes = [
        build_envelope(task_type=task, context_tokens=size, tools_used=tools, estimated_tokens=size + 200)
        for task in TASKS
        for size in (200, 3_000)
        for tools in (0, 3)
    ]
    rows = [row(envelope, model.arm, chance) for envelope in envelopes for model in models]
    requests = [RouteRequest(chance.choice(envelopes), policy="bench/decide", org="growth") for _ in range(DECISIONS)]
    return policy, Catalog.build(models, {}), build_snapshot(rows, NOW), requests


def row(envelope: Envelope, arm: str, chance: random.Random) -> CellRow:
    told: dict[str, Any] = {"hop": 0, "arm": arm, "input_tokens": 300, "output_tokens": 80, "latency_ms": 700}
    parts = [
        outcome_sums(TelemetryRecord("t" * 20, **told, outcome="ok" if chance.random() < 0.93 else "wrong"), NOW)
        for _ in range(chance.randint(5, 60))
    ]
    return CellRow(cluster_id(envelope), envelope.task_type, arm, 0, epoch_of(NOW), merge_sums(parts))


def per_decision(work: Callable[[], None], decisions: int = DECISIONS, rounds: int = 5) -> float:
    """Microseconds of CPU a decision, best round."""
    best = float("inf")
    for _ in range(rounds):
        start = time.process_time()
        work()
        best = min(best, time.process_time() - start)
    return best / decisions * 1e6


def measured(arms: int) -> list[tuple[str, float]]:
    policy, catalog, snapshot, requests = world(arms)
    table = compile_table(policy, catalog)
    keys = SigningKeys("k1", {"k1": b"k" * 32})
    times = [Circumstances("t", decision_id_for(NOW, str(n).encode()), NOW) for n in range(DECISIONS)]
    pairs = list(zip(requests, times, strict=True))

    def decided() -> None:
        for request, now in pairs:
            decide(request, table, snapshot, now)

    def with_receipt() -> None:
        for request, now in pairs:
            seal(receipt_body(request, decide(request, table, snapshot, now), snapshot))

    def whole() -> None:
        for request, now in pairs:
            decision = decide(request, table, snapshot, now)
            seal(receipt_body(request, decision, snapshot))
            reply(decision, mint(decision.claims(), keys))

    def first_in_cell() -> None:
        for request, now in pairs[:200]:
            table.cells.clear()
            decide(request, table, snapshot, now)

    def first_with_receipt() -> None:
        for request, now in pairs[:200]:
            table.cells.clear()
            seal(receipt_body(request, decide(request, table, snapshot, now), snapshot))

    def first_of_new_beliefs() -> None:
        for request, now in pairs[:200]:
            table.cells.clear()
            tail_ppm.cache_clear()
            decide(request, table, snapshot, now)

    nothing_new = [snapshot_from_document(snapshot_document(snapshot) | {"made_ms": NOW - n}) for n in range(24)]

    def next_snapshot() -> None:
        for n, (request, now) in enumerate(pairs):
            decide(request, table, nothing_new[n % 24], now)

    def cold() -> None:
        for request, now in pairs[:100]:
            tail_ppm.cache_clear()
            decide(request, Table(policy, catalog, {}), snapshot, now)

    lines = [seal(receipt_body(r, decide(r, table, snapshot, now), snapshot)) for r, now in pairs]
    store: PolicyStore = {table.policy_fingerprint: (policy, {})}

    def replayed() -> None:
        replayer = Replayer(store)
        assert all(replayer.replay(line).equal for line in lines)

    def replayed_alone() -> None:
        assert all(replay(line, store).equal for line in lines[:100])

    return [
        ("decide, warm", per_decision(decided)),
        ("decide + receipt + hash, warm", per_decision(with_receipt)),
        ("decide + receipt + hash + token + reply, warm", per_decision(whole)),
        ("decide, next snapshot, nothing new in cell", per_decision(next_snapshot)),
        ("decide, first in cell", per_decision(first_in_cell, 200)),
        ("decide, first in cell, new posteriors", per_decision(first_of_new_beliefs, 200)),
        ("decide + receipt + hash, first in cell", per_decision(first_with_receipt, 200)),
        ("decide, cold table and posteriors", per_decision(cold, 100, 2)),
        ("replay, many receipts", per_decision(replayed, DECISIONS, 3)),
        ("replay, one receipt alone", per_decision(replayed_alone, 100, 3)),
    ]


def main() -> None:
    columns = {arms: measured(arms) for arms in (8, 32)}
    print(f"{'CPU us a decision':50}{'k = 8':>10}{'k = 32':>10}")
    for (name, eight), (_, thirty_two) in zip(columns[8], columns[32], strict=True):
        print(f"{name:50}{eight:10.1f}{thirty_two:10.1f}")


if __name__ == "__main__":
    main()
