"""A bounded memory of what was read, and when: the only kind of state that outlives a request."""

from __future__ import annotations

from typing import Generic, TypeVar

__all__ = ["Recent"]

K = TypeVar("K")
V = TypeVar("V")


class Recent(Generic[K, V]):
    """The `size` most recently used values by key. Threads may share it: a lost race costs one read."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._held: dict[K, V] = {}

    def get(self, key: K) -> V | None:
        value = self._held.pop(key, None)
        if value is not None:
            self._held[key] = value
        return value

    def put(self, key: K, value: V) -> V:
        self._held.pop(key, None)
        self._held[key] = value
        while len(self._held) > self._size:
            self._held.pop(next(iter(self._held)), None)
        return value
