"""Checks a condition: known fields, values of the right kind, operators that the kind has."""

from __future__ import annotations

from collections.abc import Iterator

from policy_lang.diagnostics import Diagnostic, error, warning
from policy_lang.lowering.constants import NUMERIC_KINDS, constant, field_of
from policy_lang.lowering.units import ratio
from policy_lang.text import syntax
from policy_lang.text.outline import Outline
from policy_lang.vocabulary import FieldSpec

__all__ = ["check_condition"]


def check_condition(
    condition: syntax.Condition, outline: Outline, *, model_advice: str | None = None
) -> Iterator[Diagnostic]:
    """Findings of one condition. With `model_advice` it may not look at the model, and this says what to do instead."""
    match condition:
        case syntax.Both(items) | syntax.Either(items):
            for item in items:
                yield from check_condition(item, outline, model_advice=model_advice)
        case syntax.Negated(item):
            yield from check_condition(item, outline, model_advice=model_advice)
        case syntax.FlagTest(field) | syntax.Comparison(field) | syntax.Membership(field):
            spec = field_of(field, outline.fields)
            if isinstance(spec, Diagnostic):
                yield spec
                return
            if spec.scope == "model" and model_advice:
                yield error("P302", field.span, f"`{field.text}` is not known before a model is", model_advice)
            yield from _check_test(condition, spec, outline)


def _check_test(
    test: syntax.FlagTest | syntax.Comparison | syntax.Membership, spec: FieldSpec, outline: Outline
) -> Iterator[Diagnostic]:
    match test:
        case syntax.FlagTest(field):
            if spec.kind != "flag":
                yield error("P306", field.span, f"`{spec.name}` does not hold by itself", f"write `{spec.name} == …`")
        case syntax.Comparison():
            yield from _check_comparison(test, spec, outline)
        case syntax.Membership():
            yield from _check_membership(test, spec, outline)


def _check_comparison(test: syntax.Comparison, spec: FieldSpec, outline: Outline) -> Iterator[Diagnostic]:
    if spec.kind == "flag":
        yield error("P306", test.span, f"`{spec.name}` is a flag", f"write `{spec.name}` or `not {spec.name}`")
        return
    value = constant(spec, test.value, outline.fields)
    if isinstance(value, Diagnostic):
        yield value
    elif isinstance(value, FieldSpec) and test.relation in ("==", "!="):
        yield error(
            "P304", test.span, f"two sizes are never compared with `{test.relation}`", "use `<`, `<=`, `>` or `>=`"
        )
    elif spec.kind in ("enum", "slug") and test.relation not in ("==", "!="):
        yield error("P304", test.span, f"`{spec.name}` has no order", "use `==`, `!=` or `in […]`")
    elif spec.name == "model.provider" and isinstance(test.value, syntax.Word):
        yield from _check_provider(test.value, outline)
    if isinstance(test.value, syntax.Scaled) and isinstance(factor := ratio(test.value.factor), Diagnostic):
        yield factor


def _check_membership(test: syntax.Membership, spec: FieldSpec, outline: Outline) -> Iterator[Diagnostic]:
    if spec.kind == "flag" or spec.kind in NUMERIC_KINDS:
        yield error("P304", test.span, f"`in` needs a field with named values, `{spec.name}` has none")
        return
    if not test.values:
        yield error("P209", test.span, "`in` needs at least one value")
    seen: set[str] = set()
    for written in test.values:
        value = constant(spec, written, outline.fields)
        if isinstance(value, Diagnostic):
            yield value
        elif isinstance(value, str):
            if value in seen:
                yield error("P208", written.span, f"`{value}` stands twice in this list")
            seen.add(value)
            if spec.name == "model.provider" and isinstance(written, syntax.Word):
                yield from _check_provider(written, outline)


def _check_provider(word: syntax.Word, outline: Outline) -> Iterator[Diagnostic]:
    if word.text not in outline.providers:
        known = f"providers are {', '.join(sorted(outline.providers)[:24])}"
        yield warning("P603", word.span, f"no model of the catalog is served by `{word.text}`", known)
