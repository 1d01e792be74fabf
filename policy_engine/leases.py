"""Leases: how many environments spend from one account without asking it about every call, and never grant too much.

The ledger holds one number an account and period: what all environments together have taken. An environment renews by
adding, in one unconditional addition, what it spent beyond its lease and what it wants next; what comes back, less its
own part, is what the others have taken. An addition that is lost on its way back is taken for the others': that strands
a slice, and never grants one twice.

INVARIANT: over all environments, what was spent within leases and what may still be is at most the limit, in whatever
order they renew and whichever of them die.
"""

from __future__ import annotations

from dataclasses import replace
from enum import IntEnum

from policy_lang.frozen import frozen

__all__ = ["RENEW_MS", "Lease", "Need", "asked", "need", "opened", "renewed"]

#: How long a slice is meant to last, and how old what is known of the others may get while somebody asks.
RENEW_MS = 30_000
#: The first slice is this part of the limit; from then on it follows what is spent.
_FIRST_PART = 4_096
#: Of what is left no slice takes more than this part, so that the last of it is shared, in first slices at the end.
_SHARED_PART = 4
#: A lease is low with this part of its slice left.
_LOW_PART = 4


class Need(IntEnum):
    """Whether a lease must be renewed before it is spent from: SOON may wait for a cheaper moment."""

    NONE = 0
    SOON = 1
    NOW = 2


@frozen
class Lease:
    """One environment's part of an account in one period, in the account's unit.

    granted: all it has taken of the ledger. spent: all it has spent, which the last call may have pushed beyond
    `granted`. others: what everybody else had taken at the last renewal. slice: what it then took ahead.
    """

    slice: int
    granted: int = 0
    spent: int = 0
    others: int = 0
    spent_then: int = 0
    renewed_ms: int | None = None

    @property
    def unspent(self) -> int:
        return self.granted - self.spent

    @property
    def used(self) -> int:
        """Of the account, by all: what others hold counts as used."""
        return self.others + self.spent

    def charged(self, amount: int) -> Lease:
        return replace(self, spent=self.spent + amount)


def opened(limit: int, before: Lease | None = None) -> Lease:
    """The lease of a new period, of the size that the last one had come to."""
    return Lease(before.slice if before else _first(limit))


def need(lease: Lease, limit: int, now_ms: int) -> Need:
    """How urgent a renewal is. `limit` is what the account grants, less what telemetry found calls to cost beyond
    what was expected of them.

    An account that is used up is looked at again as often as any other: its verdict stands meanwhile.
    """
    if lease.renewed_ms is None:
        return Need.NOW
    left = limit - lease.used > 0
    if left and lease.unspent <= 0:
        return Need.NOW
    low = left and _LOW_PART * lease.unspent <= lease.slice
    return Need.SOON if low or abs(now_ms - lease.renewed_ms) > RENEW_MS else Need.NONE


def asked(lease: Lease, limit: int, now_ms: int) -> tuple[int, int]:
    """The next slice, and what to add to the ledger for it: less than nothing where too much is held.

    A slice follows the spending of `RENEW_MS`, by a factor of two at most each time.
    """
    slice_ = lease.slice
    if lease.renewed_ms is not None:
        elapsed = max(1, abs(now_ms - lease.renewed_ms))
        pace = (lease.spent - lease.spent_then) * RENEW_MS // elapsed
        shared = max(_first(limit), (limit - lease.used) // _SHARED_PART)
        slice_ = max(1, min(2 * slice_, max(slice_ // 2, pace), shared))
    return slice_, slice_ - lease.unspent


def renewed(lease: Lease, slice_: int, added: int, total: int, now_ms: int) -> Lease:
    """The lease after the ledger came to `total` by adding `added`."""
    granted = lease.granted + added
    others = max(0, total - granted)
    return Lease(slice_, granted, lease.spent, others, lease.spent, now_ms)


def _first(limit: int) -> int:
    return max(1, limit // _FIRST_PART)
