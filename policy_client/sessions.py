"""Pins of sessions between their turns: a caller names the session, the client carries what keeps it on its model."""

from __future__ import annotations

import threading
from collections import OrderedDict

from policy_lang.frozen import frozen

__all__ = ["Sessions"]


@frozen
class _Turn:
    """Where a session stands: its pin, and the idempotency key of its latest turn with the pin that was sent then."""

    pin: str | None = None
    key: str | None = None
    sent: str | None = None


class Sessions:
    """At most `capacity` sessions, those asked for least recently forgotten first: they are decided anew."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._turns: OrderedDict[str, _Turn] = OrderedDict()
        self.renew()

    def pin(self, session: str, key: str | None) -> str | None:
        """The pin to send. A turn that is repeated under its key sends what it sent before: it is the same request."""
        with self._turn:
            last = self._turns.get(session, _Turn())
            if key is not None and last.key == key:
                return last.sent
            self._put(session, _Turn(last.pin, key, last.pin))
            return last.pin

    def keep(self, session: str, pin: str) -> None:
        """Remember the pin of a reply. A reply without one (an explored model is not pinned) ends no session."""
        with self._turn:
            last = self._turns.get(session, _Turn())
            self._put(session, _Turn(pin, last.key, last.sent))

    def forget(self, session: str) -> None:
        with self._turn:
            self._turns.pop(session, None)

    def renew(self) -> None:
        """After a fork: another thread may have held the lock, and is not here to let it go."""
        self._turn = threading.Lock()

    def _put(self, session: str, turn: _Turn) -> None:
        self._turns[session] = turn
        self._turns.move_to_end(session)
        if len(self._turns) > self._capacity:
            self._turns.popitem(last=False)
