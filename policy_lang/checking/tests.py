"""The checks on assertions, statistics and tests, one function per rule."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from policy_lang.checking.conditions import check_condition
from policy_lang.checking.words import known_tier, one_of, reported, unknown_word
from policy_lang.diagnostics import Diagnostic, did_you_mean, error, warning
from policy_lang.lowering.constants import constant, field_of
from policy_lang.lowering.units import duration, plain, share
from policy_lang.testing import SUBJECTS
from policy_lang.text import syntax
from policy_lang.text.outline import Outline
from policy_lang.vocabulary import OUTCOMES

__all__ = ["FIGURES", "TEST_RULES"]

#: What evidence may state besides outcome counts.
FIGURES = ("quality", "ttft_p95", "latency_p95")
_FLOORS = ("cleared", "unproven", "failed", "none")
_STATUSES = ("served", "no_candidates")


def sound_assertions(outline: Outline) -> Iterator[Diagnostic]:
    for rule in outline.assertions:
        yield from check_condition(rule.claim, outline)
        for condition in (rule.when, rule.unless):
            if condition is not None:
                yield from check_condition(condition, outline, model_advice="say it of the model, before `when`")


def sound_statistics(outline: Outline) -> Iterator[Diagnostic]:
    for statistics in outline.statistics:
        seen: set[tuple[str, str]] = set()
        if not statistics.evidence and outline.whole:
            yield error(
                "P209", statistics.span, "these statistics are empty", "as in `claude-haiku-4-5 on label 400 ok`"
            )
        for evidence in statistics.evidence:
            yield from _check_evidence(evidence, outline)
            key = (outline.catalog.resolve(evidence.model.text) or "", evidence.task.text)
            if key[0] and key in seen:
                yield error("P208", evidence.span, f"`{evidence.model.text}` on `{key[1]}` stands twice")
            seen.add(key)


def _check_evidence(evidence: syntax.Evidence, outline: Outline) -> Iterator[Diagnostic]:
    task = constant(outline.fields["task"], evidence.task, outline.fields)
    yield from reported(task)
    seen: set[str] = set()
    for measure in evidence.measures:
        name = measure.name.text
        if name in seen:
            yield error("P212", measure.span, f"`{name}` stands twice here")
        seen.add(name)
        if measure.counted:
            yield from one_of(measure.name, "calls ended in", OUTCOMES)
            count = plain(measure.amount)
            if count is None:
                yield error("P401", measure.amount.span, "a count is a whole number below 1_000_000_000")
        elif name not in FIGURES:
            yield unknown_word(measure.name, "a figure is", FIGURES)
        elif name == "quality":
            yield from reported(share(measure.amount, "quality"))
        else:
            yield from reported(duration(measure.amount, f"`{name}`", "1h"))


def sound_tests(outline: Outline) -> Iterator[Diagnostic]:
    names = frozenset(statistics.name.text for statistics in outline.statistics)
    for test in outline.tests:
        seen: set[str] = set()
        for fact in test.given:
            name = "statistics" if fact.field.quoted else fact.field.text
            if name in seen:
                yield error("P212", fact.span, f"`{name}` is given twice")
            seen.add(name)
            if not fact.field.quoted:
                yield from _check_fact(fact, outline)
            elif fact.field.text not in names and outline.whole:
                near = did_you_mean(fact.field.text, names)
                advice = None if near else 'declare them with `statistics "name" { … }`'
                yield error("P309", fact.field.span, f"unknown statistics `{fact.field.text}`", advice, near)
        for claim in test.expect:
            yield from _check_claim(claim, outline)


def _check_fact(fact: syntax.Fact, outline: Outline) -> Iterator[Diagnostic]:
    spec = field_of(fact.field, outline.fields)
    if isinstance(spec, Diagnostic):
        yield spec
    elif spec.scope == "model":
        yield error("P302", fact.field.span, f"`{spec.name}` is the catalog's to say", "give what the call is like")
    elif spec.kind == "tokens":
        stem = spec.name.removesuffix(".upper")
        yield error("P415", fact.field.span, f"`{spec.name}` follows from `{stem}`", f"give `{stem}`")
    elif spec.kind == "flag" and fact.value is not None:
        yield error("P306", fact.span, f"`{spec.name}` is a flag", f"write `{spec.name}`, or leave it out")
    elif spec.kind != "flag" and fact.value is None:
        yield error("P306", fact.span, f"`{spec.name}` does not hold by itself", f"write `{spec.name} = …`")
    elif fact.value is not None:
        value = constant(spec, fact.value, outline.fields)
        yield from reported(value)


def _check_claim(claim: syntax.Claim, outline: Outline) -> Iterator[Diagnostic]:
    if claim.subject.text not in SUBJECTS:
        yield unknown_word(claim.subject, "a decision has a", SUBJECTS)
        return
    if claim.relation not in ("==", "!=", "in"):
        yield error("P304", claim.span, f"`{claim.subject.text}` has no order", "use `==`, `!=` or `in […]`")
    if not claim.values:
        yield error("P209", claim.span, "`in` needs at least one value")
    seen: set[str] = set()
    for value in claim.values:
        if not isinstance(value, syntax.Word):
            yield error("P305", value.span, f"`{claim.subject.text}` compares with a name")
            continue
        yield from _check_value(claim.subject.text, value, outline)
        if value.text in seen:
            yield error("P208", value.span, f"`{value.text}` stands twice in this list")
        seen.add(value.text)


def _check_value(subject: str, value: syntax.Word, outline: Outline) -> Iterator[Diagnostic]:
    match subject:
        case "tier":
            yield from known_tier(value, outline)
        case "route":
            names = frozenset(route.name.text for route in outline.all_routes)
            if value.text not in names and outline.whole:
                near = did_you_mean(value.text, names)
                known = None if near else f"routes are {', '.join(sorted(names)[:24])}"
                yield error("P310", value.span, f"unknown route `{value.text}`", known, near)
        case "floor":
            yield from one_of(value, "a floor is", _FLOORS)
        case "status":
            yield from one_of(value, "a decision is", _STATUSES)
        case _:
            if outline.catalog.resolve(value.text) is None:
                near = did_you_mean(value.text, outline.model_names)
                yield error("P308", value.span, f"unknown model `{value.text[:80]}`", None, near)


def statistics_are_used(outline: Outline) -> Iterator[Diagnostic]:
    used = {fact.field.text for test in outline.tests for fact in test.given if fact.field.quoted}
    for statistics in outline.statistics:
        if statistics.name.text not in used and outline.whole:
            yield warning("P607", statistics.name.span, f"no test uses the statistics `{statistics.name.text}`")


TEST_RULES: tuple[Callable[[Outline], Iterator[Diagnostic]], ...] = (
    sound_assertions,
    sound_statistics,
    sound_tests,
    statistics_are_used,
)
