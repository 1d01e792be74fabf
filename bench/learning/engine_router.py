"""The engine as a router of the benchmarks: `decide` on snapshots made from the stored sums, as often as deployed."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from online import Call, Outcome

from policy_engine.decision import Circumstances, Decision, decide, decision_id_for
from policy_engine.draws import draw_ppm
from policy_engine.selection import utility_ppm
from policy_engine.snapshot import EMPTY, Snapshot, build_snapshot
from policy_engine.statistics import CellRow, epoch_of, outcome_sums, quality_sums
from policy_engine.table import Table, compile_table
from policy_engine.wire import RouteRequest, TelemetryRecord
from policy_lang.catalog import Catalog
from policy_lang.ir import PPM, Policy
from policy_lang.vocabulary import Outcome as Verdict

#: `SnapshotSeconds` of template.yaml: a busy tenant's snapshot is made so often, anybody's once a minute.
SNAPSHOT_SECONDS = 15
#: Outcomes since the last snapshot that make a tenant busy (`functions/learn`).
_BUSY_OUTCOMES = 20
_MINUTE_MS = 60_000
PolicyFor = Callable[[tuple[str, ...]], Policy]


class EngineRouter:
    """Pointsman as deployed: sums added up as outcomes arrive, decisions on the latest snapshot that is known.

    An environment reads the state once in `snapshot_seconds`, so a snapshot is known half of that after it was made, in
    the mean.
    """

    name = "pointsman"

    def __init__(
        self, policy_for: PolicyFor, catalog: Catalog, seed: int, snapshot_seconds: int = SNAPSHOT_SECONDS
    ) -> None:
        self.explored: list[bool] = []
        self.resets: list[tuple[int, str]] = []
        self._policy_for, self._catalog, self._seed = policy_for, catalog, seed
        self._tables: dict[tuple[str, ...], Table] = {}
        self._rows: dict[tuple[str, str, str, int, int], dict[str, int]] = {}
        self._pending: dict[int, tuple[Decision, Snapshot]] = {}
        self._period_ms = 1_000 * snapshot_seconds
        self._snapshot, self._made, self._heard = EMPTY, EMPTY, 0

    def choose(self, call: Call) -> str:
        self._refresh(call)
        table = self._tables.get(call.arms)
        if table is None:
            table = self._tables[call.arms] = compile_table(self._policy_for(call.arms), self._catalog)
        decision_id = decision_id_for(call.at_ms, f"{self._seed}/{call.number}".encode())
        request = RouteRequest(call.envelope, policy="bench")
        decision = decide(request, table, self._snapshot, Circumstances("bench", decision_id, call.at_ms))
        self._pending[call.number] = decision, self._snapshot
        arm, explored = self._served(decision)
        self.explored.append(explored)
        return arm

    def learn(self, call: Call, arm: str, outcome: Outcome) -> None:
        decision, snapshot = self._pending.pop(call.number)
        self._heard += 1
        task = decision.cell.survey.envelope.task_type
        key = (decision.cluster, task, arm, snapshot.generations.get(arm, 0), epoch_of(call.at_ms))
        row = self._rows.setdefault(key, {})
        for sums in _increments(outcome, arm, call.at_ms):
            for name, value in sums.items():
                row[name] = row.get(name, 0) + value

    def _offered(self, call: Call) -> tuple[str, ...]:
        return self._policy_for(call.arms).tiers[0].arms

    def _served(self, decision: Decision) -> tuple[str, bool]:
        assert decision.arm is not None
        return decision.arm, decision.explored

    def _refresh(self, call: Call) -> None:
        age = call.at_ms - self._made.made_ms
        if self._snapshot is not self._made and 2 * age >= self._period_ms:
            self._snapshot = self._made
        if age >= _MINUTE_MS or (age >= self._period_ms and self._heard >= _BUSY_OUTCOMES):
            self._make(call)

    def _make(self, call: Call) -> None:
        rows = [CellRow(*key, sums) for key, sums in self._rows.items()]
        before = self._made.generations
        offered = [self._catalog.models[arm] for arm in self._offered(call)]
        self._made, self._heard = build_snapshot(rows, call.at_ms, previous=self._made, models=offered), 0
        for arm, generation in self._made.generations.items():
            if generation > before.get(arm, 0):
                self.resets.append((call.number, arm))


class InverseGapRouter(EngineRouter):
    """The kept opponent: inverse-gap weighting (Abe and Long 1999; Foster and Rakhlin 2020) on the same estimates.

    P(arm) = 1 / (K + gamma gap) for all but the best, which has the rest; no exploration cap.
    """

    name = "inverse_gap"

    gamma = 800.0

    def _served(self, decision: Decision) -> tuple[str, bool]:
        outlook = decision.cell.outlook
        assert outlook is not None
        value = decision.cell.survey.route.pick[0].value_nanodollars
        found = {arm: utility_ppm(option, value) / PPM for arm, option in outlook.options.items()}
        best = max(found, key=found.__getitem__)
        left = draw_ppm(decision.circumstances.decision_id, "explore") / PPM
        for arm, utility in found.items():
            if arm != best:
                left -= 1 / (len(found) + self.gamma * (found[best] - utility))
                if left < 0:
                    return arm, True
        return best, False


def _increments(outcome: Outcome, arm: str, at_ms: int) -> list[Mapping[str, int]]:
    verdict: Verdict = "ok" if outcome.quality >= 0.5 else "wrong"
    if outcome.provider_fault:
        verdict = "unavailable"
    record = TelemetryRecord(
        "t" * 20,
        0,
        arm,
        verdict,
        outcome.input_tokens,
        outcome.output_tokens,
        latency_ms=outcome.latency_ms,
    )
    sums: list[Mapping[str, int]] = [outcome_sums(record, at_ms)]
    if outcome.graded and not outcome.provider_fault:
        sums.append(quality_sums(round(outcome.quality * PPM), at_ms))
    return sums
