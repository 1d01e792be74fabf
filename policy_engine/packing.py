"""Which decisions keep their markers in one item: those whose ids begin alike, and for how many bits an id itself says.

An id is 48 bits of milliseconds, 76 bits of a hash and, last, its packing: 0 shares with nobody, 15 with the decisions
of the same four seconds, and each step between halves that. So the item of a marker follows from the id alone,
whoever looks for it and whenever. Where an item is full, what did not get in goes one deeper: four more bits, that
is a sixteenth of the time, and of the same millisecond a sixteenth of the hashes.
"""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["WIDEST", "Bucket", "bucket_of", "packed", "packing_for"]

_ID_BITS, _TIME_BITS, _PACKING_BITS = 128, 48, 4
#: The packing of a tenant whose rate is not known: 4,096 ms, for the rare ones gain most, and a burst is spread deeper.
WIDEST = 15
#: Leading bits of packing 1, a quarter of a millisecond; one bit fewer for each step.
_FINEST_BITS = 50
_DEEPER_BITS = 4
#: Markers that an item should hold: with their keys and owners about 0.8 KB, and a write unit is 1 KB.
_WANTED = 12
#: Reports a millisecond that one consumer works off. Beyond, those of one item are spread over ever more batches at
#: the same time, which then conflict: as many fewer are put together.
_ONE_CONSUMER = 1


class Bucket(NamedTuple):
    """The leading `bits` of the ids that share an item, as a number."""

    first: int
    bits: int

    @property
    def width_ms(self) -> int:
        """Milliseconds between the decisions that share it, at most."""
        return 1 << max(0, _TIME_BITS - self.bits)

    @property
    def own(self) -> bool:
        """Whether it is one decision's alone: then it cannot be full, for the hops of a decision are few."""
        return self.bits == _ID_BITS - _PACKING_BITS

    def rest(self, decision_id: str) -> str:
        """What tells a decision from the others in the bucket."""
        return f"{int(decision_id, 16) & self._mask:x}"

    def decision_id(self, rest: str) -> str:
        """The inverse of `rest`."""
        return f"{self.first << (_ID_BITS - self.bits) | int(rest, 16):032x}"

    @property
    def _mask(self) -> int:
        return (1 << (_ID_BITS - self.bits)) - 1


def bucket_of(decision_id: str, depth: int = 0) -> Bucket:
    """The bucket of a decision, or the one `depth` below it."""
    packing = int(decision_id[-1], 16)
    bits = _FINEST_BITS + 1 - packing + _DEEPER_BITS * depth
    if packing == 0 or bits > _ID_BITS - _PACKING_BITS:
        bits = _ID_BITS - _PACKING_BITS
    return Bucket(int(decision_id, 16) >> (_ID_BITS - bits), bits)


def packed(decision_id: str, packing: int) -> str:
    """`decision_id` with the packing it is to be found by."""
    return f"{decision_id[:-1]}{packing:x}"


def packing_for(reports: int, elapsed_ms: int) -> int:
    """The packing under which an item holds about a dozen markers of a tenant that had `reports` in `elapsed_ms`; the
    widest where nothing is known.
    """
    if reports <= 0 or elapsed_ms <= 0:
        return WIDEST
    consumers = max(1, reports // (_ONE_CONSUMER * elapsed_ms))
    if _WANTED // consumers < 2:
        return 0
    # Packing p spans 2^p eighths of a millisecond.
    eighths = 8 * (_WANTED // consumers) * elapsed_ms // reports
    return min(WIDEST, max(1, eighths.bit_length() - 1))
