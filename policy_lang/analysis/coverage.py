"""Calls for which only a fallback is left, or nothing; models that can never serve."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction

from policy_lang.analysis.findings import Finding, Witness, witness
from policy_lang.analysis.may import Served, World, arms_of
from policy_lang.analysis.words import call_text, listed
from policy_lang.frozen import frozen

__all__ = ["Gap", "gaps", "unserved_calls", "unserved_models"]


@frozen
class Gap:
    """Calls of one route whose own tiers are empty, as a share of all calls. `left`: nothing, or a safety net."""

    route: str
    left: str
    share: Fraction
    witness: Witness


def gaps(served: Served) -> list[Gap]:
    """Per route, the calls that are left with `until proven` alone, with a fallback alone, or with nothing."""
    space, policy = served.space, served.world.policy
    fallbacks = _union(served.passes(arm) for arm in policy.fallback)
    found = []
    for index, route in enumerate(served.world.routes):
        named = (*route.use, *(route.cascade.tiers if route.cascade else ()))
        empty = served.taken[index] & ~_union(served.pool(index, arm, named) for arm in served.arms)
        until = served.passes(route.until_proven) if route.until_proven else 0
        for left, cells in (
            ("until proven", empty & until),
            ("fallback", empty & ~until & fallbacks),
            ("nothing", empty & ~until & ~fallbacks),
        ):
            if cells:
                share = Fraction(space.count(cells), space.total)
                found.append(Gap(route.name, left, share, witness(space, cells)))
    return found


def unserved_calls(found: Sequence[Gap]) -> Iterator[Finding]:
    """P531 where only a fallback is left of a route, P532 where no candidate is left at all."""
    for gap in found:
        rule, call = f"route:{gap.route}", call_text(gap.witness.given)
        share = f"{float(gap.share):.2%} of all shapes"
        if gap.left == "fallback":
            message = f"route `{gap.route}` has only the fallback left for {call}"
            yield Finding("P531", rule, "warning", message, share, gap.witness)
        elif gap.left == "nothing":
            message = f"no candidate is left for {call} on route `{gap.route}`"
            yield Finding("P532", rule, "warning", message, f"the answer is `no_candidates`; {share}", gap.witness)


def unserved_models(world: World, parts: Sequence[Served]) -> Iterator[Finding]:
    """P533 for a model of the policy that can never serve, with the gates that keep it out."""
    policy = world.policy
    named = dict.fromkeys(arm for tier in policy.tiers for arm in tier.arms)
    named |= dict.fromkeys([*(r.until_proven for r in world.routes if r.until_proven), *policy.fallback])
    for part in parts:
        for arm in sorted(part.arms & named.keys() & arms_of(world)):
            if not part.may(arm):
                yield Finding("P533", f"model:{arm}", "warning", f"`{arm}` can never serve", _why(part, arm))


def _why(part: Served, arm: str) -> str:
    if arm not in part.world.catalog.models:
        return "the catalog does not hold it"
    candidate = part.candidate(arm)
    if not candidate:
        return "no route that can be taken uses a tier that holds it"
    barring = [gate.reason for gate in part.world.policy.gates if part.bars(gate, arm) & candidate]
    if candidate & part.passes(arm):
        return "the `where` of its routes never holds" + (f"; gates: {listed(barring)}" if barring else "")
    return f"kept out by {listed(barring)}"


def _union(sets: Iterator[int]) -> int:
    cells = 0
    for each in sets:
        cells |= each
    return cells
