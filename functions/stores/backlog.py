"""Queues seen from outside: what waits in one without taking it, and dead letters on their way back.

SQS has no way to look: receiving is the only reading. So a message is hidden for a moment and shown again at once. On a
queue that moves messages to a dead-letter queue each look is one of its receives (the template allows five), and while
it is hidden no function gets it; on a dead-letter queue looking has no effect.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from functions.stores.errors import reaching
from functions.stores.queues import Queue
from policy_lang.frozen import frozen

if TYPE_CHECKING:
    from types_boto3_sqs.client import SQSClient

__all__ = ["Backlog", "Depth", "Letter"]

_CODE = "queue_unavailable"
_HIDDEN_S = 60
_RECEIVED = 10
_DEPTHS = (
    "ApproximateNumberOfMessages",
    "ApproximateNumberOfMessagesNotVisible",
    "ApproximateNumberOfMessagesDelayed",
)


@frozen
class Depth:
    """How many messages wait, are being worked on, and are held back; SQS calls these approximate."""

    waiting: int
    in_work: int
    delayed: int

    def __bool__(self) -> bool:
        return bool(self.waiting or self.in_work or self.delayed)


@frozen
class Letter:
    """A message that was looked at. `reason`: why a function set it aside; None where SQS did, after too many tries."""

    message_id: str
    body: str
    reason: str | None
    handle: str


class Backlog:
    """One queue. `wait_s`: how long a look waits for a first message; 0 may overlook some of few messages in AWS."""

    def __init__(self, sqs: SQSClient, url: str, *, wait_s: int = 1) -> None:
        self._sqs = sqs
        self._url = url
        self._wait_s = wait_s

    def depth(self) -> Depth:
        with reaching(_CODE, "the queue"):
            answer = self._sqs.get_queue_attributes(QueueUrl=self._url, AttributeNames=["All"])
        told: Mapping[Any, str] = answer["Attributes"]
        return Depth(*(int(told.get(name, "0")) for name in _DEPTHS))

    def look(self) -> list[Letter]:
        """Everything that can be received now, each message once; all of it is shown again before this returns."""
        letters: list[Letter] = []
        try:
            letters += self.taken()
        finally:
            self.show(letters)
        return letters

    def taken(self) -> Iterator[Letter]:
        """Message after message, each hidden for a minute from when it was received. Ends when none is left."""
        seen: set[str] = set()
        while received := self._received():
            try:
                while received:
                    letter = received.pop(0)
                    if letter.message_id not in seen:
                        seen.add(letter.message_id)
                        yield letter
            finally:
                self.show(received)

    def show(self, letters: Sequence[Letter]) -> None:
        """Let everybody receive them again, at once."""
        for start in range(0, len(letters), _RECEIVED):
            entries: list[Any] = [
                {"Id": str(position), "ReceiptHandle": letter.handle, "VisibilityTimeout": 0}
                for position, letter in enumerate(letters[start : start + _RECEIVED])
            ]
            with reaching(_CODE, "the queue"):
                self._sqs.change_message_visibility_batch(QueueUrl=self._url, Entries=entries)

    def move(self, letter: Letter, target: Queue) -> None:
        """Send first and delete after: whatever happens in between, the message is in one of the queues, or in both."""
        target.send(letter.body)
        with reaching(_CODE, "the queue"):
            self._sqs.delete_message(QueueUrl=self._url, ReceiptHandle=letter.handle)

    def _received(self) -> list[Letter]:
        with reaching(_CODE, "the queue"):
            answer = self._sqs.receive_message(
                QueueUrl=self._url,
                MaxNumberOfMessages=_RECEIVED,
                VisibilityTimeout=_HIDDEN_S,
                WaitTimeSeconds=self._wait_s,
                MessageAttributeNames=["reason"],
            )
        return [
            Letter(
                message_id=message["MessageId"],
                body=message["Body"],
                reason=_reason(message),
                handle=message["ReceiptHandle"],
            )
            for message in answer.get("Messages", ())
        ]


def _reason(message: Mapping[str, Any]) -> str | None:
    attribute = message.get("MessageAttributes", {}).get("reason")
    return attribute["StringValue"] if attribute else None
