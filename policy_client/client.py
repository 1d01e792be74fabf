"""The client: asks for a decision, reports what became of it. Prompts are no argument of anything here."""

from __future__ import annotations

import atexit
import json
import os
import re
import time
import weakref
from collections.abc import Callable, Mapping, Sequence
from http.client import HTTPException
from pathlib import Path
from typing import Any

from policy_client.credentials import Credentials
from policy_client.errors import RouteError, RouteUnavailable
from policy_client.reply import RouteReply, read_reply
from policy_client.report import encoded_report
from policy_client.sessions import Sessions
from policy_client.telemetry import TelemetryQueue, TelemetryStats
from policy_client.transport import Response, Transport
from policy_engine.wire import MAX_RECEIPTS, MAX_RECEIPTS_BYTES
from policy_lang.envelope import Envelope, envelope_to_wire
from policy_lang.vocabulary import Outcome

__all__ = ["Client"]

# With the longest pause between two, about a quarter of an hour; then they are spilled.
_RECEIPT_ATTEMPTS = 50
_STARVED = (
    "an answer was cut off before it said anything (finish_reason length, no content): reasoning counts towards "
    "`max_tokens`, so allow more, or write `set max_tokens at least N` into the route and apply `reply.parameters`"
)
_CARRIED = re.compile(rb'"receipt": ?("receipt\.[A-Za-z0-9._-]+")')


def _wall_clock() -> int:
    return time.time_ns() // 1_000_000


class Client:
    """One tenant's connection to the service; share it between threads, close it (or use `with`) when done.

    url: origin of `POST /v1/route`; telemetry_url: that of `POST /v1/telemetry` where it is another Function URL.
    Time-outs in seconds. spill: file that keeps telemetry no process could deliver for the next one. exit_flush: how
    long an exiting process waits for its telemetry. clock: milliseconds since 1970, for signatures.
    carry_receipts: where the service can keep a receipt nowhere it answers all the same and hands the receipt over; the
    client submits it until it is taken, in a queue like telemetry's with a spill file of its own beside `spill`.
    Without it such a call ends in RouteError 503, and there is no decision without a durable receipt.
    sessions: how many sessions' pins are remembered, those in use longest; about 300 bytes each.
    After a fork the child starts with an empty queue and connections of its own. In a Lambda function call `flush`
    before returning: between invocations the environment, and with it the queue's thread, is frozen.
    """

    def __init__(
        self,
        url: str,
        credentials: Credentials,
        *,
        telemetry_url: str | None = None,
        connect_timeout: float = 0.5,
        read_timeout: float = 2.0,
        queue_capacity: int = 10_000,
        batch_size: int = 100,
        batch_age: float = 1.0,
        attempts: int = 8,
        spill: str | os.PathLike[str] | None = None,
        exit_flush: float = 2.0,
        carry_receipts: bool = False,
        sessions: int = 10_000,
        clock: Callable[[], int] = _wall_clock,
    ) -> None:
        if isinstance(credentials, type) or not callable(getattr(credentials, "headers", None)):
            kinds = "`HmacCredentials(key_id, secret)` or `SigV4Credentials(region)`"
            raise TypeError(f"`credentials` must be {kinds}; {type(credentials).__name__} was given")
        self._credentials, self._clock, self._exit_flush = credentials, clock, exit_flush
        timeouts = {"connect_timeout": connect_timeout, "read_timeout": read_timeout}
        self._route = Transport(url, **timeouts)
        self._report = Transport(telemetry_url, **timeouts) if telemetry_url else self._route
        self._queue = TelemetryQueue(
            lambda body: self._post(self._report, "/v1/telemetry", body),
            capacity=queue_capacity,
            batch=batch_size,
            max_age=batch_age,
            attempts=attempts,
            spill=Path(spill) if spill else None,
        )
        self._sessions = Sessions(sessions)
        self._carries = carry_receipts
        self._receipts = TelemetryQueue(
            lambda body: self._post(self._route, "/v1/receipts", body),
            batch=MAX_RECEIPTS,
            max_age=batch_age,
            attempts=_RECEIPT_ATTEMPTS,
            spill=Path(f"{os.fspath(spill)}.receipts") if spill else None,
            envelope=b'{"receipts":[%(batch)s]}',
            most_bytes=MAX_RECEIPTS_BYTES,
        )
        _open_clients.add(self)

    def route(
        self,
        *,
        envelope: Envelope,
        policy: str | None = None,
        ir: Mapping[str, Any] | None = None,
        org: str | None = None,
        team: str | None = None,
        product: str | None = None,
        attributes: Mapping[str, str] | None = None,
        candidates: Sequence[str] | None = None,
        session: str | None = None,
        pin: str | None = None,
        tool_loop: bool = False,
        idempotency_key: str | None = None,
        fallback: str | None = None,
    ) -> RouteReply:
        """Ask which model serves a call of this shape. Exactly one of `policy` (a published name) and `ir` is given.

        attributes: what the policy's `attributes` ask for. candidates: arm ids to choose among. session: the
        conversation that the call belongs to; under a policy with `pin` this client remembers and sends its pin, unless
        `pin` is given: a reply's `session_pin` where processes share the session, or `"stored"` to have the service
        keep it. tool_loop: the call continues a chain of tool calls. idempotency_key: for 24 hours the same key with
        the same request gets the same reply. fallback: the emergency model that RouteUnavailable names when no answer
        comes. Raises RouteError, NoCandidates, RouteUnavailable.
        """
        if not isinstance(envelope, Envelope):
            raise TypeError("`envelope` must be an Envelope, as `build_envelope` makes it")
        if attributes is not None and not isinstance(attributes, Mapping):
            raise TypeError('`attributes` must be a mapping of names to values, such as {"region": "eu"}')
        if isinstance(candidates, str):
            raise TypeError('`candidates` must be a sequence of arm ids, such as ["anthropic/claude-haiku-4-5"]')
        given = {
            "policy": policy,
            "ir": ir,
            "org": org,
            "team": team,
            "product": product,
            "attributes": dict(attributes) if attributes else None,
            "candidates": list(candidates) if candidates is not None else None,
            "session": session,
            "tool_loop": tool_loop or None,
            "idempotency_key": idempotency_key,
            "carry_receipt": self._carries or None,
        }
        asked = {name: value for name, value in given.items() if value is not None}
        asked["envelope"] = envelope_to_wire(envelope)
        if session is None or pin is not None:
            return self._answered(asked, pin, fallback)
        return self._next_turn(asked, session, fallback)

    def telemetry(
        self,
        reply: RouteReply,
        *,
        hop: int = 0,
        arm: str | None = None,
        outcome: Outcome | None = "ok",
        input_tokens: int | None = None,
        output_tokens: int | None = None,
        cached_read_tokens: int | None = None,
        cached_write_tokens: int | None = None,
        reasoning_tokens: int | None = None,
        latency_ms: int | None = None,
        ttft_ms: int | None = None,
        quality: float | None = None,
        quality_slugs: Sequence[str] = (),
        finish_reason: str | None = None,
        empty_content: bool = False,
    ) -> bool:
        """Queue what one hop came to; returns at once, never raises.

        False: it was not queued. Why is logged by `policy_client` the first time and counted in `stats().reasons`.

        hop counts the calls made for this decision from 0; arm defaults to the plan's step of that number, and has to
        be given in shadow, where what served is not what was decided. A quality that comes later is a record of its
        own, with `outcome=None`. Tokens, milliseconds; quality 0..1.

        An answer that was cut off (`finish_reason="length"`) before it said anything (`empty_content`) is no `ok`: it
        is reported as `truncated` and counted in `stats().warnings`, for mostly its reasoning used up `max_tokens`.
        """
        told = {
            "outcome": outcome,
            "input_tokens": input_tokens,
            "output_tokens": output_tokens,
            "cached_read_tokens": cached_read_tokens,
            "cached_write_tokens": cached_write_tokens,
            "reasoning_tokens": reasoning_tokens,
            "latency_ms": latency_ms,
            "ttft_ms": ttft_ms,
            "quality": quality,
            "quality_slugs": quality_slugs or None,
            "finish_reason": finish_reason,
            "empty_content": empty_content or None,
        }
        try:
            starved = finish_reason == "length" and empty_content
            if starved and outcome == "ok":
                told["outcome"] = "truncated"
            queued = self._queue.put(encoded_report(reply, hop, arm, told))
            if queued and starved:
                self._queue.warn(_STARVED)
            return queued
        except Exception as problem:  # noqa: BLE001 - a report must never break the call it reports on
            return self._queue.reject(f"{type(problem).__name__}: {problem}")

    def flush(self, timeout: float = 5.0) -> bool:
        """Send queued telemetry and carried receipts now; False when some are pending after `timeout` seconds."""
        deadline = time.monotonic() + timeout
        with self._receipts.hurried():
            told = self._queue.flush(deadline)
            return self._receipts.flush(deadline) and told

    def stats(self) -> TelemetryStats:
        """Counters of the telemetry queue."""
        return self._queue.stats()

    def carried(self) -> TelemetryStats:
        """Counters of the receipts that the service handed over; `accepted` ones it has taken back."""
        return self._receipts.stats()

    def close(self, timeout: float | None = None) -> bool:
        """Flush within `timeout` seconds (default `exit_flush`) and let go of the connections; True if all is sent."""
        _open_clients.discard(self)
        deadline = time.monotonic() + (self._exit_flush if timeout is None else timeout)
        with self._receipts.hurried():
            told = self._queue.close(deadline)
            returned = self._receipts.close(deadline)
        self._route.close()
        self._report.close()
        return told and returned

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _next_turn(self, asked: Mapping[str, Any], session: str, fallback: str | None) -> RouteReply:
        pin = self._sessions.pin(session, asked.get("idempotency_key"))
        try:
            reply = self._answered(asked, pin, fallback)
        except RouteError as refused:
            if pin is None or refused.code != "invalid_pin":
                raise
            # The key that signed it is retired: the session begins anew, rather than being refused from now on.
            self._sessions.forget(session)
            reply = self._answered(asked, None, fallback)
        if reply.session_pin is not None:
            self._sessions.keep(session, reply.session_pin)
        return reply

    def _answered(self, asked: Mapping[str, Any], pin: str | None, fallback: str | None) -> RouteReply:
        document = {**asked, "pin": pin} if pin is not None else asked
        body = json.dumps(document, separators=(",", ":")).encode()
        try:
            status, content = self._post(self._route, "/v1/route", body)
        except (OSError, HTTPException) as problem:
            raise RouteUnavailable(f"{type(problem).__name__}: {problem}".rstrip(": "), fallback) from problem
        self._carry(content)
        return read_reply(status, content)

    def _post(self, transport: Transport, path: str, body: bytes) -> Response:
        whole_path = transport.prefix + path
        headers = self._credentials.headers(transport.origin, whole_path, body, self._clock())
        return transport.post(whole_path, body, headers)

    def _carry(self, content: bytes) -> None:
        """Queue the receipt that a reply, or a refusal with its reasons, may bring along."""
        found = _CARRIED.search(content) if self._carries else None
        if found:
            self._receipts.put(found[1])

    def _renew(self) -> None:
        # Closing the child's copies does not end the parent's connections: nothing is sent on them.
        self._route.let_go()
        self._report.let_go()
        self._queue.renew()
        self._receipts.renew()
        self._sessions.renew()


# INVARIANT: weak, so that a client nobody holds is not kept alive until the process ends.
_open_clients: weakref.WeakSet[Client] = weakref.WeakSet()


def _close_all() -> None:
    for client in list(_open_clients):
        client.close()


def _renew_all() -> None:
    for client in list(_open_clients):
        client._renew()


atexit.register(_close_all)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_all)
