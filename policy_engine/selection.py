"""Ranking: a route's `pick` terms as one lexicographic order over options, ties inside `within` left to the next term.

A tie that outlives every term falls to the lower expected cost, then to the arm id, so that order never depends on
input order.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter

from policy_engine.candidates import Candidate
from policy_engine.floors import FloorState
from policy_engine.snapshot import Estimate
from policy_lang.ir import PPM, PickTerm

__all__ = ["Option", "by_cost", "ranked", "strongest", "utility_ppm"]

_UNSEEN = 1 << 50


# Not frozen: one is made for every arm of every cell, and a frozen one takes five times as long. Nothing assigns to it.
@dataclass(slots=True, eq=False)
class Option:
    """A surviving candidate with what is believed of it.

    cost: expected, nano-dollars; outcomes: the tenant's, raw. One object an arm and cell, compared by identity.
    """

    arm: str
    candidate: Candidate
    estimate: Estimate
    cost_nanodollars: int
    state: FloorState
    confidence_ppm: int
    outcomes: int

    @property
    def stands(self) -> bool:
        """Whether the arm may be picked: it has cleared the route's floors, or there are none."""
        return self.state == "cleared" or self.state == "none"


def ranked(options: Sequence[Option], terms: tuple[PickTerm, ...]) -> list[Option]:
    """`options` best first: the winner under `terms`, then the winner of the rest, and so on."""
    rest = sorted(options, key=by_cost)
    if terms == _CHEAPEST:
        return rest
    keys = [_key(term) for term in terms]
    if not any(term.within_ppm for term in terms):
        for key in reversed(keys):
            rest.sort(key=key)
        return rest
    standing = {option: tuple([key(option) for key in keys]) for option in options}
    order = []
    while rest:
        winner = _winner(rest, standing, terms)
        order.append(winner)
        rest.remove(winner)
    return order


#: Lower expected cost, then arm id: what every tie falls to.
by_cost: Callable[[Option], tuple[int, str]] = attrgetter("cost_nanodollars", "arm")
_CHEAPEST = (PickTerm("cheapest"),)


def strongest(options: Sequence[Option]) -> Option:
    """Likeliest to clear the floors: that chance, then the learned mean, the dearer list price, the arm id."""
    return max(options, key=lambda o: (o.confidence_ppm, o.estimate.quality_ppm, o.candidate.model.price_out, o.arm))


def utility_ppm(option: Option, value_nanodollars: int | None) -> int:
    """Quality minus cost / V, in ppm of one success; quality alone when V is None."""
    if value_nanodollars is None:
        return option.estimate.quality_ppm
    return option.estimate.quality_ppm - option.cost_nanodollars * PPM // max(1, value_nanodollars)


def _winner(rest: Sequence[Option], standing: Mapping[Option, tuple[int, ...]], terms: tuple[PickTerm, ...]) -> Option:
    """Each term keeps the options whose number lies within its width of the least; the first of the kept wins.

    The width is relative to the best where the term is about money or time, in points where it is about quality.
    """
    tied = rest
    for place, term in enumerate(terms):
        if len(tied) == 1:
            break
        least = min([standing[option][place] for option in tied])
        width = least * term.within_ppm // PPM if term.rule in ("cheapest", "fastest") else term.within_ppm
        tied = [option for option in tied if standing[option][place] <= least + width]
    return tied[0]


def _key(term: PickTerm) -> Callable[[Option], int]:
    """The number a term makes small."""
    match term.rule:
        case "cheapest":
            return attrgetter("cost_nanodollars")
        case "fastest":
            name = "ttft_p95_ms" if term.metric == "ttft_p95" else "latency_p95_ms"
            return lambda option: _UNSEEN if (ms := getattr(option.estimate, name)) is None else ms
        case "best_quality":
            return lambda option: -option.estimate.quality_ppm
        case "best_value":
            return lambda option: -utility_ppm(option, term.value_nanodollars)
        case _:
            places = {arm: place for place, arm in enumerate(term.arms)}
            return lambda option: places.get(option.arm, len(places))
