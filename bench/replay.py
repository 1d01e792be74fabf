"""Receipts replayed per second on one core, as `pointsman replay` does it: from files, hashes checked, bytes compared.

    python bench/replay.py

One stream as a service leaves it: 24 shapes, 8 arms, a session and an idempotency key with every call, so that no two
requests are equal, and a new snapshot every thousand decisions. Wall clock and CPU of one process, reading included.
"""

from __future__ import annotations

import tempfile
import time
from dataclasses import replace
from pathlib import Path

from decide import NOW, world

from policy_cli.replaying import replay_files
from policy_engine.decision import Circumstances, decide, decision_id_for
from policy_engine.receipt import receipt_body, seal
from policy_engine.replay import PolicyStore
from policy_engine.snapshot import Snapshot, snapshot_document, snapshot_from_document
from policy_engine.table import compile_table

RECEIPTS = 20_000
TARGET = 10_000


def stream(arms: int, per_snapshot: int) -> tuple[list[str], PolicyStore]:
    """Sealed lines in order of time, and the store of their one policy."""
    policy, catalog, snapshot, requests = world(arms)
    table = compile_table(policy, catalog)
    lines = []
    for number in range(RECEIPTS):
        if number % per_snapshot == 0:
            snapshot = later(snapshot, number)
        asked = requests[number % len(requests)]
        request = replace(asked, session=f"s{number // 3}", idempotency_key=f"call-{number}")
        now = Circumstances("acme", decision_id_for(NOW + number, b"%d" % number), NOW + number)
        lines.append(seal(receipt_body(request, decide(request, table, snapshot, now), snapshot)))
    return lines, {table.policy_fingerprint: (policy, {})}


def later(snapshot: Snapshot, number: int) -> Snapshot:
    """Another minute's snapshot: every estimate a little further on."""
    document = snapshot_document(snapshot)
    document["made_ms"] = NOW + number
    for arms in document["cells"].values():
        for row in arms.values():
            row[0] += 950
            row[1] += 50
    return snapshot_from_document(document)


def main() -> None:
    print(f"{'receipts a second, one core':44}{'wall':>10}{'CPU':>10}   goal {TARGET:,}")
    for arms, per_snapshot in ((8, 1_000), (8, RECEIPTS), (32, 1_000)):
        lines, store = stream(arms, per_snapshot)
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "receipts.jsonl"
            file.write_text("\n".join(lines))
            wall, cpu = time.perf_counter(), time.process_time()
            result = replay_files([file], store)
            wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        assert result.equal == RECEIPTS, result.unequal[:3]
        name = f"k = {arms}, a snapshot every {per_snapshot:,} decisions"
        print(f"{name:44}{RECEIPTS / wall:10,.0f}{RECEIPTS / cpu:10,.0f}")


if __name__ == "__main__":
    main()
