"""The engine as a router of the benchmarks: `decide` on a snapshot made once a minute from the stored sums."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from online import Call, Outcome

from policy_engine.decision import Circumstances, Decision, decide, decision_id_for
from policy_engine.snapshot import EMPTY, build_snapshot
from policy_engine.statistics import CellRow, epoch_of, outcome_sums, quality_sums
from policy_engine.table import Table, compile_table
from policy_engine.wire import RouteRequest, TelemetryRecord
from policy_lang.catalog import Catalog
from policy_lang.ir import PPM, Policy

SNAPSHOT_MS = 60_000
PolicyFor = Callable[[tuple[str, ...]], Policy]


class EngineRouter:
    """Pointsman as deployed: decisions on the latest snapshot, sums added up as outcomes arrive."""

    def __init__(self, policy_for: PolicyFor, catalog: Catalog, seed: int, name: str = "pointsman") -> None:
        self.name = name
        self.explored: list[bool] = []
        self.resets: list[tuple[int, str]] = []
        self._policy_for, self._catalog, self._seed = policy_for, catalog, seed
        self._tables: dict[tuple[str, ...], Table] = {}
        self._rows: dict[tuple[str, str, str, int, int], dict[str, int]] = {}
        self._decisions: dict[int, Decision] = {}
        self._snapshot, self._made_ms = EMPTY, 0

    def choose(self, call: Call) -> str:
        self._refresh(call)
        table = self._tables.get(call.arms)
        if table is None:
            table = self._tables[call.arms] = compile_table(self._policy_for(call.arms), self._catalog)
        decision_id = decision_id_for(call.at_ms, f"{self._seed}/{call.number}".encode())
        request = RouteRequest(call.envelope, policy="bench")
        decision = decide(request, table, self._snapshot, Circumstances("bench", decision_id, call.at_ms))
        assert decision.arm is not None
        self._decisions[call.number] = decision
        self.explored.append(decision.explored)
        return decision.arm

    def learn(self, call: Call, arm: str, outcome: Outcome) -> None:
        decision = self._decisions.pop(call.number)
        claims = decision.claims()
        for sums in _increments(outcome, arm, call.at_ms):
            key = (claims.cluster, claims.task, arm, claims.arms[0].generation, epoch_of(call.at_ms))
            row = self._rows.setdefault(key, {})
            for name, value in sums.items():
                row[name] = row.get(name, 0) + value

    def _refresh(self, call: Call) -> None:
        if call.at_ms - self._made_ms < SNAPSHOT_MS:
            return
        rows = [CellRow(*key, sums) for key, sums in self._rows.items()]
        before = self._snapshot.generations
        self._snapshot = build_snapshot(rows, call.at_ms, previous=self._snapshot)
        self._made_ms = call.at_ms
        for arm, generation in self._snapshot.generations.items():
            if generation > before.get(arm, 0):
                self.resets.append((call.number, arm))


def _increments(outcome: Outcome, arm: str, at_ms: int) -> list[Mapping[str, int]]:
    if outcome.provider_fault:
        verdict = "unavailable"
    else:
        verdict = "ok" if outcome.quality >= 0.5 else "wrong"
    record = TelemetryRecord(
        "t" * 20,
        0,
        arm,
        verdict,
        outcome.input_tokens,
        outcome.output_tokens,
        latency_ms=outcome.latency_ms,
    )
    sums = [outcome_sums(record, at_ms)]
    if outcome.graded and not outcome.provider_fault:
        sums.append(quality_sums(round(outcome.quality * PPM), at_ms))
    return sums
