"""Runs the tests a policy carries: the same `compile` and `decide`, with the statistics the test names."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from policy_cli.local import NOW_MS, decide_locally
from policy_engine.snapshot import EMPTY, Estimate, Snapshot, build_snapshot, snapshot_document, snapshot_from_document
from policy_engine.statistics import CellRow, Sums, epoch_of, merge_sums, outcome_sums, quality_sums
from policy_engine.wire import record_from_wire
from policy_lang.catalog import Catalog
from policy_lang.compiler import Compilation
from policy_lang.diagnostics import Diagnostic
from policy_lang.envelope import Envelope, build_envelope, cluster_id, envelope_to_wire
from policy_lang.frozen import frozen
from policy_lang.judging import Observed, judge
from policy_lang.testing import Evidence, PolicyTest

__all__ = ["Rehearsed", "rehearse", "snapshot_of_evidence"]

_FIGURES = {name: Estimate._fields.index(name) for name in ("latency_p95_ms", "ttft_p95_ms")}


@frozen
class Rehearsed:
    """One test and what of it failed."""

    test: PolicyTest
    failures: tuple[Diagnostic, ...]


def rehearse(compilation: Compilation, catalog: Catalog) -> Iterator[Rehearsed]:
    """Every test of a policy that compiles, in the order of the file; nothing is explored, no canary serves."""
    for test in compilation.tests:
        snapshot = snapshot_of_evidence(test.statistics, test.envelope)
        reply = decide_locally(compilation, catalog, _request(test), snapshot, drawn=False)
        yield Rehearsed(test, judge(test, _observed(reply)))


def snapshot_of_evidence(evidence: Iterable[Evidence], envelope: Envelope) -> Snapshot:
    """What would be known had the outcomes all come at the moment of the decision: those on the task of `envelope` in
    its shape, others in the plainest shape of theirs.
    """
    rows: list[CellRow] = []
    figures: dict[tuple[str, str], Evidence] = {}
    for item in evidence:
        shape = envelope if item.task == envelope.task_type else build_envelope(task_type=item.task)
        cluster = cluster_id(shape)
        rows.append(CellRow(cluster, item.task, item.arm, 0, epoch_of(NOW_MS), _sums(item)))
        figures[cluster, item.arm] = item
    return _with_figures(build_snapshot(rows, NOW_MS), figures) if rows else EMPTY


def _sums(item: Evidence) -> Sums:
    parts: list[Sums] = []
    for outcome, count in item.outcomes.items():
        record = record_from_wire({"token": "x" * 16, "arm": item.arm, "outcome": outcome})
        one = outcome_sums(record, NOW_MS)
        if item.quality_ppm is not None:
            one = merge_sums((one, quality_sums(item.quality_ppm, NOW_MS)))
        parts.append({name: value * count for name, value in one.items()})
    return merge_sums(parts)


def _with_figures(snapshot: Snapshot, figures: dict[tuple[str, str], Evidence]) -> Snapshot:
    """The snapshot with the times as stated: histograms know them only to a power of two."""
    document = snapshot_document(snapshot)
    for (cluster, arm), item in figures.items():
        for name, place in _FIGURES.items():
            document["cells"][cluster][arm][place] = getattr(item, name)
    return snapshot_from_document(document)


def _request(test: PolicyTest) -> dict[str, Any]:
    found: dict[str, Any] = {"envelope": envelope_to_wire(test.envelope)}
    found |= {name: value for name in ("org", "team", "product") if (value := getattr(test, name)) is not None}
    return found | ({"attributes": dict(test.attributes)} if test.attributes else {})


def _observed(reply: dict[str, Any]) -> Observed:
    rows = reply["candidates"]
    return Observed(
        route=reply["route"],
        status=reply["status"],
        tier=reply.get("tier"),
        model=reply.get("arm"),
        floor=reply.get("floor"),
        candidates=tuple(row["arm"] for row in rows if row["fate"] != "barred"),
        reasons={row["arm"]: _reasons(row) for row in rows if row["reasons"]},
    )


def _reasons(row: dict[str, Any]) -> str:
    return " and ".join(f'fails "{reason["rule"]}"' for reason in row["reasons"])
