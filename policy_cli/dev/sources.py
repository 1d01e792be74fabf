"""Event source mappings: messages from a queue to a function, in the batches and with the promises of the template."""

from __future__ import annotations

import threading
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from policy_cli.dev.events import queue_event
from policy_cli.dev.template import Source

__all__ = ["DEPTH_LIMIT", "Poller", "depth"]

#: moto's queues get slow with every waiting message: whoever would add to more than this works them off first.
DEPTH_LIMIT = 40
_RECEIVED = 10
_TICK_S = 0.1

Message = Mapping[str, Any]


def depth(sqs: Any, url: str) -> int:
    """How many messages could be received now."""
    answer = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["ApproximateNumberOfMessages"])
    return int(answer["Attributes"]["ApproximateNumberOfMessages"])


class Poller:
    """One mapping. `invoke` is called with an event and returns what the function returned.

    INVARIANT: a message is deleted only after the function has returned without naming it as failed.
    """

    def __init__(self, source: Source, sqs: Any, url: str, invoke: Callable[[Mapping[str, Any]], Any]) -> None:
        self.source = source
        self._sqs = sqs
        self._url = url
        self._invoke = invoke

    def depth(self) -> int:
        return depth(self._sqs, self._url)

    def drain(self, *, retry: bool) -> int:
        """Deliver until nothing is left to receive; how many were delivered, each time counted.

        retry: failed messages come again at once, up to the queue's limit of receives, and then are in its dead-letter
        queue. Otherwise they come again when their visibility time-out is over, as in AWS.
        """
        delivered = 0
        while batch := self._received():
            failed = self._failed(batch)
            self._delete([message for message in batch if message["MessageId"] not in failed])
            if retry:
                self._release([message for message in batch if message["MessageId"] in failed])
            delivered += len(batch)
        return delivered

    def run(self, turn: threading.RLock, stop: threading.Event) -> None:
        """Deliver until `stop`: when a batch is full, or when its first message has waited for the mapping's window."""
        since: float | None = None
        while not stop.wait(_TICK_S):
            with turn:
                waiting = self.depth()
                now = time.monotonic()
                since = (now if since is None else since) if waiting else None
                if since is not None and (waiting >= self.source.batch_size or now - since >= self.source.window_s):
                    self.drain(retry=False)
                    since = None

    def _received(self) -> list[Message]:
        batch: list[Message] = []
        while (room := self.source.batch_size - len(batch)) > 0:
            answer = self._sqs.receive_message(
                QueueUrl=self._url,
                MaxNumberOfMessages=min(room, _RECEIVED),
                MessageSystemAttributeNames=["All"],
                WaitTimeSeconds=0,
            )
            received = answer.get("Messages", [])
            if not received:
                break
            batch += received
        return batch

    def _failed(self, batch: Sequence[Message]) -> set[str]:
        """Ids of the messages to deliver again: all of them if the function raised, or named one that is not there."""
        everything = {message["MessageId"] for message in batch}
        try:
            answer = self._invoke(queue_event(self._url.rpartition("/")[2], batch))
        except Exception:  # noqa: BLE001 - as in AWS, a function that raises has its batch delivered again
            traceback.print_exc()
            return everything
        if not self.source.reports_failures:
            return set()
        named = {failure["itemIdentifier"] for failure in (answer or {}).get("batchItemFailures", ())}
        return named if named <= everything else everything

    def _delete(self, messages: Iterable[Message]) -> None:
        for entries in _entries(messages):
            self._sqs.delete_message_batch(QueueUrl=self._url, Entries=entries)

    def _release(self, messages: Iterable[Message]) -> None:
        for entries in _entries(messages):
            now = [{**entry, "VisibilityTimeout": 0} for entry in entries]
            self._sqs.change_message_visibility_batch(QueueUrl=self._url, Entries=now)


def _entries(messages: Iterable[Message]) -> Iterator[list[dict[str, Any]]]:
    entries = [{"Id": str(at), "ReceiptHandle": each["ReceiptHandle"]} for at, each in enumerate(messages)]
    for start in range(0, len(entries), _RECEIVED):
        yield entries[start : start + _RECEIVED]
