"""Do the books balance? Receipts against decisions, outcome records against accepted telemetry, replay against receipt.

Everything is read back from where it was stored; nothing here trusts a counter of the functions themselves.
"""

from __future__ import annotations

import gzip
import json
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from policy_cli.commands.replay import replay_sealed
from policy_lang.frozen import frozen

__all__ = ["Audit", "Ledger", "audit"]

_SHOWN = 5
_STATES = {"applied": "applied", "duplicate": "duplicates", "late": "late", "rejected": "rejected"}


@frozen
class Ledger:
    """What the caller knows: ids of its decisions, (decision id, hop) of its reports, and what became of them."""

    decisions: Collection[str]
    reported: Collection[tuple[str, int]]
    accepted: int
    undelivered: int
    last_error: str | None = None


@frozen
class Audit:
    """`problems` is empty exactly if everything adds up. `outcomes`: applied ones by arm."""

    receipts: int
    replayed_equal: int
    missing: tuple[str, ...]
    unequal: tuple[str | None, ...]
    states: Mapping[str, int]
    accepted: int
    outcomes: Mapping[str, int]
    problems: tuple[str, ...]

    def document(self) -> dict[str, Any]:
        """This part of the summary object."""
        counts = {f"telemetry_{name}": self.states.get(state, 0) for state, name in _STATES.items()}
        return {
            "receipts": self.receipts,
            "replayed_equal": self.replayed_equal,
            "missing_receipts": list(self.missing),
            "unequal_receipts": list(self.unequal),
            "telemetry_accepted": self.accepted,
            **counts,
            "outcomes_by_arm": dict(self.outcomes),
            "problems": list(self.problems),
        }


@dataclass(slots=True)
class _Replayed:
    equal: int = 0
    differences: list[tuple[str | None, str]] = field(default_factory=list)


def audit(folder: Path, ledger: Ledger) -> Audit:
    """Read a copy of the records, `<tenant>/receipts|outcomes|policies`, and hold it against the ledger."""
    due = set(ledger.decisions)
    found = set(_receipt_ids(folder))
    records = _outcome_records(folder)
    states = Counter(record["state"] for record in records.values())
    replayed = _replay(folder) if found else _Replayed()
    missing, strange = sorted(due - found), sorted(found - due)
    problems = [
        *_named(len(missing), "no receipt for decision", missing),
        *_named(len(strange), "a receipt for a decision that nobody saw:", strange),
        *(f"receipt {decision or 'of an unreadable decision'}: {why}" for decision, why in replayed.differences),
        *_telemetry_problems(ledger, records.values(), states),
    ]
    applied = (record for record in records.values() if record["fields"].get("outcome") == "applied")
    return Audit(
        receipts=len(due & found),
        replayed_equal=replayed.equal,
        missing=tuple(missing),
        unequal=tuple(decision for decision, _ in replayed.differences),
        states=states,
        accepted=ledger.accepted,
        outcomes=dict(sorted(Counter(record["arm"] for record in applied).items())),
        problems=tuple(problems),
    )


def _telemetry_problems(
    ledger: Ledger, records: Iterable[Mapping[str, Any]], states: Mapping[str, int]
) -> Iterator[str]:
    if ledger.undelivered:
        yield f"{ledger.undelivered} telemetry records were not delivered: {ledger.last_error}"
    recorded = {(record.get("decision_id"), record["hop"]) for record in records}
    lost = sorted(f"{decision} hop {hop}" for decision, hop in set(ledger.reported) - recorded)
    yield from _named(len(lost), "no outcome record for", lost)
    total = sum(states.values())
    if total != ledger.accepted:
        yield f"{ledger.accepted} telemetry records were accepted, {total} came to an outcome record"


def _named(count: int, what: str, names: list[str]) -> Iterator[str]:
    yield from (f"{what} {name}" for name in names[:_SHOWN])
    if count > _SHOWN:
        yield f"{what} ... and {count - _SHOWN} more"


def _receipt_ids(folder: Path) -> Iterator[str]:
    """Ids of whatever still reads as a receipt; replay judges the rest."""
    for line in _lines(folder, "receipts"):
        try:
            yield str(json.loads(line)["receipt"]["circumstances"]["decision_id"])
        except (ValueError, KeyError, TypeError):
            continue


def _outcome_records(folder: Path) -> dict[str, dict[str, Any]]:
    """By record id: a batch that was delivered twice is filed twice."""
    records = (json.loads(line) for line in _lines(folder, "outcomes"))
    return {record["record_id"]: record for record in records}


def _lines(folder: Path, kind: str) -> Iterator[str]:
    for path in sorted(folder.glob(f"*/{kind}/**/*.jsonl.gz")):
        with gzip.open(path, "rt", encoding="utf-8", errors="replace") as file:
            yield from (line for line in file if line.strip())


def _replay(folder: Path) -> _Replayed:
    """Every receipt, decided again in a process that has no clock and no network."""
    result = replay_sealed([folder])
    # A message that was delivered twice left its receipt in two files: equal lines count once.
    equal = result["equal"] - result["repeated"]
    return _Replayed(equal, [(each["decision_id"], each["difference"]) for each in result["unequal"]])
