"""What a run came to: shares, money, quality, net utility, beside what other ways of choosing would have come to.

Every comparison is on the very calls that were decided, in the same world. Net utility = quality - cost / value.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

from policy_cli.demo.calls import Call, Result, Scenario
from policy_lang.frozen import frozen

__all__ = ["Hop", "Served", "summarise"]

_TENTHS = 10
_RECENT = 1_000


@frozen
class Hop:
    """One call of a plan that was made."""

    arm: str
    result: Result


@frozen
class Served:
    """A decision and what followed. No `hops` where no model could serve; the last one is the answer."""

    call: Call
    decision_id: str
    arm: str | None = None
    model: str | None = None
    baseline_arm: str | None = None
    explored: bool = False
    hops: tuple[Hop, ...] = ()

    @property
    def quality(self) -> float:
        return self.hops[-1].result.quality if self.hops else 0.0

    @property
    def cost_nanodollars(self) -> int:
        return sum(hop.result.cost_nanodollars for hop in self.hops)


@frozen
class _Account:
    """Means over a stretch of decisions."""

    quality: float
    cost_nanodollars: int
    net_utility: float | None

    def document(self) -> dict[str, Any]:
        found: dict[str, Any] = {"quality": round(self.quality, 6), "cost_nanodollars": self.cost_nanodollars}
        return found if self.net_utility is None else found | {"net_utility": round(self.net_utility, 6)}


def summarise(scenario: Scenario, served: Sequence[Served]) -> dict[str, Any]:
    """The decisions' part of the summary object; a run of nothing has zeros and no comparisons."""
    tenths = _by_tenth(served, _explored_share)
    by_policy = {text.name: [item for item in served if item.call.policy == text.name] for text in scenario.policies}
    document: dict[str, Any] = {
        "decisions": len(served),
        "no_candidates": sum(not item.hops for item in served),
        "failovers": sum(len(item.hops) > 1 for item in served),
        "models": dict(Counter(item.model for item in served if item.model).most_common()),
        "explored_first_tenth": tenths[0],
        "explored_last_tenth": tenths[-1],
        "explored_by_tenth": tenths,
        "explored_by_policy": {name: _by_tenth(items, _explored_share) for name, items in by_policy.items()},
        "cost_share_by_tenth": _by_tenth(served, lambda items: _cost_share(scenario, items)),
        "baseline_nanodollars": sum(_baseline_cost(scenario, item) for item in served),
        **_routed(scenario, served).document(),
    }
    if scenario.arms and served:
        document |= _comparison(scenario, served)
        recent = served[-_RECENT:]
        document["last_1000"] = {
            "decisions": len(recent),
            **_routed(scenario, recent).document(),
            **_comparison(scenario, recent),
        }
    return document


def _comparison(scenario: Scenario, served: Sequence[Served]) -> dict[str, Any]:
    """Each single model on the same calls, the best of them, and one drawn uniformly per call (its expectation)."""
    singles = {arm: _single(scenario, served, arm) for arm in scenario.arms}
    found: dict[str, Any] = {"singles": {arm: account.document() for arm, account in singles.items()}}
    accounts = list(singles.values())
    quality = sum(account.quality for account in accounts) / len(accounts)
    cost = round(sum(account.cost_nanodollars for account in accounts) / len(accounts))
    found["random"] = _account(scenario, quality, cost, len(served)).document()
    utilities = {arm: account.net_utility for arm, account in singles.items() if account.net_utility is not None}
    if utilities:
        best = max(utilities, key=lambda arm: (utilities[arm], arm))
        found["best_static"] = {"arm": best, "net_utility": round(utilities[best], 6)}
        routed = _routed(scenario, served).net_utility
        if routed is not None and utilities[best] > 0:
            found["share_of_best_static"] = round(routed / utilities[best], 6)
    return found


def _routed(scenario: Scenario, served: Sequence[Served]) -> _Account:
    quality = sum(item.quality for item in served) / max(1, len(served))
    return _account(scenario, quality, sum(item.cost_nanodollars for item in served), len(served))


def _single(scenario: Scenario, served: Sequence[Served], arm: str) -> _Account:
    results = [scenario.world.result(item.call, arm) for item in served]
    quality = sum(result.quality for result in results) / len(results)
    return _account(scenario, quality, sum(result.cost_nanodollars for result in results), len(results))


def _account(scenario: Scenario, quality: float, cost_nanodollars: int, decisions: int) -> _Account:
    value = scenario.value_nanodollars
    utility = quality - cost_nanodollars / (decisions * value) if value and decisions else None
    return _Account(quality, cost_nanodollars, utility)


def _baseline_cost(scenario: Scenario, item: Served) -> int:
    if item.baseline_arm is None:
        return 0
    return scenario.world.result(item.call, item.baseline_arm).cost_nanodollars


def _by_tenth(served: Sequence[Served], measure: Callable[[Sequence[Served]], float]) -> list[float]:
    """`measure` of ten consecutive stretches of the run, as equal as they can be; 0 of an empty one."""
    edges = [len(served) * tenth // _TENTHS for tenth in range(_TENTHS + 1)]
    return [round(measure(served[low:high]), 6) if high > low else 0.0 for low, high in pairwise(edges)]


def _explored_share(served: Sequence[Served]) -> float:
    return sum(item.explored for item in served) / len(served)


def _cost_share(scenario: Scenario, served: Sequence[Served]) -> float:
    baseline = sum(_baseline_cost(scenario, item) for item in served)
    return sum(item.cost_nanodollars for item in served) / baseline if baseline else 0.0
