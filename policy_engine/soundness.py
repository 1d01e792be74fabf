"""Which stored statistics can be believed. A row that cannot is left out of the snapshot and counted by its reason.

Leaving a row out is the safe side: the arm falls back on what its task and tenant say of it, so it proves less, never
more. What the rows hold comes from signed tokens and checked records, so an unsound row is a fault worth an alert.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from policy_engine.statistics import HALF_LIVES_PER_EPOCH, CellRow, decay_weight, epoch_of
from policy_engine.wire import MAX_COUNT
from policy_lang.ir import PPM

__all__ = ["CLOCK_SKEW_MS", "sifted", "unsound"]

#: How far apart honest clocks may be: five minutes, as for signed requests.
CLOCK_SKEW_MS = 300_000
#: DynamoDB's numbers have 38 digits; one that grew beyond has lost its tail.
_TOO_LARGE = 10**38
#: Outcomes of one arm in one cell: more than a thousand a second for three years.
_MOST_OUTCOMES = 10**11
# A weighted sum and what must stand beside it; the writer adds them together.
_TOGETHER = {"c": ("n", "s"), "n": ("c", "s"), "tn": ("ti", "to"), "qn": ("q",), "ln": ("l",)}
_TOTALS = dict.fromkeys(("ti", "to", "tr", "tw"), ("tn", MAX_COUNT)) | {
    "s": ("n", 1),
    "tn": ("n", 1),
    "q": ("qn", PPM),
    "w": ("c", 1),
    "x": ("p", 1),
    "l": ("ln", MAX_COUNT),
}
_MOST_BITS = MAX_COUNT.bit_length()


def sifted(rows: Iterable[CellRow], now_ms: int) -> tuple[list[CellRow], dict[str, int]]:
    """The rows that can be believed, and how many cannot, by reason."""
    sound, unsound_rows = [], Counter[str]()
    for row in rows:
        reason = unsound(row, now_ms)
        if reason is None:
            sound.append(row)
        else:
            unsound_rows[reason] += 1
    return sound, dict(sorted(unsound_rows.items()))


def unsound(row: CellRow, now_ms: int) -> str | None:
    """Why a row cannot be believed; None where it can.

    not_an_integer, negative, overflow, missing_sum (half of a pair), impossible_sum (more successes than outcomes,
    calls longer than any record may say, and the like), from_the_future (outcomes that weigh more than ones of this
    moment). Unknown names are a newer writer's.

    INVARIANT: what is left fits an `Estimate`; a snapshot that could not be read back would stop its tenant.
    """
    numbers = (row.generation, row.epoch, *row.sums.values())
    if not all(type(number) is int for number in numbers):
        return "not_an_integer"
    if min(numbers) < 0:
        return "negative"
    if max(numbers) >= _TOO_LARGE or row.sums.get("c", 0) > _MOST_OUTCOMES:
        return "overflow"
    return _unsound_sums(row.sums) or ("from_the_future" if _ahead(row, now_ms + CLOCK_SKEW_MS) else None)


def _unsound_sums(sums: Mapping[str, int]) -> str | None:
    for name, others in _TOGETHER.items():
        if sums.get(name, 0) and any(other not in sums for other in others):
            return "missing_sum"
    for name, (bound, ratio) in _TOTALS.items():
        if sums.get(name, 0) > sums.get(bound, 0) * ratio:
            return "impossible_sum"
    return "impossible_sum" if any(map(_beyond_any_call, sums)) else None


def _beyond_any_call(name: str) -> bool:
    """Whether a sum is of a bucket of times that no record can have."""
    return name[:1] in ("h", "g") and name[1:].isdecimal() and int(name[1:]) > _MOST_BITS


def _ahead(row: CellRow, now_ms: int) -> bool:
    """Whether outcomes weigh more, relative to the landmark of now, than as many that were all decided now."""
    ahead = row.epoch - epoch_of(now_ms)
    if ahead > 1:
        return True
    # Within one epoch of another landmark a weight is the same number times 2^48.
    weight = row.sums.get("n", 0) << (HALF_LIVES_PER_EPOCH if ahead == 1 else 0)
    return ahead >= 0 and weight > row.sums.get("c", 0) * decay_weight(now_ms)
