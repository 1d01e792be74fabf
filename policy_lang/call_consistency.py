"""What types cannot say about the call a route shapes: cascade checks, parameters, reactions."""

from __future__ import annotations

import re
from collections.abc import Iterator

from policy_lang.ir import Cascade, Check, OnOutcome, Parameter, Route
from policy_lang.parameters import CHECKS, NUMERIC_PARAMETERS, PATTERNS

__all__ = ["route_call_problems"]

Finding = tuple[str, str]
_SHA256 = re.compile("[0-9a-f]{64}")
_DAY = 86_400_000


def route_call_problems(path: str, route: Route) -> Iterator[Finding]:
    """Path and message of each thing about the call that does not fit together."""
    if route.cascade is not None:
        yield from _cascade(f"{path}.cascade", route.cascade, route)
    seen: set[tuple[str, str]] = set()
    for index, parameter in enumerate(route.parameters):
        yield from _parameter(f"{path}.parameters[{index}]", parameter)
        if _clashes(parameter, seen):
            yield f"{path}.parameters[{index}]", f"`{parameter.name}` is set twice"
        seen.add((parameter.name, parameter.rule))
    yield from _bounds(f"{path}.parameters", route.parameters)
    outcomes = [reaction.outcome for reaction in route.failures]
    if len(set(outcomes)) < len(outcomes):
        yield f"{path}.failures", "an outcome stands twice"
    for index, reaction in enumerate(route.failures):
        yield from _reaction(f"{path}.failures[{index}]", reaction)
    for name, value, most in (("timeout_ms", route.timeout_ms, _DAY // 24), ("pin_ms", route.pin_ms, 30 * _DAY)):
        if value is not None and not 0 < value <= most:
            yield f"{path}.{name}", f"must lie from 1 to {most}"


def _cascade(path: str, cascade: Cascade, route: Route) -> Iterator[Finding]:
    if cascade.tiers != route.use:
        yield f"{path}.tiers", "must equal the route's `use`"
    keys = [(check.rule, check.argument) for check in cascade.escalate]
    if len(set(keys)) < len(keys):
        yield f"{path}.escalate", "a check stands twice"
    for index, check in enumerate(cascade.escalate):
        yield from _check(f"{path}.escalate[{index}]", check)


def _check(path: str, check: Check) -> Iterator[Finding]:
    takes, argument = CHECKS[check.rule], check.argument
    if (takes == "share") != (check.below_ppm is not None):
        yield f"{path}.below_ppm", "belongs to self_rating, judge and consistency"
    if (takes in ("name", "pattern", "sha256")) != (argument is not None):
        yield f"{path}.argument", "belongs to schema, pattern and hash"
    elif takes == "pattern" and argument not in PATTERNS:
        yield f"{path}.argument", f"must be one of {', '.join(PATTERNS)}"
    elif takes == "sha256" and not _SHA256.fullmatch(argument or ""):
        yield f"{path}.argument", "must be 64 hex digits"


def _parameter(path: str, parameter: Parameter) -> Iterator[Finding]:
    accepted = NUMERIC_PARAMETERS.get(parameter.name)
    wants_number = parameter.rule != "seed" and accepted is not None
    if parameter.rule == "seed" and parameter.name != "seed":
        yield f"{path}.rule", "only `seed` is derived"
    if accepted is None and parameter.rule != "set":
        yield f"{path}.rule", f"`{parameter.name}` is a word and has no bounds"
    if wants_number != (parameter.milli is not None):
        yield f"{path}.milli", "belongs to numeric parameters that are not derived"
    elif parameter.milli is not None and accepted is not None and not accepted.holds(parameter.milli):
        yield f"{path}.milli", f"`{parameter.name}` is {accepted}"
    if (accepted is None) != (parameter.word is not None):
        yield f"{path}.word", "belongs to reasoning_effort"


def _clashes(parameter: Parameter, seen: set[tuple[str, str]]) -> bool:
    """Two values for one parameter; a least and a greatest value go together."""
    earlier = {rule for name, rule in seen if name == parameter.name}
    return bool(earlier) and {parameter.rule, *earlier} != {"at_least", "at_most"}


def _bounds(path: str, parameters: tuple[Parameter, ...]) -> Iterator[Finding]:
    low = {item.name: item.milli for item in parameters if item.rule == "at_least"}
    for item in parameters:
        least = low.get(item.name)
        if item.rule == "at_most" and least is not None and item.milli is not None and least > item.milli:
            yield path, f"no value of `{item.name}` lies within both bounds"


def _reaction(path: str, reaction: OnOutcome) -> Iterator[Finding]:
    if reaction.backoff_ms and not reaction.retries:
        yield f"{path}.backoff_ms", "needs `retries`"
    if reaction.backoff_ms > 60_000:
        yield f"{path}.backoff_ms", "must be at most 60000"
    if (reaction.then == "disable") != bool(reaction.disable_ms):
        yield f"{path}.disable_ms", "belongs to `disable` and only there"
    if reaction.disable_ms > _DAY:
        yield f"{path}.disable_ms", f"must be at most {_DAY}"
