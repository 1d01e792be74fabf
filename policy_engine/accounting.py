"""The accounting identities: what must hold of a tenant's books, however often or late anything was delivered.

They are equations between sets of ids, so that a finding names the very ids that are missing or double:

    I1  decided = receipts filed + queued + dead + spooled + carried
    I2  accepted = applied + duplicate + late + rejected + queued + dead, each id once
    I3  pulls - outcomes >= 0: an outcome that counted is of a decision whose receipt planned that arm
    I4  cells = the outcome records applied to them, every sum of every (cluster, arm, epoch), to the last digit
    I5  cost rolled up in the cells = cost over outcome records = cost at the receipts' prices, to the nano-dollar
    I6  replay = receipt, byte for byte

They hold of books at rest; while messages are under way, I2 to I5 lag behind.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

from policy_engine.books import PLACES, Books, Kept, Pull, decided_ms
from policy_engine.limits import catch_all
from policy_engine.settlement import MarkerKey
from policy_engine.statistics import Sums, epoch_of, merge_sums, outcome_sums, quality_sums
from policy_lang.frozen import frozen

__all__ = ["Finding", "Identity", "Witness", "balance"]

_STATES = ("applied", "duplicate", "late", "rejected")


@frozen
class Witness:
    """What someone else knows of the tenant: ids from callers, logs, or a file. None where nobody was asked.

    unanswered / unacknowledged: ids of requests that may have had their effect though no success was answered; without
    them an id that only the books hold is no finding, because that is what a lost reply looks like.
    """

    decided: Collection[str] | None = None
    accepted: Collection[str] | None = None
    unanswered: Collection[str] | None = None
    unacknowledged: Collection[str] | None = None


@frozen
class Finding:
    """What breaks an identity. `code` is stable; `subject` is a decision, a record or a cell."""

    identity: str
    code: str
    subject: str
    why: str


@frozen
class Identity:
    """One equation: its sides as counts or nano-dollars by part, and what breaks it.

    unchecked: why one side is not known; what was found all the same stands in `findings`.
    """

    name: str
    says: str
    left: Mapping[str, int]
    right: Mapping[str, int]
    findings: tuple[Finding, ...] = ()
    unchecked: str | None = None

    def document(self) -> dict[str, Any]:
        """JSON values."""
        found: dict[str, Any] = {"identity": self.name, "says": self.says, "left": self.left, "right": self.right}
        found["findings"] = [{"code": f.code, "subject": f.subject, "why": f.why} for f in self.findings]
        return found | ({"unchecked": self.unchecked} if self.unchecked else {"balanced": not self.findings})


def balance(books: Books, witness: Witness) -> tuple[Identity, ...]:
    """Every identity of `IDENTITIES`, in order."""
    return tuple(identity(books, witness) for identity in IDENTITIES)


def receipts_of_decisions(books: Books, witness: Witness) -> Identity:
    """I1. Without a witness the decisions that telemetry speaks of stand in for those that were answered."""
    told = {each.decision_id for each in books.kept.values() if each.decision_id}
    told |= {marker.decision_id for marker in books.markers}
    decided = {each for each in told if decided_ms(each) >= books.since_ms}
    decided |= {each for each in witness.decided or () if decided_ms(each) >= books.since_ms}
    places = _ordered(Counter(books.receipts.values()))
    lost = sorted(decided - books.receipts.keys())
    findings = [Finding("I1", "receipt_missing", each, "decided, and no receipt") for each in lost]
    findings += _strange("I1", "receipt_strange", books.receipts.keys() - decided, witness.unanswered)
    findings += _unlike(books, "I1", "receipt_twice")
    beyond = len(books.receipts.keys() - decided)
    left = {"decided": len(decided)} | ({"unanswered": beyond} if beyond else {})
    return Identity("I1", "decided = filed + queued + dead + spooled + carried", left, places, tuple(findings))


def ends_of_telemetry(books: Books, witness: Witness) -> Identity:
    """I2."""
    says = "accepted = applied + duplicate + late + rejected + queued + dead"
    states = Counter(each.state for each in books.kept.values())
    waiting = {each: place for each, place in books.waiting.items() if each not in books.kept}
    right = {state: states[state] for state in _STATES} | _ordered(Counter(waiting.values()))
    ended = books.kept.keys() | waiting.keys()
    findings = [*_unlike(books, "I2", "outcome_twice"), *_unlike(books, "I2", "outcome_unreadable")]
    findings += _unrecorded(books)
    if witness.accepted is None:
        return Identity("I2", says, {}, right, tuple(findings), "nobody says what was accepted")
    accepted = set(witness.accepted)
    lost = sorted(accepted - ended - {finding.subject for finding in findings})
    findings += [Finding("I2", "outcome_missing", each, "accepted, and in no state") for each in lost]
    findings += _strange("I2", "outcome_strange", ended - accepted, witness.unacknowledged)
    beyond = len(ended - accepted)
    left = {"accepted": len(accepted)} | ({"unacknowledged": beyond} if beyond else {})
    return Identity("I2", says, left, right, tuple(findings))


def outcomes_of_pulls(books: Books, _: Witness) -> Identity:
    """I3. A decision whose receipt is missing is I1's finding, so it is none here. The cell may be the catch-all of its
    task, which a receipt does not say.
    """
    pulls: Counter[tuple[str, str]] = Counter((p.cluster, arm) for p in books.pulls.values() for arm in p.arms)
    findings, outcomes = [], set()
    for each in _applied(books):
        assert each.decision_id is not None
        pull = books.pulls.get(each.decision_id)
        if pull is not None and not (_taught(pull, each) and each.told.arm in pull.arms):
            why = f"{each.told.arm} in {each.cluster} was not what {each.decision_id} planned"
            findings.append(Finding("I3", "outcome_without_pull", each.record_id, why))
        outcomes.add((each.cluster, each.told.arm, each.decision_id))
    sides = {"pulls": pulls.total()}, {"decisions with outcomes": len(outcomes)}
    return Identity("I3", "pulls - outcomes >= 0, by cell and arm", *sides, tuple(findings))


def _taught(pull: Pull, each: Kept) -> bool:
    return each.cluster in (pull.cluster, catch_all(pull.cluster, each.task or ""))


def cells_of_outcomes(books: Books, _: Witness) -> Identity:
    """I4. Sums are compared over generations, which outcome records do not name."""
    says = "cells = sums over the outcome records applied to them"
    held = _held_sums(books)
    told = _told_sums(books)
    left = {"cells": len(held), "outcomes": sum(sums.get("c", 0) for sums in held.values())}
    right = {"cells": len(told), "outcomes": sum(sums.get("c", 0) for sums in told.values())}
    if books.since_ms:
        return Identity("I4", says, left, right, unchecked="the cells hold all time, the books only what is recent")
    findings = []
    for where in sorted(held.keys() | told.keys()):
        different = _different(held.get(where, {}), told.get(where, {}))
        if different:
            findings.append(Finding("I4", "cell_differs", " ".join(map(str, where)), different))
    return Identity("I4", says, left, right, tuple(findings))


def cost_of_outcomes(books: Books, _: Witness) -> Identity:
    """I5. What a receipt that is missing would have priced is taken as recorded."""
    findings, recorded, priced = [], 0, 0
    told: Counter[tuple[str, str]] = Counter()
    for each in _applied(books):
        if each.cost_nanodollars is None or "outcome" not in _counted(each):
            continue
        cost = _repriced(books, each)
        recorded, priced = recorded + each.cost_nanodollars, priced + cost
        told[str(each.cluster), each.told.arm] += each.cost_nanodollars
        if cost != each.cost_nanodollars:
            why = f"recorded {each.cost_nanodollars}, at the receipt's prices {cost} nano-dollars"
            findings.append(Finding("I5", "cost_differs", each.record_id, why))
    held = Counter[tuple[str, str]]()
    for row in books.cells:
        held[row.cluster, row.arm] += row.sums.get("k", 0)
    if not books.since_ms:
        for where in sorted(held.keys() | told.keys()):
            if held[where] != told[where]:
                why = f"rolled up {held[where]}, recorded {told[where]} nano-dollars"
                findings.append(Finding("I5", "cost_differs", " ".join(where), why))
    left = {} if books.since_ms else {"rolled up": held.total()}
    right = {"recorded": recorded, "at the receipts' prices": priced}
    return Identity("I5", "cost rolled up = cost recorded = cost at the receipts' prices", left, right, tuple(findings))


def replays_of_receipts(books: Books, _: Witness) -> Identity:
    """I6. Each distinct receipt was decided again when it was read."""
    findings = tuple(_unlike(books, "I6", "receipt_unequal"))
    equal = len(books.receipts.keys() - {finding.subject for finding in findings})
    return Identity("I6", "replay = receipt", {"receipts": len(books.receipts)}, {"byte-equal": equal}, findings)


IDENTITIES: tuple[Callable[[Books, Witness], Identity], ...] = (
    receipts_of_decisions,
    ends_of_telemetry,
    outcomes_of_pulls,
    cells_of_outcomes,
    cost_of_outcomes,
    replays_of_receipts,
)


def _strange(identity: str, code: str, found: Collection[str], excused: Collection[str] | None) -> list[Finding]:
    if excused is None:
        return []
    return [Finding(identity, code, each, "nobody asked for it") for each in sorted(set(found) - set(excused))]


def _unlike(books: Books, identity: str, code: str) -> list[Finding]:
    return [Finding(identity, each.code, each.subject, each.why) for each in books.unlike if each.code == code]


def _unrecorded(books: Books) -> Iterator[Finding]:
    """Markers of fields that counted and whose record says nothing of it, or is nowhere."""
    for marker, record_id in books.markers.items():
        kept = books.kept.get(record_id)
        if record_id in books.waiting or (kept is not None and kept.fields.get(marker.field) == "applied"):
            continue
        yield Finding("I2", "outcome_missing", record_id, f"counted as {_named(marker)}, and no outcome record says so")


def _named(marker: MarkerKey) -> str:
    return f"{marker.field} of hop {marker.hop} of {marker.decision_id}"


def _ordered(places: Counter[Any]) -> dict[str, int]:
    return {place: places[place] for place in PLACES if places[place]}


def _applied(books: Books) -> Iterator[Kept]:
    return (each for each in books.kept.values() if _counted(each))


def _counted(each: Kept) -> set[str]:
    return {field for field, state in each.fields.items() if state == "applied"}


def _held_sums(books: Books) -> dict[tuple[str, str, int], Sums]:
    parts: dict[tuple[str, str, int], list[Mapping[str, int]]] = defaultdict(list)
    for row in books.cells:
        parts[row.cluster, row.arm, row.epoch].append(row.sums)
    return {where: merge_sums(found) for where, found in parts.items()}


def _told_sums(books: Books) -> dict[tuple[str, str, int], Sums]:
    parts: dict[tuple[str, str, int], list[Mapping[str, int]]] = defaultdict(list)
    for each in _applied(books):
        counted, found = _counted(each), parts[str(each.cluster), each.told.arm, epoch_of(each.at_ms)]
        if "outcome" in counted:
            pull = books.pulls.get(each.decision_id or "")
            trips = pull.trips if pull else ()
            found += (outcome_sums(each.told, each.at_ms, trips), {"k": each.cost_nanodollars or 0})
        if "quality" in counted and each.told.quality_ppm is not None:
            found.append(quality_sums(each.told.quality_ppm, each.at_ms))
    sums = {where: merge_sums(found) for where, found in parts.items()}
    return {where: found for where, found in sums.items() if any(found.values())}


def _different(held: Mapping[str, int], told: Mapping[str, int]) -> str:
    names = sorted(name for name in held.keys() | told.keys() if held.get(name, 0) != told.get(name, 0))
    raw = [name for name in ("c", "w", "p") if name in names] or names[:1]
    return ", ".join(f"{name}: {held.get(name, 0)} held, {told.get(name, 0)} recorded" for name in raw)


def _repriced(books: Books, each: Kept) -> int:
    told, pull = each.told, books.pulls.get(each.decision_id or "")
    arm = pull.arms.get(told.arm) if pull else None
    if arm is None or told.input_tokens is None or told.output_tokens is None:
        return each.cost_nanodollars or 0
    cached = told.cached_read_tokens or 0, told.cached_write_tokens or 0
    return arm.cost_nanodollars(told.input_tokens, told.output_tokens, *cached)
