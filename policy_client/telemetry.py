"""The telemetry queue: a bounded deque and one daemon thread that sends batches. `put` neither blocks nor raises.

A record is delivered at least once or counted as lost; the service counts it once whatever arrives (token, hop and
field are its identity), so a batch is sent again after any doubt.
"""

from __future__ import annotations

import contextlib
import logging
import random
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import field, replace
from http.client import HTTPException
from pathlib import Path
from uuid import uuid4

from policy_client.spool import claim_spool, write_spool
from policy_engine.wire import MAX_TELEMETRY_BYTES, MAX_TELEMETRY_RECORDS
from policy_lang.frozen import frozen

__all__ = ["TelemetryQueue", "TelemetryStats"]

Send = Callable[[bytes], tuple[int, bytes]]
_RETRYABLE = frozenset((408, 429))
_FIRST_BACKOFF, _LONGEST_BACKOFF = 0.2, 20.0
# Reasons are few unless a service answers every batch in words of its own.
_MOST_REASONS = 50
_OTHER_REASON = "other reasons"
# Seconds for the thread to end once it is told to, where the deadline has passed.
_LEAVE = 0.1

_log = logging.getLogger("policy_client")


@frozen
class TelemetryStats:
    """Counters since the client was made; every record put in ends in exactly one of the last five.

    accepted: taken by the service. refused: the service would not take it, or not after every attempt. dropped: the
    oldest, when the queue was full. spilled: written to the spool file. pending: still here. `invalid` records were
    never queued. `last_error` is the latest reason for a refusal or a retry; `reasons` says how many records each made
    invalid, refused or spilled; `warnings` how many records that were queued told of something to set right. The first
    record of each reason and warning is logged as a warning of the logger `policy_client`.
    """

    queued: int = 0
    invalid: int = 0
    retries: int = 0
    accepted: int = 0
    refused: int = 0
    dropped: int = 0
    spilled: int = 0
    pending: int = 0
    last_error: str | None = None
    reasons: Mapping[str, int] = field(default_factory=dict)
    warnings: Mapping[str, int] = field(default_factory=dict)


class TelemetryQueue:
    """Sends what is put in, in batches of at most `batch` records or as soon as the oldest is `max_age` seconds old.

    envelope: what a `batch`, and a `key` for all attempts to send it, are wrapped in, of at most `most_bytes`; receipts
    that are carried have one of their own.
    """

    def __init__(
        self,
        send: Send,
        *,
        capacity: int = 10_000,
        batch: int = 100,
        max_age: float = 1.0,
        attempts: int = 8,
        spill: Path | None = None,
        envelope: bytes = b'{"idempotency_key":"%(key)s","records":[%(batch)s]}',
        most_bytes: int = MAX_TELEMETRY_BYTES,
    ) -> None:
        if capacity < 1 or not 1 <= batch <= MAX_TELEMETRY_RECORDS:
            raise ValueError(f"capacity must be positive and batch between 1 and {MAX_TELEMETRY_RECORDS}")
        self._send, self._capacity, self._batch = send, capacity, batch
        self._max_age, self._attempts, self._spill = max_age, attempts, spill
        self._envelope, self._most_bytes = envelope, most_bytes
        self.renew()

    def renew(self) -> None:
        """Start empty. A forked child does this: the records are the parent's, and its thread did not come along."""
        self._waiting: deque[tuple[float, bytes]] = deque()
        self._in_flight: list[bytes] = []
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._flushing = 0
        self._closed = False
        self._disowned = False
        self._stats = TelemetryStats()
        self._reasons: Counter[str] = Counter()
        self._warnings: Counter[str] = Counter()

    def put(self, record: bytes) -> bool:
        """Queue one encoded record; False once closed. When full the oldest gives way."""
        with self._changed:
            if self._closed:
                return self.reject("the client is closed")
            self._count(queued=1)
            if len(self._waiting) >= self._capacity:
                self._waiting.popleft()
                self._count(dropped=1)
            self._waiting.append((time.monotonic(), record))
            self._started()
            if len(self._waiting) in (1, self._batch):
                self._changed.notify_all()
        return True

    def reject(self, reason: str) -> bool:
        """Count a record that was not worth queueing."""
        self._blame("invalid", 1, reason)
        return False

    def warn(self, warning: str) -> None:
        """Count what a record told of, and log it when it is new."""
        with self._changed:
            new = _counted(self._warnings, warning, 1)
        if new:
            _log.warning("%s (more of these are only counted, in `stats().warnings`)", warning)

    @contextlib.contextmanager
    def hurried(self) -> Iterator[None]:
        """Inside, what is queued is sent at once, however young and few it is."""
        with self._changed:
            self._flushing += 1
            self._changed.notify_all()
        try:
            yield
        finally:
            with self._changed:
                self._flushing -= 1

    def flush(self, deadline: float) -> bool:
        """Send at once what is queued and wait until nothing is pending; False when it took beyond `deadline`, in
        seconds of `time.monotonic`.
        """
        with self.hurried(), self._changed:
            while self._waiting or self._in_flight:
                left = deadline - time.monotonic()
                if left <= 0 or self._thread is None:
                    return False
                self._changed.wait(left)
            return True

    def close(self, deadline: float) -> bool:
        """Flush, then stop; what is left is spilled where a spool file was named, otherwise dropped and counted."""
        done = self.flush(deadline)
        with self._changed:
            self._closed = True
            self._changed.notify_all()
            thread = self._thread
        if thread is not None:
            thread.join(max(_LEAVE, deadline - time.monotonic()))
        with self._changed:
            # Where the thread hangs in a send, its batch may arrive twice; that is harmless, losing it is not.
            left = self._in_flight + [record for _, record in self._waiting]
            self._waiting.clear()
            self._in_flight = []
            self._disowned = True
        if left:
            self._blame(self._given_up(left), len(left), "the client was closed")
        return done

    def stats(self) -> TelemetryStats:
        """A consistent copy of the counters."""
        with self._changed:
            pending, reasons = len(self._waiting) + len(self._in_flight), dict(self._reasons)
            return replace(self._stats, pending=pending, reasons=reasons, warnings=dict(self._warnings))

    def _started(self) -> None:
        if self._thread is None:
            thread = threading.Thread(target=self._run, name="pointsman-telemetry", daemon=True)
            # Refused once the interpreter is shutting down: the record then waits for `close`.
            with contextlib.suppress(RuntimeError):
                thread.start()
                self._thread = thread

    def _run(self) -> None:
        self._reclaim()
        while (batch := self._next_batch()) is not None:
            self._deliver(batch)

    def _reclaim(self) -> None:
        if self._spill is None:
            return
        found = claim_spool(self._spill)
        with self._changed:
            if self._disowned:
                write_spool(self._spill, found)
                return
            room = max(0, self._capacity - len(self._waiting))
            kept = found[-room:] if room else []
            self._count(queued=len(found), dropped=len(found) - len(kept))
            self._waiting.extendleft((0.0, record) for record in reversed(kept))

    def _next_batch(self) -> list[bytes] | None:
        """Wait for a batch that is full or old enough; None once closed."""
        with self._changed:
            while not self._closed:
                if not self._waiting:
                    self._changed.wait()
                    continue
                left = self._waiting[0][0] + self._max_age - time.monotonic()
                if left <= 0 or self._flushing or len(self._waiting) >= self._batch:
                    return self._taken()
                self._changed.wait(left)
        return None

    def _taken(self) -> list[bytes]:
        batch: list[bytes] = []
        size = len(self._wrapped([]))
        while self._waiting and len(batch) < self._batch:
            size += len(self._waiting[0][1]) + 1
            if batch and size > self._most_bytes:
                break
            batch.append(self._waiting.popleft()[1])
        self._in_flight = list(batch)
        return batch

    def _deliver(self, batch: list[bytes]) -> None:
        """Send until taken or given up; a batch refused as a whole is halved until the bad record stands alone."""
        # One key for all attempts: after any doubt the service takes the batch for the one it may have already.
        body = self._wrapped(batch)
        for attempt in range(self._attempts):
            status, reason = self._attempt(body)
            if 200 <= status < 300:
                self._ended("accepted", batch, reason)
                return
            if status and status < 500 and status not in _RETRYABLE:
                break
            with self._changed:
                if self._closed or attempt + 1 == self._attempts:
                    break
                self._count(retries=1, error=reason)
                self._changed.wait_for(lambda: self._closed, _backoff(attempt))
        if status in (400, 413) and len(batch) > 1:
            middle = len(batch) // 2
            self._deliver(batch[:middle])
            self._deliver(batch[middle:])
        elif status == 0 or status >= 500 or status in _RETRYABLE:
            self._ended(self._given_up(batch), batch, reason)
        else:
            self._ended("refused", batch, reason)

    def _ended(self, state: str, batch: list[bytes], reason: str) -> None:
        """Count the first of what is in flight under what became of it, unless `close` has done so."""
        with self._changed:
            if self._disowned:
                return
            del self._in_flight[: len(batch)]
            if state == "accepted":
                self._count(accepted=len(batch))
            else:
                self._blame(state, len(batch), reason)
            self._changed.notify_all()

    def _wrapped(self, batch: list[bytes]) -> bytes:
        return self._envelope % {b"key": uuid4().hex.encode(), b"batch": b",".join(batch)}

    def _attempt(self, body: bytes) -> tuple[int, str]:
        try:
            status, content = self._send(body)
        except (OSError, HTTPException) as problem:
            return 0, f"{type(problem).__name__}: {problem}"
        except Exception as problem:  # noqa: BLE001 - credentials that cannot be had must not end the thread
            return 0, f"{type(problem).__name__}: {problem}"
        return status, f"{status}: {content[:200].decode(errors='replace')}"

    def _given_up(self, records: list[bytes]) -> str:
        """Spill what can be spilled: `spilled`, or `refused` where there is nowhere to."""
        return "spilled" if self._spill is not None and write_spool(self._spill, records) else "refused"

    def _blame(self, kind: str, records: int, reason: str) -> None:
        """Count `records` under what became of them and under the reason, which is logged when it is new."""
        with self._changed:
            self._count(**{kind: records}, error=reason)
            new = _counted(self._reasons, reason, records)
        if new:
            what = "not queued" if kind == "invalid" else kind
            _log.warning("a record was %s: %s (more of these are only counted, in `stats().reasons`)", what, reason)

    def _count(self, *, error: str | None = None, **more: int) -> None:
        stats = self._stats
        added = {name: getattr(stats, name) + n for name, n in more.items()}
        self._stats = replace(stats, **added, last_error=error or stats.last_error)


def _counted(reasons: Counter[str], reason: str, records: int) -> bool:
    """Whether it is new."""
    counted = reason if reason in reasons or len(reasons) < _MOST_REASONS else _OTHER_REASON
    new = counted not in reasons
    reasons[counted] += records
    return new


def _backoff(attempt: int) -> float:
    """Full jitter (Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015), in seconds."""
    ceiling = min(_LONGEST_BACKOFF, _FIRST_BACKOFF * 2.0**attempt)
    return random.uniform(0, ceiling)  # noqa: S311 - spreads load, guards nothing
