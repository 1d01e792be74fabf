"""Routes that no call can take: their own condition never holds, or earlier routes take every call first."""

from __future__ import annotations

from collections.abc import Iterator

from policy_lang.analysis.findings import Finding
from policy_lang.analysis.reading import Reading
from policy_lang.analysis.space import carve
from policy_lang.analysis.words import listed
from policy_lang.ir import Policy

__all__ = ["unreachable_routes"]


def unreachable_routes(policy: Policy) -> Iterator[Finding]:
    """P511 for a condition that never holds, P512 for a route shadowed by earlier ones, P510 where not proved."""
    conditions = [route.when for route in policy.routes]
    space = carve(conditions, [policy.tasks], policy.attributes)
    if space is None:
        message = "not proved that every route can be reached: too much work"
        yield Finding("P510", f"route:{policy.default.name}", "warning", message, "name fewer fields")
        return
    reading = Reading(space, policy.tasks)
    holds = [reading.of(condition, {})[0] for condition in conditions]
    left = space.all
    for index, route in enumerate(policy.routes):
        rule = f"route:{route.name}"
        if not holds[index]:
            yield Finding("P511", rule, "warning", f"the condition of route `{route.name}` never holds")
        elif not holds[index] & left:
            earlier = [policy.routes[i].name for i in range(index) if holds[i] & holds[index]]
            message = f"route `{route.name}` is never taken: earlier routes take every call it would"
            yield Finding("P512", rule, "warning", message, f"they are {listed(earlier)}; move it up, or remove it")
        left &= ~holds[index]
