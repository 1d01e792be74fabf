"""Circuit breakers: an arm whose provider keeps failing is left out, and let back in by a few probing calls.

`watch` advances them from raw counters of the statistics, so a report that is seen twice changes nothing; `decide`
reads them. Closed, open, half open (M. Nygard, "Release It!", 2007, ch. 5). What feeds them is provider faults except a
context window that was too small, which says something of the call and nothing of the provider.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace

from policy_engine.draws import draw_ppm
from policy_engine.statistics import CellRow
from policy_lang.frozen import frozen
from policy_lang.ir import PPM

__all__ = [
    "LONGEST_COOL_DOWN_MS",
    "PROBE_PPM",
    "SHORTEST_COOL_DOWN_MS",
    "Breaker",
    "Counts",
    "Pulse",
    "advanced",
    "let_through",
    "standing",
    "totals",
]

#: A breaker is judged by about so much time, or by so many calls where that brings fewer; and the share of faults that
#: opens. Calls and share are Hystrix' defaults (circuitBreaker.requestVolumeThreshold, errorThresholdPercentage), the
#: time keeps looks that come every few seconds from opening on a fault that lasts as long (bench/breakers.py).
WINDOW_MS = 45_000
WINDOW_CALLS = 20
OPENING_PPM = 500_000
#: Fewer faults than this are chance: Envoy's outlier detection ejects after as many (consecutive_5xx).
LEAST_FAULTS = 5
#: Where the route says `open breaker`, one fault is enough, if that is not a rare one among many calls.
STRICT_PPM = 100_000
#: Twice as long after every probe that failed. Envoy begins at 30 s and ends at 300 s; looks come every 15 to 60 s.
SHORTEST_COOL_DOWN_MS = 60_000
LONGEST_COOL_DOWN_MS = 16 * 60_000
#: Share of calls that may serve an arm that is half open, and good outcomes that close it.
PROBE_PPM = 100_000
CLOSING_SUCCESSES = 3


@frozen
class Counts:
    """Calls that reached for an arm, provider faults among them, and faults that the route wanted to open at once."""

    calls: int = 0
    faults: int = 0
    strict: int = 0


@frozen
class Pulse:
    """An arm's counters as last seen, the recent calls that a closed breaker is judged by, and when that was."""

    seen: Counts
    recent: Counts
    at_ms: int


@frozen
class Breaker:
    """Open from `opened_ms` to `until_ms`, half open from then on; `good` and `bad` calls since it is."""

    opened_ms: int
    until_ms: int
    good: int = 0
    bad: int = 0

    @property
    def cool_down_ms(self) -> int:
        return self.until_ms - self.opened_ms


def totals(rows: Iterable[CellRow]) -> dict[str, Counts]:
    """What the statistics have counted of each arm, in every cell, generation and epoch."""
    sums: dict[str, list[int]] = defaultdict(lambda: [0, 0, 0])
    for row in rows:
        faults = row.sums.get("p", 0) - row.sums.get("x", 0)
        of_row = (row.sums.get("c", 0) + faults, faults, row.sums.get("b", 0))
        sums[row.arm] = [before + more for before, more in zip(sums[row.arm], of_row, strict=True)]
    return {arm: Counts(*found) for arm, found in sorted(sums.items())}


def advanced(
    pulses: Mapping[str, Pulse], breakers: Mapping[str, Breaker], found: Mapping[str, Counts], now_ms: int
) -> tuple[dict[str, Pulse], dict[str, Breaker]]:
    """Pulses and breakers after a look at the counters. Counters that fall are an older look's and count as no news."""
    beating, standing_now = dict(pulses), dict(breakers)
    for arm, now in found.items():
        before = pulses.get(arm, Pulse(Counts(), Counts(), now_ms))
        seen = Counts(*map(max, _numbers(before.seen), _numbers(now)))
        new = Counts(*(after - then for after, then in zip(_numbers(seen), _numbers(before.seen), strict=True)))
        if new == Counts():
            continue
        recent = _recent(before.recent, new, now_ms - before.at_ms)
        breaker = breakers.get(arm)
        if breaker is None:
            after = Breaker(now_ms, now_ms + SHORTEST_COOL_DOWN_MS) if _opens(recent) else None
        else:
            after, recent = _probed(breaker, new, now_ms), Counts()
        standing_now.pop(arm, None)
        if after is not None:
            standing_now[arm], recent = after, Counts()
        beating[arm] = Pulse(seen, recent, now_ms)
    return dict(sorted(beating.items())), dict(sorted(standing_now.items()))


def standing(
    breakers: Mapping[str, Breaker], fallback: Iterable[str], now_ms: int
) -> tuple[frozenset[str], frozenset[str]]:
    """Arms whose breaker is open and arms whose breaker is half open.

    Where that holds for all of a policy's fallback list, its first arm is neither: a last resort that may fail is
    better than an answer that cannot be anything else (Envoy's panic threshold).
    """
    if not breakers:
        return frozenset(), frozenset()
    held = frozenset(breakers)
    reserve = tuple(fallback)
    if held.issuperset(reserve):
        held -= {reserve[0]}
    half_open = frozenset(arm for arm in held if now_ms >= breakers[arm].until_ms)
    return held - half_open, half_open


def let_through(
    breakers: frozenset[str], half_open: frozenset[str], reachable: Collection[str], decision_id: str
) -> tuple[frozenset[str], int]:
    """Arms left out of one decision, and the probability (ppm) of what the draws let through.

    Each half-open arm that the decision could reach is drawn on its own; the others shape nothing.
    """
    left_out, odds = breakers, PPM
    for arm in sorted(half_open.intersection(reachable)):
        if draw_ppm(decision_id, f"probe {arm}") < PROBE_PPM:
            odds = odds * PROBE_PPM // PPM
        else:
            left_out, odds = left_out | {arm}, odds * (PPM - PROBE_PPM) // PPM
    return left_out, odds


def _numbers(counts: Counts) -> tuple[int, int, int]:
    return counts.calls, counts.faults, counts.strict


def _recent(before: Counts, new: Counts, elapsed_ms: int) -> Counts:
    """The newest calls: all of this look's, and of the older ones, in proportion, what is left of the window, or more
    where that does not come to twenty calls.
    """
    if before.calls == 0:
        return new
    left = (WINDOW_MS - min(WINDOW_MS, max(0, elapsed_ms))) * PPM // WINDOW_MS
    share = max(left, min(PPM, max(0, WINDOW_CALLS - new.calls) * PPM // before.calls))
    return Counts(
        *((old * share + PPM // 2) // PPM + more for old, more in zip(_numbers(before), _numbers(new), strict=True))
    )


def _opens(recent: Counts) -> bool:
    by_share = recent.faults >= LEAST_FAULTS and recent.faults * PPM >= recent.calls * OPENING_PPM
    return by_share or (recent.strict > 0 and recent.strict * PPM >= recent.calls * STRICT_PPM)


def _probed(breaker: Breaker, new: Counts, now_ms: int) -> Breaker | None:
    """A breaker after some outcomes; None once it closes. Before its time they belong to calls of earlier decisions."""
    if now_ms < breaker.until_ms:
        return breaker
    bad = breaker.bad + max(new.faults, new.strict)
    good = breaker.good + max(0, new.calls - max(new.faults, new.strict))
    if bad and bad >= good:
        longer = min(LONGEST_COOL_DOWN_MS, 2 * breaker.cool_down_ms)
        return Breaker(now_ms, now_ms + longer)
    return None if good >= CLOSING_SUCCESSES else replace(breaker, good=good, bad=bad)
