"""What may stand on the right of a comparison: the constant a field of each kind compares with."""

from __future__ import annotations

import re
from typing import get_args

from policy_lang import ir, syntax
from policy_lang.diagnostics import Diagnostic, did_you_mean, error
from policy_lang.units import plain, price, token_count
from policy_lang.vocabulary import FIELDS, OTHER_TASK, FieldSpec, bucket_for

__all__ = ["NUMERIC_KINDS", "RELATIONS", "constant", "field_of"]

RELATIONS: dict[str, ir.Relation] = {"==": "eq", "!=": "ne", "<": "lt", "<=": "le", ">": "gt", ">=": "ge"}
NUMERIC_KINDS = ("tokens", "price", "ppm")
_WORD = get_args(ir.Word)
_FIELD_NAMES = frozenset(FIELDS)
_WRITTEN = {"tokens": "a number of tokens such as `4096`", "price": "a price such as `$15/Mtok`"}


def field_of(word: syntax.Word) -> FieldSpec | Diagnostic:
    """The field a name stands for."""
    if word.text in FIELDS:
        return FIELDS[word.text]
    known = "fields are " + ", ".join(f"`{name}`" for name in FIELDS if FIELDS[name].scope != "model") + ", `model.…`"
    near = did_you_mean(word.text, _FIELD_NAMES)
    return error("P301", word.span, f"unknown field `{word.text}`", None if near else known, near)


def constant(spec: FieldSpec, value: syntax.Value, tasks: frozenset[str]) -> str | int | FieldSpec | Diagnostic:
    """A constant in IR terms, or the field that a numeric field is compared with."""
    if spec.kind in NUMERIC_KINDS:
        return _number(spec, value)
    if isinstance(value, syntax.Scaled):
        return error("P305", value.span, f"`{spec.name}` is not a number")
    if spec.name == "tools":
        return _tool_bucket(spec, value)
    if isinstance(value, syntax.Amount):
        known = f"the classes are {', '.join(spec.values)}; their bound in tokens is `{spec.name}.upper`"
        help_text = known if spec.kind == "ordered" else None
        return error("P305", value.span, f"`{spec.name}` compares with a name, `{value.text}` is a number", help_text)
    return _name(spec, value, tasks)


def _number(spec: FieldSpec, value: syntax.Value) -> int | FieldSpec | Diagnostic:
    if isinstance(value, syntax.Amount):
        return price(value) if spec.kind == "price" else token_count(value)
    name = value.field if isinstance(value, syntax.Scaled) else value
    if name.text not in FIELDS:
        near = did_you_mean(name.text, _FIELD_NAMES)
        return error(
            "P305", name.span, f"`{spec.name}` compares with {_WRITTEN[spec.kind]}, not `{name.text}`", None, near
        )
    other = FIELDS[name.text]
    if other.kind != spec.kind:
        sorts = f"`{spec.name}` is {_sort(spec)}, `{other.name}` is {_sort(other)}"
        near = f"{name.text}.upper" if f"{name.text}.upper" in FIELDS and spec.kind == "tokens" else None
        return error("P305", name.span, sorts, None, near)
    return other


def _sort(spec: FieldSpec) -> str:
    sorts = {"tokens": "a number of tokens", "price": "a price", "ordered": "a size class", "flag": "a flag"}
    return sorts.get(spec.kind, "a name")


def _tool_bucket(spec: FieldSpec, value: syntax.Word | syntax.Amount) -> str | Diagnostic:
    if value.text in spec.values:
        return value.text
    known = f"the classes are {', '.join(spec.values)}"
    count = plain(value) if isinstance(value, syntax.Amount) else None
    if count is None or count > 128:
        return error("P303", value.span, f"`{value.text}` is not a class of `tools`", known)
    bucket = bucket_for("tools", count)
    return error(
        "P303", value.span, f"`tools` is compared by class and `{count}` lies inside `{bucket}`", known, bucket
    )


def _name(spec: FieldSpec, word: syntax.Word, tasks: frozenset[str]) -> str | Diagnostic:
    known = frozenset(tasks) if spec.name == "task" else frozenset(spec.values)
    if not known:
        pattern, longest = _WORD[1].pattern, _WORD[1].longest
        if re.fullmatch(pattern, word.text) and len(word.text) <= longest:
            return word.text
        return error("P303", word.span, f"`{spec.name}` compares with a name of letters, digits and `._:/-`")
    if word.text in known:
        return word.text
    near = did_you_mean(word.text, known)
    shown = sorted(known - {OTHER_TASK}) if spec.name == "task" else spec.values
    listed = f"`{spec.name}` is one of {', '.join(shown[:24])}"
    what = "a declared task" if spec.name == "task" else f"a value of `{spec.name}`"
    return error("P303", word.span, f"`{word.text[:60]}` is not {what}", None if near else listed, near)
