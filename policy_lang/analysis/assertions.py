"""Asserts, each proved, refuted with a concrete call and model, or not proved.

`always` and `never` range over every model that could serve (`may`), `some` over the static survivors. What cannot be
evaluated speaks against the claim: a model field the catalog lacks neither satisfies `always` nor escapes `never`, and
makes `given` hold. A fact the request does not state does not make `given` hold.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from policy_lang.analysis.findings import Finding, Verdict, Witness, witness
from policy_lang.analysis.may import Served, World, arms_of
from policy_lang.analysis.space import Cells
from policy_lang.analysis.words import call_text, expr_text
from policy_lang.frozen import frozen
from policy_lang.gates import mentioned_fields
from policy_lang.ir import Assertion
from policy_lang.shapes import dimension_of

__all__ = ["Proof", "assertion_findings", "prove"]


@frozen
class Proof:
    """The verdict on one assert. `vacuous`: proved because `given` holds for no call that is served."""

    assertion: Assertion
    verdict: Verdict
    witness: Witness | None = None
    vacuous: bool = False


def prove(world: World, assertion: Assertion, parts: Sequence[Served]) -> Proof:
    """Prove one assert over `parts`, which hold its expressions."""
    if assertion.quantifier == "some":
        return _some(assertion, parts)
    seen = False
    for part in parts:
        for arm in sorted(part.arms):
            concerned = part.may(arm) & _given(part, assertion, arm)
            claimed = part.reading.of(assertion.claim, part.facts(arm))
            against = concerned & ~claimed[0 if assertion.quantifier == "always" else 1]
            if against:
                return Proof(assertion, "refuted", witness(part.space, against, arm))
            seen = seen or bool(concerned)
    covered = frozenset().union(*(part.arms for part in parts))
    return Proof(assertion, "proved" if covered == arms_of(world) else "not proved", None, not seen)


def assertion_findings(proofs: Sequence[Proof]) -> Iterator[Finding]:
    """P541 refuted, P542 not proved (both block), P543 nothing to prove."""
    for proof in proofs:
        assertion = proof.assertion
        rule = f"assert:{assertion.reason}"
        if proof.verdict == "refuted":
            assert proof.witness is not None
            yield Finding("P541", rule, "error", *_refuted(assertion, proof.witness), proof.witness)
        elif proof.verdict == "not proved":
            message = f'"{assertion.reason}" is not proved: too much work'
            yield Finding("P542", rule, "error", message, "name fewer fields in gates, routes or the assert")
        elif proof.vacuous:
            yield Finding("P543", rule, "warning", f'"{assertion.reason}" says nothing: what it is about never occurs')


def _some(assertion: Assertion, parts: Sequence[Served]) -> Proof:
    if not parts or len(parts) > 1 or parts[0].arms != arms_of(parts[0].world):
        return Proof(assertion, "not proved")  # whether somebody is left takes all arms at once
    part = parts[0]
    needed = satisfied = 0
    about_model = any(dimension_of(name) is None for name in mentioned_fields(assertion.given))
    if not about_model:
        needed = part.reading.of(assertion.given, {})[0]
    for arm in part.arms:
        concerned = part.survives(arm) & _given(part, assertion, arm)
        needed |= concerned if about_model else 0
        satisfied |= concerned & part.reading.of(assertion.claim, part.facts(arm))[0]
    if lacking := needed & ~satisfied:
        return Proof(assertion, "refuted", witness(part.space, lacking))
    return Proof(assertion, "proved", None, not needed)


def _given(part: Served, assertion: Assertion, arm: str) -> Cells:
    """Where `given` holds for an arm, or hangs on a field of the model that the catalog lacks."""
    holds, fails = part.reading.of(assertion.given, part.facts(arm))
    stated = part.space.all & ~fails
    for name in mentioned_fields(assertion.given):
        stated &= ~part.space.absent(dimension_of(name) or "")
    return holds | stated


def _refuted(assertion: Assertion, found: Witness) -> tuple[str, str]:
    call, claim = call_text(found.given), expr_text(assertion.claim)
    if assertion.quantifier == "some":
        return f'"{assertion.reason}" does not hold for {call}', f"no surviving model satisfies `{claim}`"
    breaks = "does not satisfy" if assertion.quantifier == "always" else "satisfies, or may satisfy,"
    message = f'"{assertion.reason}" does not hold for {call}: `{found.arm}` could serve'
    return message, f"`{found.arm}` {breaks} `{claim}`"
