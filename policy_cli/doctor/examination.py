"""One examination: identities tenant by tenant, what is unsettled because the stack is at work, what mends the rest."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from policy_cli.deployment import Deployment
from policy_cli.doctor.reading import Asked, Queues, books_of, look_at_queues, witness_of
from policy_cli.doctor.remedies import remedy
from policy_engine.accounting import Finding, Identity, balance
from policy_engine.books import Books, decided_ms
from policy_lang.frozen import frozen

__all__ = ["Ailment", "Examination", "Patient", "examine"]

#: What a message under way explains; everything else is wrong however busy the stack is.
_UNSETTLED = frozenset(("receipt_missing", "outcome_missing", "cell_differs", "cost_differs"))
# Receipts wait for a full batch and a run of `watch`: what was decided a moment ago may be anywhere.
_SETTLED_MS = 90_000


@frozen
class Ailment:
    """A finding and the command that mends it; `settled` unless messages under way may still put it right."""

    finding: Finding
    command: str
    settled: bool


@frozen
class Patient:
    """One tenant."""

    tenant: str
    identities: tuple[Identity, ...]
    ailments: tuple[Ailment, ...]


@frozen
class Examination:
    """`restless`: why the stack is not quiet; empty when it is. `dead`: dead letters by queue, poison or given up."""

    stack: str
    patients: tuple[Patient, ...]
    restless: tuple[str, ...]
    dead: Mapping[str, Mapping[str, int]]
    ailments: tuple[Ailment, ...]

    @property
    def findings(self) -> list[Ailment]:
        """What is wrong for certain."""
        each = (*self.ailments, *(found for patient in self.patients for found in patient.ailments))
        return [found for found in each if found.settled]

    def document(self) -> dict[str, Any]:
        """JSON values: both sides of every identity, each finding with its command."""
        return {
            "stack": self.stack,
            "quiet": not self.restless,
            "restless": list(self.restless),
            "dead_letters": {queue: dict(counts) for queue, counts in self.dead.items()},
            "tenants": {
                patient.tenant: {
                    "identities": [identity.document() for identity in patient.identities],
                    "findings": [_document(found) for found in patient.ailments],
                }
                for patient in self.patients
            },
            "findings": [_document(found) for found in self.ailments],
            "well": not self.findings,
        }


def examine(deployment: Deployment, tenants: Sequence[str], asked: Asked, now_ms: int) -> Examination:
    """Read and balance the books of `tenants`, all enrolled ones where none is named; ToolError for a stranger."""
    examined = deployment.tenants(tenants)
    queues = look_at_queues(deployment, queued=asked.queued)
    books = [books_of(deployment, tenant, queues, asked) for tenant in examined]
    restless = tuple(_restless(queues, books, now_ms))
    patients = tuple(_patient(deployment, each, asked, quiet=not restless) for each in books)
    return Examination(deployment.stack, patients, restless, _dead(queues), tuple(_queue_ailments(deployment, queues)))


def _patient(deployment: Deployment, books: Books, asked: Asked, *, quiet: bool) -> Patient:
    identities = balance(books, witness_of(deployment, books.tenant, asked))
    ailments = tuple(
        Ailment(finding, remedy(deployment, books.tenant, finding), quiet or finding.code not in _UNSETTLED)
        for identity in identities
        for finding in identity.findings
    )
    return Patient(books.tenant, identities, ailments)


def _restless(queues: Queues, books: Sequence[Books], now_ms: int) -> Iterator[str]:
    for name, depth in queues.depths.items():
        if depth:
            yield f"the {name} queue has {depth.waiting + depth.delayed} waiting and {depth.in_work} in work"
    spooled = sum(place == "spooled" for each in books for place in each.receipts.values())
    if spooled:
        yield f"{spooled} receipts are spooled; `watch` sends them to their queue once a minute"
    newest = max((decided_ms(decision) for each in books for decision in each.receipts), default=0)
    told = max((kept.received_ms for each in books for kept in each.kept.values()), default=0)
    seconds = (now_ms - max(newest, told)) // 1000
    if seconds < _SETTLED_MS // 1000:
        yield f"the last traffic was {max(0, seconds)} s ago; books settle within {_SETTLED_MS // 1000} s"


def _dead(queues: Queues) -> dict[str, dict[str, int]]:
    found = {}
    for name, letters in queues.dead.items():
        poison = sum(letter.reason is not None for letter in letters)
        found[name] = {"poison": poison, "given_up": len(letters) - poison}
    return found


def _queue_ailments(deployment: Deployment, queues: Queues) -> Iterator[Ailment]:
    for name, letters in queues.dead.items():
        given_up = [letter for letter in letters if letter.reason is None]
        poison = [letter for letter in letters if letter.reason is not None]
        if given_up:
            why = f"{len(given_up)} messages were given up after too many tries"
            yield _queue_ailment(deployment, "dead_letters", name, why)
        for letter in poison:
            yield _queue_ailment(deployment, "poison", name, f"{letter.message_id}: {letter.reason}")


def _queue_ailment(deployment: Deployment, code: str, queue: str, why: str) -> Ailment:
    finding = Finding("queues", code, queue, why)
    return Ailment(finding, remedy(deployment, "", finding), settled=True)


def _document(found: Ailment) -> dict[str, Any]:
    finding = found.finding
    document = {"identity": finding.identity, "code": finding.code, "subject": finding.subject, "why": finding.why}
    return {**document, "settled": found.settled, "command": found.command}
