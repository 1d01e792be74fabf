"""SQS queues to send to. Receiving is the event source's work, never ours."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from functions.stores.errors import StoreError, reaching

if TYPE_CHECKING:
    from types_boto3_sqs.client import SQSClient

__all__ = ["DeadLetters", "Queue"]

_BATCH_MESSAGES = 10
_BATCH_BYTES = 256 * 1024
_TRIES = 2
# A reason may quote what it found; SQS refuses control characters, and attributes count towards a message's size.
_REASON_CHARS = 200


class Queue:
    """One queue; `code` names it in errors."""

    def __init__(self, sqs: SQSClient, url: str, code: str) -> None:
        self._sqs = sqs
        self._url = url
        self._code = code

    def send(self, text: str) -> None:
        """Hand one message over; when this returns, SQS holds it."""
        with reaching(self._code, "the queue"):
            self._sqs.send_message(QueueUrl=self._url, MessageBody=text)

    def send_all(self, texts: Sequence[str]) -> None:
        """Hand all messages over, or raise StoreError, after which some may have been and some not."""
        for batch in _batches(texts):
            self._send_batch(batch)

    def _send_batch(self, texts: Sequence[str]) -> None:
        left = dict(enumerate(texts))
        cause = ""
        for _ in range(_TRIES):
            entries: list[Any] = [{"Id": str(position), "MessageBody": text} for position, text in left.items()]
            with reaching(self._code, "the queue"):
                answer = self._sqs.send_message_batch(QueueUrl=self._url, Entries=entries)
            failed = {int(entry["Id"]): entry["Code"] for entry in answer.get("Failed", ())}
            if not failed:
                return
            left = {position: left[position] for position in failed}
            cause = ", ".join(sorted(set(failed.values())))
        raise StoreError(self._code, f"the queue refused {len(left)} messages", cause)


class DeadLetters:
    """The dead-letter queue of an event source. SQS moves a message there in the end, but cannot say why."""

    def __init__(self, sqs: SQSClient, url: str) -> None:
        self._sqs = sqs
        self._url = url

    def take(self, message: Mapping[str, Any], reason: str) -> str | None:
        """Forward a message that can never be worked off, with the attribute `reason`.

        Returns why that was not possible; then the message has to come again, and SQS moves it in the end.
        """
        said = "".join(char if char.isprintable() else "?" for char in reason[:_REASON_CHARS])
        attributes = {"reason": said, "message": message["messageId"]}
        try:
            with reaching("dead_letters_unavailable", "the dead-letter queue"):
                self._sqs.send_message(
                    QueueUrl=self._url,
                    MessageBody=message["body"],
                    MessageAttributes={
                        name: {"DataType": "String", "StringValue": value} for name, value in attributes.items()
                    },
                )
        except StoreError as outage:
            return f"{reason} ({outage.code})"
        return None


def _batches(texts: Sequence[str]) -> Iterator[list[str]]:
    batch: list[str] = []
    room = _BATCH_BYTES
    for text in texts:
        size = len(text.encode())
        if batch and (size > room or len(batch) == _BATCH_MESSAGES):
            yield batch
            batch, room = [], _BATCH_BYTES
        batch.append(text)
        room -= size
    if batch:
        yield batch
