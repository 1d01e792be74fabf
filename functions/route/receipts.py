"""Where a receipt goes before its reply leaves: the queue, or else the spool that `watch` empties into it."""

from __future__ import annotations

from collections.abc import Sequence

from functions.stores.errors import StoreError
from functions.stores.messages import RecordLines, pack_lines
from functions.stores.queues import Queue
from functions.stores.records import Spool
from policy_engine.decision import Circumstances
from policy_engine.receipt import ReceiptError, open_sealed, signed_receipt
from policy_engine.token import SigningKeys
from policy_engine.wire import RequestError

__all__ = ["Receipts"]


class Receipts:
    """Makes receipts durable."""

    def __init__(self, queue: Queue, spool: Spool) -> None:
        self._queue = queue
        self._spool = spool

    def keep(self, line: str, now: Circumstances) -> None:
        """Returns once a sealed line is in the queue or the spool; StoreError when neither takes it."""
        self._keep(now.tenant, now.decision_id, now.now_ms, line)

    def take_back(self, tenant: str, carried: Sequence[str], keys: SigningKeys) -> None:
        """Keep what the tenant's callers carried; RequestError, and nothing kept, unless all of it was signed for them.

        What is submitted again is filed again, and readers count a receipt by its decision.
        """
        for decision_id, at_ms, line in [_admitted(tenant, each, at, keys) for at, each in enumerate(carried)]:
            self._keep(tenant, decision_id, at_ms, line)

    def _keep(self, tenant: str, decision_id: str, at_ms: int, line: str) -> None:
        message = pack_lines(RecordLines(tenant, "receipt", at_ms, (line,)))
        try:
            self._queue.send(message)
        except StoreError:
            self._spool.put(tenant, decision_id, message)


def _admitted(tenant: str, carried: str, position: int, keys: SigningKeys) -> tuple[str, int, str]:
    try:
        line = signed_receipt(carried, keys)
        receipt = open_sealed(line)
    except ReceiptError as problem:
        raise RequestError(400, "invalid_receipt", f"receipts[{position}]: {problem}") from None
    if receipt["tenant"] != tenant:
        message = f"receipts[{position}]: it belongs to another tenant; submit it with the credential that asked for it"
        raise RequestError(403, "foreign_receipt", message)
    now = receipt["circumstances"]
    return now["decision_id"], now["now_ms"], line
