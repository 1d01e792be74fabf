"""A made-up past: outcomes by shape and arm as JSON rows, turned into the snapshot they would have left behind.

`[{"envelope": {...}, "arms": {"anthropic/claude-haiku-4-5": {"calls": 400, "ok": 396, "input_tokens": 300,
"output_tokens": 20, "latency_ms": 700, "ttft_ms": 300, "quality": 0.93}}}]`; `quality`, tokens and times may be absent,
`cached_read_tokens` and `cached_write_tokens` be there as well.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from policy_engine.snapshot import Snapshot, build_snapshot
from policy_engine.statistics import CellRow, Sums, epoch_of, merge_sums, outcome_sums, quality_sums
from policy_engine.wire import RequestError, record_from_wire
from policy_lang.envelope import EnvelopeError, cluster_id, envelope_from_wire

__all__ = ["HistoryError", "snapshot_of_history"]

_ROW = '{"envelope": {...}, "arms": {"provider/model": {"calls": 400, "ok": 396}}}'
_FIELDS = (
    "input_tokens",
    "output_tokens",
    "cached_read_tokens",
    "cached_write_tokens",
    "latency_ms",
    "ttft_ms",
    "quality",
)


class HistoryError(ValueError):
    """The document is not a history; the message names the row."""


def snapshot_of_history(document: Any, now_ms: int) -> Snapshot:
    """The snapshot at `now_ms` of calls that were all made then, so that nothing has decayed."""
    if not isinstance(document, list):
        raise HistoryError(f"a history is an array of rows such as {_ROW}")
    return build_snapshot(
        [row for number, entry in enumerate(document) for row in _rows(entry, number, now_ms)], now_ms
    )


def _rows(entry: Any, number: int, now_ms: int) -> Iterator[CellRow]:
    if not isinstance(entry, dict) or not isinstance(entry.get("arms"), dict) or "envelope" not in entry:
        raise HistoryError(f"row {number}: a row is such as {_ROW}")
    try:
        envelope = envelope_from_wire(entry["envelope"])
        for arm, seen in entry["arms"].items():
            yield CellRow(cluster_id(envelope), envelope.task_type, arm, 0, epoch_of(now_ms), _sums(arm, seen, now_ms))
    except (EnvelopeError, RequestError, HistoryError) as problem:
        raise HistoryError(f"row {number}: {problem}") from None


def _sums(arm: str, seen: Any, now_ms: int) -> Sums:
    ok, calls = (seen.get(name) for name in ("ok", "calls")) if isinstance(seen, dict) else (None, None)
    if type(ok) is not int or type(calls) is not int or not 0 <= ok <= calls:
        raise HistoryError(f"`{arm}` has whole numbers `calls` and `ok`, and `ok` lies between 0 and `calls`")
    known = {name: seen[name] for name in _FIELDS if name in seen}
    parts = []
    for outcome, times in (("ok", ok), ("wrong", calls - ok)):
        record = record_from_wire({"token": "x" * 16, "arm": arm, "outcome": outcome, **known})
        one = outcome_sums(record, now_ms)
        if record.quality_ppm is not None:
            one = merge_sums((one, quality_sums(record.quality_ppm, now_ms)))
        parts.append({name: value * times for name, value in one.items()})
    return merge_sums(parts)
