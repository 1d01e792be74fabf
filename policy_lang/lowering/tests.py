"""The tests of a checked policy as values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from policy_lang.envelope import Envelope
from policy_lang.lowering.constants import constant
from policy_lang.lowering.units import duration, plain, share, sure
from policy_lang.testing import Evidence, Expectation, PolicyTest
from policy_lang.text import syntax
from policy_lang.text.outline import Outline
from policy_lang.vocabulary import ATTRIBUTE_PREFIX, OTHER_TASK

__all__ = ["lower_statistics", "lower_tests"]

_ENVELOPE_FIELDS = {
    "task": "task_type",
    "structure": "structure_type",
    "context": "context_length",
    "tools": "tools_used",
    "tokens": "estimated_tokens",
    "time_sensitive": "time_sensitive",
}
#: What `given` leaves out: the shape of `build_envelope` without arguments.
_DEFAULTS = {
    "task_type": OTHER_TASK,
    "structure_type": "prose",
    "context_length": "short",
    "tools_used": "0",
    "time_sensitive": False,
    "estimated_tokens": "tiny",
}


def lower_tests(outline: Outline) -> tuple[PolicyTest, ...]:
    """Every `test`, in the order of the file. INVARIANT: the checker found no error."""
    named = lower_statistics(outline)
    return tuple(_test(test, outline, named) for test in outline.tests)


def lower_statistics(outline: Outline) -> dict[str, tuple[Evidence, ...]]:
    """Every `statistics` by name. INVARIANT: the checker found no error."""
    return {
        statistics.name.text: tuple(_evidence(item, outline) for item in statistics.evidence)
        for statistics in outline.statistics
    }


def _test(test: syntax.TestRule, outline: Outline, named: Mapping[str, tuple[Evidence, ...]]) -> PolicyTest:
    shape: dict[str, Any] = dict(_DEFAULTS)
    request: dict[str, str] = {}
    attributes: dict[str, str] = {}
    statistics: tuple[Evidence, ...] = ()
    for fact in test.given:
        name = fact.field.text
        if fact.field.quoted:
            statistics = named[name]
            continue
        spec = outline.fields[name]
        value = True if fact.value is None else sure(constant(spec, fact.value, outline.fields))
        if name in _ENVELOPE_FIELDS:
            shape[_ENVELOPE_FIELDS[name]] = value
        elif name.startswith(ATTRIBUTE_PREFIX):
            attributes[name.removeprefix(ATTRIBUTE_PREFIX)] = str(value)
        else:
            request[name] = str(value)
    return PolicyTest(
        name=test.name.text,
        envelope=Envelope(**shape),
        org=request.get("org"),
        team=request.get("team"),
        product=request.get("product"),
        attributes=attributes,
        statistics=statistics,
        expectations=tuple(_expectation(claim, outline) for claim in test.expect),
        span=test.span,
    )


def _evidence(evidence: syntax.Evidence, outline: Outline) -> Evidence:
    counts: dict[str, int] = {}
    figures: dict[str, int] = {}
    for measure in evidence.measures:
        name = measure.name.text
        if measure.counted:
            counts[name] = plain(measure.amount) or 0
        elif name == "quality":
            figures[name] = sure(share(measure.amount, ""))
        else:
            figures[name] = sure(duration(measure.amount, "", "1h"))
    arm = outline.catalog.resolve(evidence.model.text)
    assert arm is not None, "INVARIANT: the checker refuses unknown models"
    return Evidence(
        arm=arm,
        task=evidence.task.text,
        outcomes=counts,
        quality_ppm=figures.get("quality"),
        ttft_p95_ms=figures.get("ttft_p95"),
        latency_p95_ms=figures.get("latency_p95"),
        span=evidence.span,
    )


def _expectation(claim: syntax.Claim, outline: Outline) -> Expectation:
    subject: Any = claim.subject.text
    texts = [value.text for value in claim.values if isinstance(value, syntax.Word)]
    if subject in ("model", "candidate"):
        texts = [outline.catalog.resolve(text) or text for text in texts]
    return Expectation(subject, claim.relation != "!=", tuple(texts), claim.span)
