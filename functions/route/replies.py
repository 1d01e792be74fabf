"""Replies given under an idempotency key: the same key and request get the same reply for a day, another request none.

A refusal is not kept: it grants nothing, and what refused it (a budget, a breaker) may stand no longer when the same
key asks again.

Only requests with a key pay for it: one read before anything is decided, one conditional write once the receipt is
durable. Of two that decide at the same time the first to write wins, and both give its reply; the loser's decision is
charged to nothing, and what it leaves is a receipt that nobody acts on. While the ledger cannot be reached a request
with a key is answered like one without.
"""

from __future__ import annotations

import json
import zlib
from dataclasses import replace
from hashlib import sha256
from http import HTTPStatus

from functions.function_url import Reply, refusal
from functions.stores.errors import StoreError
from functions.stores.ledger import Answered, Ledger
from policy_engine.decision import Circumstances
from policy_engine.wire import RequestError, RouteRequest, conflict

__all__ = ["Replies"]

_DOOR = "route"


class Replies:
    """The replies of the ledger."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def given(self, tenant: str, wanted: RouteRequest, now_ms: int) -> Reply | None:
        """What was answered to this request before; RequestError 409 where its key came with another request."""
        if wanted.idempotency_key is None:
            return None
        try:
            found = self._ledger.answered(tenant, _DOOR, wanted.idempotency_key, now_ms)
        except StoreError:
            return None
        return None if found is None else _again(found, _digest(wanted), tenant)

    def keep(self, now: Circumstances, wanted: RouteRequest, reply: Reply) -> tuple[Reply, bool]:
        """Keep what was served under the request's key. The reply to give, and whether it is this one: where another
        won, the log names the decision that nobody was told of.
        """
        if wanted.idempotency_key is None or reply.status != HTTPStatus.OK:
            return reply, True
        mine = Answered(_digest(wanted), reply.status, now.now_ms, zlib.compress(reply.text.encode()))
        try:
            kept = self._ledger.answer(now.tenant, _DOOR, wanted.idempotency_key, mine)
        except StoreError as outage:
            return replace(reply, facts={**reply.facts, "idempotency": outage.code}), True
        if kept is mine:
            return reply, True
        try:
            winner = _again(kept, mine.digest, now.tenant)
        except RequestError as refused:
            winner = refusal(refused.status, refused.code, str(refused))
        return replace(winner, facts={"tenant": now.tenant, **winner.facts, "unanswered": now.decision_id}), False


def _again(answered: Answered, digest: str, tenant: str) -> Reply:
    if answered.digest != digest:
        raise conflict()
    text = zlib.decompress(answered.body).decode()
    return Reply(answered.status, text, {"tenant": tenant, "idempotency": "replayed"}, {"Replayed": 1})


def _digest(wanted: RouteRequest) -> str:
    """Of what was asked for as admitted: spelling, order and spaces do not matter, the pin that is carried does."""
    document = wanted.document()
    del document["idempotency_key"]
    # Not canonical JSON: an inline policy is not admitted yet, and may hold what has no canonical form.
    return sha256(json.dumps({**document, "pin": wanted.pin}, sort_keys=True).encode()).hexdigest()
