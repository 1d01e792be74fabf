"""Ranking: a route's `pick` terms as one lexicographic order over options, ties inside `within` left to the next term.

A tie that outlives every term falls to the lower expected cost, then to the arm id, so that order never depends on
input order.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from policy_engine.candidates import Candidate
from policy_engine.floors import FloorState
from policy_engine.snapshot import Estimate
from policy_lang.ir import PPM, PickTerm

__all__ = ["Option", "ranked", "utility_ppm"]

_UNSEEN = 1 << 50


@dataclass(frozen=True, slots=True, eq=False)
class Option:
    """A surviving candidate with what is believed of it.

    cost: expected, nano-dollars; outcomes: the tenant's, raw. One object an arm and cell, compared by identity.
    """

    candidate: Candidate
    estimate: Estimate
    cost_nanodollars: int
    state: FloorState
    confidence_ppm: int
    outcomes: int

    @property
    def arm(self) -> str:
        return self.candidate.model.arm


def ranked(options: Sequence[Option], terms: tuple[PickTerm, ...]) -> list[Option]:
    """`options` best first: the winner under `terms`, then the winner of the rest, and so on."""
    rest = sorted(options, key=lambda option: (option.cost_nanodollars, option.arm))
    order = []
    while rest:
        tied: Sequence[Option] = rest
        for term in terms:
            tied = _best(tied, term)
        order.append(tied[0])
        rest.remove(tied[0])
    return order


def utility_ppm(option: Option, value_nanodollars: int | None) -> int:
    """Quality minus cost / V, in ppm of one success; quality alone when V is None."""
    if value_nanodollars is None:
        return option.estimate.quality_ppm
    return option.estimate.quality_ppm - option.cost_nanodollars * PPM // max(1, value_nanodollars)


def _best(options: Sequence[Option], term: PickTerm) -> Sequence[Option]:
    """The options whose key lies within the term's width of the least."""
    key, relative = _key(term)
    keys = [key(option) for option in options]
    least = min(keys)
    width = abs(least) * term.within_ppm // PPM if relative else term.within_ppm
    return [option for option, found in zip(options, keys, strict=True) if found <= least + width]


def _key(term: PickTerm) -> tuple[Callable[[Option], int], bool]:
    """The number a term makes small, and whether its width is relative to the best (money, time) or in points
    (quality).
    """
    match term.rule:
        case "cheapest":
            return (lambda option: option.cost_nanodollars), True
        case "fastest":
            name = "ttft_p95_ms" if term.metric == "ttft_p95" else "latency_p95_ms"
            return (lambda option: _UNSEEN if (ms := getattr(option.estimate, name)) is None else ms), True
        case "best_quality":
            return (lambda option: -option.estimate.quality_ppm), False
        case "best_value":
            return (lambda option: -utility_ppm(option, term.value_nanodollars)), False
        case _:
            places = {arm: place for place, arm in enumerate(term.arms)}
            return (lambda option: places.get(option.arm, len(places))), False
