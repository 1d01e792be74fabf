"""The time that events carry. Handlers know no other, so a stack may live on any clock."""

from __future__ import annotations

import threading
import time

__all__ = ["VirtualClock", "wall_clock"]


def wall_clock() -> int:
    """Milliseconds since 1970."""
    return time.time_ns() // 1_000_000


class VirtualClock:
    """Stands still until it is moved; read from any thread."""

    def __init__(self, now_ms: int) -> None:
        self._now_ms = now_ms
        self._moving = threading.Lock()

    def __call__(self) -> int:
        return self._now_ms

    def advance(self, ms: int) -> None:
        with self._moving:
            self._now_ms += ms

    def set(self, now_ms: int) -> None:
        with self._moving:
            self._now_ms = now_ms
