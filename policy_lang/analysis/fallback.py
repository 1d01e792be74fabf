"""Proof: in every shape at least one fallback survives the static gates, those that look at shape and model only.

Gates that look at the request (org, team, product, attributes) are left to run time, where the loud answer is
`no_candidates`; `coverage.py` warns of what they leave.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from policy_lang.analysis.findings import Witness, witness
from policy_lang.analysis.reading import Reading
from policy_lang.analysis.space import carve
from policy_lang.analysis.words import call_text
from policy_lang.diagnostics import Diagnostic, Span, error
from policy_lang.gates import Facts, evaluate, mentioned_fields
from policy_lang.ir import Gate, Policy
from policy_lang.text.outline import Outline
from policy_lang.vocabulary import scope_of

__all__ = ["WORK_BUDGET", "unproved_fallback"]

#: As in `space.py`, less of it: this proof runs with every compilation.
WORK_BUDGET = 1_000_000_000

_MOST_FATES = 8


def unproved_fallback(policy: Policy, outline: Outline) -> Iterator[Diagnostic]:
    """P501 with a witness where no fallback is left, P502 where the work budget does not reach."""
    arms = {arm: outline.catalog.models[arm].facts() for arm in policy.fallback}
    gates = [gate for gate in policy.gates if _is_static(gate)]
    span = outline.fallbacks[0].span
    space = carve([gate.violation for gate in gates], [policy.tasks], models=len(arms), limit=WORK_BUDGET)
    if space is None:
        message = "not proved that a fallback survives every shape: the gates hold too many comparisons"
        yield error("P502", span, message, "make the gates simpler")
        return
    reading = Reading(space, policy.tasks)
    lost = space.all
    for model in arms.values():
        passes = space.all
        for gate in gates:
            passes &= reading.of(gate.violation, model)[1]
        lost &= ~passes
    if lost:
        yield _no_fallback(span, witness(space, lost), gates, arms)


def _is_static(gate: Gate) -> bool:
    return all(scope_of(name) != "request" for name in mentioned_fields(gate.violation))


def _no_fallback(span: Span, shown: Witness, gates: list[Gate], arms: Mapping[str, Facts]) -> Diagnostic:
    facts = shown.call.facts()
    fates = [f"`{arm}` fails {_first_failure(gates, {**model, **facts})}" for arm, model in arms.items()]
    more = f"; and {len(fates) - _MOST_FATES} more" if len(fates) > _MOST_FATES else ""
    message = f"no fallback survives the gates for {call_text(shown.given)}"
    return error("P501", span, message, "; ".join(fates[:_MOST_FATES]) + more)


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
