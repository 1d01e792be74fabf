"""Cascades: cheap first, dearer where a check fails, and only where that pays.

With pass probabilities p and costs c the cascade costs c1 + (1 - p1)(c2 + (1 - p2)(...)) against c_last for calling the
last tier directly (FrugalGPT, Chen, Zaharia, Zou 2023, section 3). The checks are taken to pass as often as the arm
succeeds.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from policy_engine.selection import Option, ranked, strongest
from policy_lang.ir import PPM, Cascade, Check, Route

__all__ = ["CascadePlan", "chain_cost", "lay_out"]


class CascadePlan(NamedTuple):
    """Whether to cascade. Costs in nano-dollars.

    `break_even_ppm`: the first step's pass probability above which the cascade is the cheaper way.
    """

    steps: tuple[Option, ...]
    checks: tuple[Check, ...]
    cost_nanodollars: int
    direct_nanodollars: int
    break_even_ppm: int

    @property
    def pays(self) -> bool:
        return self.cost_nanodollars < self.direct_nanodollars

    def above(self, step: Option) -> tuple[Option, ...]:
        """The steps to climb from one of them; none from an arm that is no step."""
        return self.steps[self.steps.index(step) + 1 :] if step in self.steps else ()

    def climb_cost(self, step: Option) -> int:
        """What climbing from a step is expected to add to the cost of its own call."""
        chain = (step, *self.above(step))
        costs = [option.cost_nanodollars for option in chain]
        return chain_cost(costs, [option.estimate.success_ppm for option in chain]) - costs[0]


def lay_out(route: Route, cascade: Cascade, pool: Sequence[Option]) -> CascadePlan | None:
    """The best arm of each tier by the route's `pick`; None with fewer than two tiers to climb.

    Under floors only arms that have cleared them climb: a check on an answer is no proof of a model. The last tier
    alone, where the answers of the others were thrown away, may be left to who would serve until one is proven.
    """
    steps = []
    for tier in cascade.tiers:
        there = [option for option in pool if option.candidate.tier == tier]
        if standing := [option for option in there if option.stands]:
            steps.append(ranked(standing, route.pick)[0])
        elif tier == cascade.tiers[-1] and (hopeful := [option for option in there if option.state != "failed"]):
            named = [option for option in hopeful if option.arm == route.until_proven]
            steps.append(strongest(named or hopeful))
    if len(steps) < 2:
        return None
    costs = [step.cost_nanodollars for step in steps]
    passes = [step.estimate.success_ppm for step in steps]
    beyond = chain_cost(costs[1:], passes[1:])
    return CascadePlan(
        steps=tuple(steps),
        checks=cascade.escalate,
        cost_nanodollars=chain_cost(costs, passes),
        direct_nanodollars=costs[-1],
        break_even_ppm=_break_even(costs[0], beyond, costs[-1]),
    )


def chain_cost(costs: Sequence[int], passes_ppm: Sequence[int]) -> int:
    """Expected nano-dollars of calling one after the other until one passes."""
    expected = costs[-1]
    for cost, passes in reversed(list(zip(costs[:-1], passes_ppm[:-1], strict=True))):
        expected = cost + (PPM - passes) * expected // PPM
    return expected


def _break_even(first: int, beyond: int, direct: int) -> int:
    """p where first + (1 - p) beyond = direct, within 0..1,000,000."""
    if beyond == 0:
        return PPM
    return min(PPM, max(0, PPM - (direct - first) * PPM // beyond))
