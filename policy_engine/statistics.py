"""Decayed counts of one (tenant, cluster, arm), as sums that only ever grow, so that updates are pure ADD.

Forward decay (Cormode, Shkapenyuk, Srivastava, Xu, "Forward Decay", ICDE 2009): an event of age a against landmark L
has weight g(t - L); weights are never rewritten, readers divide by g(now - L). With g integer and the event's time the
DECISION's, additions commute: late, reordered and batched deliveries end in the same state.
Half-life 7 days in 16 ticks; a new landmark (epoch) every 48 half-lives keeps a sum below DynamoDB's 38 digits.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from policy_engine.wire import TelemetryRecord
from policy_lang.frozen import frozen
from policy_lang.vocabulary import OUTCOMES

__all__ = [
    "EPOCH_TICKS",
    "HALF_LIFE_MS",
    "CellRow",
    "Sums",
    "decay_weight",
    "epoch_of",
    "merge_sums",
    "outcome_sums",
    "quality_sums",
]

HALF_LIFE_MS = 7 * 24 * 3600 * 1000
TICKS_PER_HALF_LIFE = 16
TICK_MS = HALF_LIFE_MS // TICKS_PER_HALF_LIFE
HALF_LIVES_PER_EPOCH = 48
EPOCH_TICKS = TICKS_PER_HALF_LIFE * HALF_LIVES_PER_EPOCH
# round(2^(16 + i/16)); written out because a libm power may differ in the last bit between platforms.
_TABLE = (
    65536, 68438, 71468, 74632, 77936, 81386, 84990, 88752,
    92682, 96785, 101070, 105545, 110218, 115098, 120194, 125515,
)  # fmt: skip

#: Attribute name -> integer increment. Decayed: n weight of floor-relevant outcomes, s of successes, qn/q weight and
#: weight x ppm of reported qualities, tn/ti/to weight, input and output tokens, tr/tw cached reads and writes among
#: the input, ln/l weight and ms of latency, h<k>/g<k> weight of latencies / TTFTs of k bits, that is in
#: [2^(k-1), 2^k) ms. Raw: c floor-relevant outcomes, w successes among them, p provider faults, x context windows that
#: were too small among those, b faults after which the route wanted the arm's breaker open, k nano-dollars of every
#: outcome's call, whoever was at fault (`settlement` adds it: the price is the decision's).
Sums = dict[str, int]


@frozen
class CellRow:
    """One stored statistics item."""

    cluster: str
    task: str
    arm: str
    generation: int
    epoch: int
    sums: Mapping[str, int]


def epoch_of(at_ms: int) -> int:
    """Landmark generation that holds a moment (milliseconds since 1970)."""
    return at_ms // TICK_MS // EPOCH_TICKS


def decay_weight(at_ms: int) -> int:
    """g(at - landmark of its epoch): doubles every half-life, at most 2^64."""
    tick = at_ms // TICK_MS % EPOCH_TICKS
    return _TABLE[tick % TICKS_PER_HALF_LIFE] << (tick // TICKS_PER_HALF_LIFE)


def outcome_sums(record: TelemetryRecord, at_ms: int, trips: Collection[str] = ()) -> Sums:
    """What the outcome of one hop adds to its cell; caller faults add nothing, provider faults only raw counts and
    latency. `trips`: outcomes after which the route says `open breaker`; a context window that was too small never
    opens one.
    """
    assert record.outcome is not None
    weight = decay_weight(at_ms)
    fault = OUTCOMES[record.outcome]
    if fault == "caller":
        return {}
    sums: Sums = {}
    if fault == "provider":
        sums["p"] = 1
        if record.outcome == "context_window":
            sums["x"] = 1
    else:
        won = fault == "none"
        sums |= {"c": 1, "w": int(won), "n": weight, "s": weight if won else 0}
        if record.input_tokens is not None and record.output_tokens is not None:
            sums |= {"tn": weight, "ti": weight * record.input_tokens, "to": weight * record.output_tokens}
            if record.cached_read_tokens:
                sums["tr"] = weight * record.cached_read_tokens
            if record.cached_write_tokens:
                sums["tw"] = weight * record.cached_write_tokens
    if record.outcome in trips and record.outcome != "context_window":
        sums["b"] = 1
    if record.latency_ms is not None:
        sums |= {"ln": weight, "l": weight * record.latency_ms, f"h{record.latency_ms.bit_length()}": weight}
    if record.ttft_ms is not None:
        sums[f"g{record.ttft_ms.bit_length()}"] = weight
    return sums


def quality_sums(quality_ppm: int, at_ms: int) -> Sums:
    """What a reported quality adds to its cell."""
    weight = decay_weight(at_ms)
    return {"qn": weight, "q": weight * quality_ppm}


def merge_sums(parts: Iterable[Mapping[str, int]]) -> Sums:
    """Add increments up by name."""
    total: Sums = {}
    for part in parts:
        for name, value in part.items():
            total[name] = total.get(name, 0) + value
    return total
