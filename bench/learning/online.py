"""One router on a stream of calls whose outcomes come back late; shared by the simulated and the recorded worlds."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from itertools import count
from typing import Protocol

from policy_lang.envelope import Envelope


@dataclass(frozen=True, slots=True)
class Call:
    """One request as a router sees it. `arms`: what may serve now."""

    number: int
    at_ms: int
    envelope: Envelope
    arms: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a call. quality in 0..1, `graded` where it is more than right or wrong; tokens None if unknown."""

    quality: float
    cost_nanodollars: int
    latency_ms: int
    input_tokens: int | None = None
    output_tokens: int | None = None
    graded: bool = False
    provider_fault: bool = False


class Router(Protocol):
    """A policy that chooses an arm for each call and hears of outcomes in the order in which they arrive."""

    name: str

    def choose(self, call: Call) -> str: ...

    def learn(self, call: Call, arm: str, outcome: Outcome) -> None: ...


Answer = Callable[[Call, str], Outcome]


def play(router: Router, calls: Sequence[Call], answer: Answer, seed: int) -> list[str]:
    """Serve every call; the arms that served. An outcome reaches the router its latency and a reporting delay later."""
    order, served = count(), list[str]()
    late: list[tuple[int, int, Call, str, Outcome]] = []
    for call in calls:
        while late and late[0][0] <= call.at_ms:
            *_, known, tried, came = heapq.heappop(late)
            router.learn(known, tried, came)
        arm = router.choose(call)
        outcome = answer(call, arm)
        arrives = call.at_ms + outcome.latency_ms + reporting_delay_ms(seed, call.number)
        heapq.heappush(late, (arrives, next(order), call, arm, outcome))
        served.append(arm)
    return served


def reporting_delay_ms(seed: int, number: int) -> int:
    """Time from the end of a call to its outcome's arrival: 1 s in the median, one in ten above 9 s, at most 1 min."""
    share = int.from_bytes(sha256(f"delay {seed} {number}".encode()).digest()[:4]) / 2**32
    return min(60_000, int(1_000 * share / (1 - share + 1e-9)))
