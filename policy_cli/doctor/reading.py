"""What the doctor reads: a tenant's books from the stores, and from logs or files what there should be in them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from functions.stores.backlog import Backlog, Depth, Letter
from functions.stores.messages import MessageError, unpack_lines, unpack_telemetry
from functions.stores.records import RecordFiles, Spool
from functions.stores.state import StateStore
from functions.stores.statistics import StatisticsStore
from policy_cli.deployment import Deployment
from policy_cli.exits import ToolError
from policy_cli.receipts import ReceiptFileError, ids_in
from policy_engine.accounting import Witness
from policy_engine.books import Books, Place
from policy_lang.frozen import frozen

__all__ = ["Asked", "Queues", "books_of", "look_at_queues", "witness_of"]

_DECISION, _RECORD = r"[0-9a-f]{32}", r"[0-9A-Za-z-]+:[0-9]+"


@frozen
class Asked:
    """What to read. decisions, accepted: files of ids that the caller kept, in place of the logs.

    queued: look into the source queues too. markers: read the whole table that holds them.
    """

    since_ms: int = 0
    queued: bool = False
    markers: bool = False
    decisions: Path | None = None
    accepted: Path | None = None


@frozen
class Queues:
    """Depth of both source queues, what lies in them (only if asked for), and what in their dead-letter queues."""

    depths: Mapping[str, Depth]
    queued: Mapping[str, tuple[Letter, ...]]
    dead: Mapping[str, tuple[Letter, ...]]


def look_at_queues(deployment: Deployment, *, queued: bool, wait_s: int = 1) -> Queues:
    """Dead letters are always looked at; messages on their way only on request, because each look is a receive."""
    sqs = deployment.client("sqs")
    found: dict[str, dict[str, Any]] = {"depths": {}, "queued": {}, "dead": {}}
    with deployment.reaching("a queue of"):
        for kind in ("Telemetry", "Records"):
            source = Backlog(sqs, deployment.name(f"{kind}Queue"), wait_s=wait_s)
            found["depths"][kind.lower()] = source.depth()
            found["queued"][kind.lower()] = tuple(source.look()) if queued else ()
            dead = Backlog(sqs, deployment.name(f"{kind}DeadLetterQueue"), wait_s=wait_s)
            found["dead"][kind.lower()] = tuple(dead.look()) if dead.depth() else ()
    return Queues(**found)


def books_of(deployment: Deployment, tenant: str, queues: Queues, asked: Asked) -> Books:
    """Everything kept of a tenant, decided again on the way."""
    s3, dynamodb = deployment.client("s3"), deployment.client("dynamodb")
    with deployment.reaching("the records of"):
        state = StateStore(dynamodb, s3, deployment.name("StateTable"), deployment.name("StateBucket"))
        policies = {name: (kept.policy, kept.lines) for name, kept in state.policies(tenant).items()}
        books = Books(tenant, policies, asked.since_ms)
        files = RecordFiles(s3, deployment.name("RecordsBucket"))
        for key in files.keys(tenant, "receipts", asked.since_ms):
            for number, line in enumerate(files.lines(key), 1):
                books.receipt(line, "filed", f"{key}:{number}")
        for key in files.keys(tenant, "outcomes", asked.since_ms):
            for number, line in enumerate(files.lines(key), 1):
                books.outcome(line, "filed", f"{key}:{number}")
        for _, message in Spool(s3, deployment.name("StateBucket")).waiting(tenant):
            _enter_lines(books, message, "spooled")
        _enter_queues(books, queues)
        statistics = StatisticsStore(dynamodb, deployment.name("StatisticsTable"))
        books.cells = list(statistics.cells(tenant))
        if asked.markers:
            books.markers = dict(statistics.markers(tenant))
    return books


def witness_of(deployment: Deployment, tenant: str, asked: Asked) -> Witness:
    """From the caller's files where given, else from the logs of `route` and `ingest`, as far back as they are kept."""
    decided: set[str] | None = None
    accepted: set[str] | None = None
    if asked.decisions is None:
        lines = _log_lines(deployment, "RouteLogs", tenant, asked.since_ms)
        decided = {str(line["routing.decision.id"]) for line in lines if _of(line, tenant, "routing.decision.id")}
    else:
        decided = _ids_in(asked.decisions, "decision id of 32 hexadecimal digits", _DECISION)
    if asked.accepted is None:
        lines = _log_lines(deployment, "IngestLogs", tenant, asked.since_ms)
        batches = [line for line in lines if _of(line, tenant, "batch") and isinstance(line.get("accepted"), int)]
        accepted = {f"{line['batch']}:{position}" for line in batches for position in range(line["accepted"])}
    else:
        accepted = _ids_in(asked.accepted, "id of an accepted record such as 3a0a…:0, batch and position", _RECORD)
    return Witness(decided, accepted)


def _enter_queues(books: Books, queues: Queues) -> None:
    lying: dict[Place, Mapping[str, tuple[Letter, ...]]] = {"queued": queues.queued, "dead": queues.dead}
    for place, found in lying.items():
        for letter in found["records"]:
            _enter_lines(books, letter.body, place)
        for letter in found["telemetry"]:
            try:
                told = unpack_telemetry(letter.body)
            except MessageError:
                continue  # poison: it holds no record that was accepted
            books.telemetry((each.record_id for each in told if each.tenant == books.tenant), place)


def _enter_lines(books: Books, message: str, place: Place) -> None:
    try:
        batch = unpack_lines(message)
    except MessageError:
        return
    if batch.tenant == books.tenant:
        enter = books.receipt if batch.kind == "receipt" else books.outcome
        for line in batch.lines:
            enter(line, place)


def _log_lines(deployment: Deployment, group: str, tenant: str, since_ms: int) -> Iterator[dict[str, Any]]:
    """Structured lines of a function's log that hold the tenant's name, in whatever place."""
    with deployment.reaching("the logs of"):
        pages = (
            deployment.client("logs")
            .get_paginator("filter_log_events")
            .paginate(logGroupName=deployment.name(group), startTime=since_ms, filterPattern=f'"{tenant}"')
        )
        for message in (event["message"] for page in pages for event in page["events"]):
            try:
                line = json.loads(message)
            except ValueError:
                continue
            if isinstance(line, dict):
                yield line


def _of(line: Mapping[str, Any], tenant: str, name: str) -> bool:
    return line.get("tenant") == tenant and isinstance(line.get(name), str)


def _ids_in(path: Path, what: str, pattern: str) -> set[str]:
    try:
        return ids_in(path, what, pattern)
    except ReceiptFileError as problem:
        raise ToolError(str(problem)) from None
