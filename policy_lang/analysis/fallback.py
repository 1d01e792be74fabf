"""Proof: in every shape at least one fallback survives the static gates, those that look at shape and model only.

Exact: one envelope per class of shapes that these gates can tell apart. Gates that look at the request (org, team,
product) are left to run time, where the loud answer is `no_candidates`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from policy_lang.diagnostics import Diagnostic, Span, error
from policy_lang.envelope import Envelope
from policy_lang.gates import Facts, evaluate, mentioned_fields
from policy_lang.ir import Gate, Policy
from policy_lang.outline import Outline
from policy_lang.shapes import Classes, representatives, shape_classes, shape_count
from policy_lang.vocabulary import FIELDS

__all__ = ["WORK_BUDGET", "unproved_fallback"]

#: Gate evaluations the proof may take before it gives up with `not proved`.
WORK_BUDGET = 60_000


def unproved_fallback(policy: Policy, outline: Outline) -> Iterator[Diagnostic]:
    """P501 with a witness where no fallback is left, P502 where the work budget does not reach."""
    arms = {arm: outline.catalog.models[arm].facts() for arm in policy.fallback}
    gates = [gate for gate in policy.gates if _is_static(gate)]
    span = outline.fallbacks[0].span
    classes = shape_classes((gate.violation for gate in gates), policy.tasks, arms.values())
    # The first arm that survives ends a shape, so this bounds the work from above only where arms keep failing.
    if shape_count(classes) * len(gates) > WORK_BUDGET:
        yield _not_proved(span, classes)
        return
    for envelope in representatives(classes):
        facts = envelope.facts()
        fates = {arm: _first_failure(gates, {**model, **facts}) for arm, model in arms.items()}
        if None not in fates.values():
            yield _witness(span, envelope, classes, fates)
            return


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


def _witness(span: Span, envelope: Envelope, classes: Classes, fates: Mapping[str, str | None]) -> Diagnostic:
    names = {"task_type": "task", "structure_type": "structure", "context_length": "context", "tools_used": "tools"}
    names |= {"estimated_tokens": "tokens"}
    values = ", ".join(f"{names.get(field, field)} = {str(getattr(envelope, field)).lower()}" for field in classes)
    failures = "; ".join(f"`{arm}` fails {fate}" for arm, fate in list(fates.items())[:8])
    where = f"for a call with `{values}`" if values else "for any call"
    return error("P501", span, f"no fallback survives the gates {where}", failures)


def _not_proved(span: Span, classes: Classes) -> Diagnostic:
    asked = f"{shape_count(classes)} classes of shapes are too many to look through"
    return error("P502", span, f"not proved that a fallback survives every shape: {asked}", "make the gates simpler")
