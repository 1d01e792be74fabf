"""What a deployment holds of one tenant, read back line by line: the material that `accounting` balances.

A place says where something lies: `filed` in the records bucket, `queued`, `dead` in a dead-letter queue, `spooled` in
the receipt spool, `carried` by a caller who was handed the receipt. What lies in several counts where it got furthest.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import fields
from typing import Any, Literal

from policy_engine.receipt import ReceiptError, open_sealed
from policy_engine.replay import PolicyStore, Replayer
from policy_engine.settlement import MarkerKey
from policy_engine.statistics import CellRow
from policy_engine.token import TokenArm, priced_arm
from policy_engine.wire import TelemetryRecord
from policy_lang.catalog import CatalogError, model_from_document
from policy_lang.frozen import frozen

__all__ = ["PLACES", "Books", "Kept", "Place", "Pull", "Unlike", "decided_ms"]

Place = Literal["filed", "queued", "dead", "spooled", "carried"]
#: From the furthest to the least; telemetry that is no outcome record yet is queued or dead.
PLACES: tuple[Place, ...] = ("filed", "queued", "dead", "spooled", "carried")


@frozen
class Pull:
    """A decision by its receipt. `arms`: those its plan allows, with the prices that the receipt names.

    trips: outcomes after which its route says `open breaker`.
    """

    cluster: str
    arms: Mapping[str, TokenArm]
    trips: tuple[str, ...]
    line_hash: str


@frozen
class Kept:
    """An outcome record: `told` is what the caller reported, `fields` what became of it."""

    record_id: str
    state: str
    fields: Mapping[str, str]
    received_ms: int
    told: TelemetryRecord
    decision_id: str | None = None
    cluster: str | None = None
    task: str | None = None
    at_ms: int = 0
    cost_nanodollars: int | None = None


@frozen
class Unlike:
    """A line that cannot be what it should be. `subject` is its id, where one can still be read, else where it lies."""

    code: str
    subject: str
    why: str


class Books:
    """Fill it, then balance it. Receipts are decided again as they come, and only what the identities need is kept.

    policies: by fingerprint, as `replay` wants them. since_ms: what was decided or accepted before is left out, and
    with it the cells, which hold sums over all time.
    """

    def __init__(self, tenant: str, policies: PolicyStore, since_ms: int = 0) -> None:
        self.tenant = tenant
        self.since_ms = since_ms
        self.receipts: dict[str, Place] = {}
        self.pulls: dict[str, Pull] = {}
        self.outcomes: dict[str, Place] = {}
        self.kept: dict[str, Kept] = {}
        self.waiting: dict[str, Place] = {}
        self.cells: list[CellRow] = []
        self.markers: dict[MarkerKey, str] = {}
        self.unlike: list[Unlike] = []
        self.lines: Counter[str] = Counter()
        self._policies = policies
        self._replayer = Replayer(policies)

    def receipt(self, line: str, place: Place, where: str = "") -> None:
        """One sealed line; delivered twice it is filed twice, so equal lines are one receipt.

        What cannot be read is a finding, but not among dead letters: there it is what they were set aside for.
        """
        self.lines["receipts"] += 1
        try:
            receipt = open_sealed(line)
            pull = _pull(receipt, line, self._policies)
        except (ReceiptError, CatalogError, KeyError, TypeError, ValueError) as problem:
            if place != "dead":
                subject = getattr(problem, "decision_id", None) or where or "an unreadable line"
                self.unlike.append(Unlike("receipt_unequal", subject, str(problem)))
            return
        decision_id = str(receipt["circumstances"]["decision_id"])
        if decided_ms(decision_id) < self.since_ms:
            return
        self.receipts[decision_id] = _furthest(place, self.receipts.get(decision_id))
        known = self.pulls.setdefault(decision_id, pull)
        if known is not pull:
            if known.line_hash != pull.line_hash:
                self.unlike.append(Unlike("receipt_twice", decision_id, "two receipts that differ"))
            return
        verdict = self._replayer.replay(line)
        if not verdict.equal:
            self.unlike.append(Unlike("receipt_unequal", decision_id, verdict.difference or "unknown"))

    def outcome(self, line: str, place: Place, where: str = "") -> None:
        """One outcome record as filed or queued."""
        self.lines["outcomes"] += 1
        try:
            kept = _kept(json.loads(line))
        except (ValueError, KeyError, TypeError, AttributeError) as problem:
            if place != "dead":
                self.unlike.append(Unlike("outcome_unreadable", where or "an unreadable line", f"{problem!r}"))
            return
        if kept.received_ms < self.since_ms:
            return
        self.outcomes[kept.record_id] = _furthest(place, self.outcomes.get(kept.record_id))
        known = self.kept.setdefault(kept.record_id, kept)
        if known != kept:
            self.unlike.append(Unlike("outcome_twice", kept.record_id, f"{known.state} and {kept.state}"))

    def telemetry(self, record_ids: Iterable[str], place: Place) -> None:
        """Accepted records that `learn` has not worked off."""
        for record_id in record_ids:
            self.waiting[record_id] = _furthest(place, self.waiting.get(record_id))


def decided_ms(decision_id: str) -> int:
    """When a decision was made, from its id (0 for what is no id of ours)."""
    try:
        return int(decision_id[:12], 16)
    except ValueError:
        return 0


def _furthest(place: Place, known: Place | None) -> Place:
    return place if known is None else min(place, known, key=PLACES.index)


def _pull(receipt: Mapping[str, Any], line: str, policies: PolicyStore) -> Pull:
    told = [*receipt["candidates"], *([receipt["baseline"]] if receipt["baseline"] else [])]
    rows = {row["arm"]: row["model"] for row in told if row.get("model")}
    decision = receipt["decision"]
    planned = {step["arm"] for step in decision.get("plan", ())}
    # In shadow mode the caller serves whom it always served, and reports that arm.
    allowed = rows.keys() if _shadow(receipt, policies) else planned
    # Batch prices counted for what was planned, not for what an old path did.
    batch = planned if decision.get("batch") else ()
    arms = {arm: priced_arm(model_from_document(rows[arm]), 0, batch=arm in batch) for arm in sorted(allowed)}
    trips = tuple(outcome for outcome, order in decision.get("on", {}).items() if order.get("open_breaker"))
    return Pull(decision["cluster"], arms, trips, line[9:73])


def _shadow(receipt: Mapping[str, Any], policies: PolicyStore) -> bool:
    inline = receipt["request"].get("inline")
    if inline is not None:
        return bool(inline.get("mode") == "shadow")
    known = policies.get(receipt["fingerprints"]["policy"])
    return known is not None and known[0].mode == "shadow"


_TOLD = tuple(field.name for field in fields(TelemetryRecord) if field.name not in ("token", "quality_slugs"))


def _kept(document: Mapping[str, Any]) -> Kept:
    told = TelemetryRecord(token="", **{name: document[name] for name in _TOLD if name in document})
    return Kept(
        record_id=document["record_id"],
        state=document["state"],
        fields=document["fields"],
        received_ms=document["received_ms"],
        told=told,
        decision_id=document.get("decision_id"),
        cluster=document.get("cluster"),
        task=document.get("task"),
        at_ms=document.get("at_ms", 0),
        cost_nanodollars=document.get("cost_nanodollars"),
    )
