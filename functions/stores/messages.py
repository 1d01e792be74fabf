"""What travels through the two queues, as text. Written by one function, read by another, perhaps weeks later.

Records queue: JSON Lines, a header `{at_ms, kind, tenant}` and then lines that reach S3 exactly as they stand.
Telemetry queue: one JSON object, `{first, received_ms, records, request, tenant}`; a record's id is `request:position`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Literal, TypeVar

from functions.stores.keys import TENANT
from policy_engine.settlement import Telemetry
from policy_engine.wire import RequestError, TelemetryRecord, record_from_wire, record_to_wire
from policy_lang.frozen import frozen

__all__ = [
    "MessageError",
    "RecordLines",
    "pack_lines",
    "pack_telemetry",
    "split_lines",
    "unpack_lines",
    "unpack_telemetry",
]

# Far below the 256 KiB that a batch of messages may have, so that a batch always holds at least one.
_MESSAGE_BYTES = 100 * 1024
# A message is delivered, retried and given up as a whole: few records in each keep a poisonous one from delaying many.
_MESSAGE_RECORDS = 25
# The last millisecond that a folder of the records bucket can be named after.
_LAST_MS = 253_402_300_799_999

Kind = Literal["receipt", "outcome"]
T = TypeVar("T")


class MessageError(ValueError):
    """A message is not one of ours; it goes the way of the dead-letter queue."""


@frozen
class RecordLines:
    """Receipts or outcome records of one tenant. `at_ms` chooses the hour they are filed under."""

    tenant: str
    kind: Kind
    at_ms: int
    lines: tuple[str, ...]


def pack_lines(batch: RecordLines) -> str:
    """The message of a batch; no line may contain a line feed."""
    header = {"at_ms": batch.at_ms, "kind": batch.kind, "tenant": batch.tenant}
    return "\n".join((json.dumps(header), *batch.lines))


def unpack_lines(text: str) -> RecordLines:
    """The inverse of `pack_lines`."""
    first, *lines = text.split("\n")
    header = _object(first)
    match header:
        case {"at_ms": int(at_ms), "kind": "receipt" | "outcome" as kind, "tenant": str(tenant)} if lines:
            _check_stamps(tenant, at_ms)
            return RecordLines(tenant, kind, at_ms, tuple(lines))
    raise MessageError("the message lacks its header or its lines")


def split_lines(batch: RecordLines) -> Iterator[RecordLines]:
    """`batch` in pieces that fit a message each."""
    for lines in _pieces(batch.lines, sizes=[len(line.encode()) for line in batch.lines]):
        yield RecordLines(batch.tenant, batch.kind, batch.at_ms, tuple(lines))


def pack_telemetry(tenant: str, request_id: str, received_ms: int, records: Sequence[TelemetryRecord]) -> list[str]:
    """The messages of one accepted batch, in order."""
    wired = [record_to_wire(record) for record in records]
    sizes = [len(json.dumps(document)) for document in wired]
    messages, first = [], 0
    for piece in _pieces(wired, sizes, most=_MESSAGE_RECORDS):
        stamps = {"tenant": tenant, "request": request_id, "first": first, "received_ms": received_ms}
        messages.append(json.dumps({**stamps, "records": piece}, separators=(",", ":")))
        first += len(piece)
    return messages


def unpack_telemetry(text: str) -> list[Telemetry]:
    """The accepted records of one message."""
    document = _object(text)
    match document:
        case {
            "tenant": str(tenant),
            "request": str(request),
            "first": int(first),
            "received_ms": int(received_ms),
            "records": [_, *_] as records,
        }:
            _check_stamps(tenant, received_ms)
            try:
                admitted = [record_from_wire(record) for record in records]
            except RequestError as problem:
                raise MessageError(f"a record is not one that ingest accepts: {problem.code}") from None
            return [
                Telemetry(tenant, f"{request}:{position}", received_ms, record)
                for position, record in enumerate(admitted, start=first)
            ]
    raise MessageError("the message lacks tenant, request, first, received_ms or records")


def _check_stamps(tenant: str, at_ms: int) -> None:
    """Keys are made of them: one that makes none must not take the rest of its batch along."""
    if not TENANT.fullmatch(tenant):
        raise MessageError("the message is of nobody who could be enrolled")
    if not 0 <= at_ms <= _LAST_MS:
        raise MessageError("the message is of a time that no calendar has")


def _object(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise MessageError("the message is not JSON") from None


def _pieces(items: Iterable[T], sizes: Sequence[int], most: int = 1_000_000) -> Iterator[list[T]]:
    piece: list[T] = []
    room = _MESSAGE_BYTES
    for item, size in zip(items, sizes, strict=True):
        if piece and (size > room or len(piece) >= most):
            yield piece
            piece, room = [], _MESSAGE_BYTES
        piece.append(item)
        room -= size + 1
    if piece:
        yield piece
