"""Proof: in every shape at least one fallback survives the static gates, those that look at shape and model only.

Exact: one envelope per class of shapes that these gates can tell apart. Gates that look at the request (org, team,
product) are left to run time, where the loud answer is `no_candidates`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product

from policy_lang.diagnostics import Diagnostic, Span, error
from policy_lang.gates import Facts, evaluate, mentioned_fields
from policy_lang.ir import Gate, Policy
from policy_lang.outline import Outline
from policy_lang.shapes import Classes, dimensions, distinct_atoms, representatives, shape_classes, shape_count
from policy_lang.vocabulary import FIELDS

__all__ = ["WORK_BUDGET", "unproved_fallback"]

#: Gate evaluations, and look-ups of their results, that the proof may take before it gives up with `not proved`.
WORK_BUDGET = (30_000, 400_000)

_NAMES = {"task_type": "task", "structure_type": "structure", "context_length": "context"}
_NAMES |= {"tools_used": "tools", "estimated_tokens": "tokens"}


@dataclass(frozen=True, slots=True)
class _Ban:
    """Where one gate removes one arm: value combinations of the dimensions at `positions` in a shape."""

    positions: tuple[int, ...]
    combinations: frozenset[tuple[str | bool, ...]]


def unproved_fallback(policy: Policy, outline: Outline) -> Iterator[Diagnostic]:
    """P501 with a witness where no fallback is left, P502 where the work budget does not reach."""
    arms = {arm: outline.catalog.models[arm].facts() for arm in policy.fallback}
    gates = [gate for gate in policy.gates if _is_static(gate)]
    span = outline.fallbacks[0].span
    if len(distinct_atoms(gate.violation for gate in gates)) * len(arms) > WORK_BUDGET[0]:
        yield _not_proved(span, "the gates hold too many comparisons")
        return
    classes = shape_classes((gate.violation for gate in gates), policy.tasks, list(arms.values()))
    if sum(shape_count(_own(gate, classes)) for gate in gates) * len(arms) > WORK_BUDGET[0]:
        yield _not_proved(span, "single gates look at too many shapes")
        return
    bans = [[ban for gate in gates if (ban := _ban(gate, facts, classes)).combinations] for facts in arms.values()]
    if not all(bans):
        return  # no gate ever removes this arm
    if shape_count(classes) * sum(map(len, bans)) > WORK_BUDGET[1]:
        yield _not_proved(span, f"there are {shape_count(classes)} classes of shapes to look through")
        return
    for values in product(*classes.values()):
        if all(any(_removes(ban, values) for ban in banned) for banned in bans):
            yield _witness(span, dict(zip(classes, values, strict=True)), gates, arms)
            return


def _own(gate: Gate, classes: Classes) -> Classes:
    """The dimensions this gate looks at."""
    own = dimensions(gate.violation)
    return {name: values for name, values in classes.items() if name in own}


def _ban(gate: Gate, model: Facts, classes: Classes) -> _Ban:
    own = _own(gate, classes)
    names = list(classes)
    removed = frozenset(
        tuple(getattr(envelope, name) for name in own)
        for envelope in representatives(own)
        if evaluate(gate.violation, {**model, **envelope.facts()}) is not False
    )
    return _Ban(tuple(names.index(name) for name in own), removed)


def _removes(ban: _Ban, values: tuple[str | bool, ...]) -> bool:
    return tuple([values[position] for position in ban.positions]) in ban.combinations


def _is_static(gate: Gate) -> bool:
    return all(FIELDS[name].scope != "request" for name in mentioned_fields(gate.violation))


def _first_failure(gates: list[Gate], facts: Facts) -> str | None:
    """The reason of the first gate that fails, with `unknown:` fields where it could not be evaluated."""
    for gate in gates:
        verdict = evaluate(gate.violation, facts)
        if verdict is None:
            missing = sorted(name for name in mentioned_fields(gate.violation) if facts.get(name) is None)
            return f'"{gate.reason}" (unknown: {", ".join(missing)})'
        if verdict:
            return f'"{gate.reason}"'
    return None


def _witness(span: Span, shape: Mapping[str, str | bool], gates: list[Gate], arms: Mapping[str, Facts]) -> Diagnostic:
    facts = next(representatives({name: (value,) for name, value in shape.items()})).facts()
    fates = [f"`{arm}` fails {_first_failure(gates, {**model, **facts})}" for arm, model in arms.items()]
    values = ", ".join(f"{_NAMES.get(name, name)} = {str(value).lower()}" for name, value in shape.items())
    where = f"for a call with `{values}`" if values else "for any call"
    return error("P501", span, f"no fallback survives the gates {where}", "; ".join(fates[:8]))


def _not_proved(span: Span, why: str) -> Diagnostic:
    return error("P502", span, f"not proved that a fallback survives every shape: {why}", "make the gates simpler")
