"""What may stand on the right of a comparison: the constant a field of each kind compares with."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import get_args

from policy_lang import ir
from policy_lang.diagnostics import Diagnostic, did_you_mean, error
from policy_lang.lowering.units import plain, price, token_count
from policy_lang.text import syntax
from policy_lang.vocabulary import ATTRIBUTE_PREFIX, OTHER_TASK, FieldSpec, bucket_for

__all__ = ["NUMERIC_KINDS", "RELATIONS", "Fields", "constant", "field_of"]

RELATIONS: dict[str, ir.Relation] = {"==": "eq", "!=": "ne", "<": "lt", "<=": "le", ">": "gt", ">=": "ge"}
NUMERIC_KINDS = ("tokens", "price", "ppm")
#: Field name -> its kind, with the policy's own tasks and attributes.
Fields = Mapping[str, FieldSpec]
_WORD = get_args(ir.Word)
_WRITTEN = {"tokens": "a number of tokens such as `4096`", "price": "a price such as `$15/Mtok`"}


def field_of(word: syntax.Word, fields: Fields) -> FieldSpec | Diagnostic:
    """The field a name stands for."""
    if word.text in fields:
        return fields[word.text]
    if word.text.startswith(ATTRIBUTE_PREFIX):
        near = did_you_mean(word.text, frozenset(name for name in fields if name.startswith(ATTRIBUTE_PREFIX)))
        help_text = None if near else "declare it, as in `attribute plan = [free, pro]`"
        return error("P301", word.span, f"unknown attribute `{word.text}`", help_text, near)
    known = "fields are " + ", ".join(f"`{name}`" for name in fields if fields[name].scope != "model") + ", `model.…`"
    attribute = f"{ATTRIBUTE_PREFIX}{word.text}"
    near = attribute if attribute in fields else did_you_mean(word.text, frozenset(fields))
    return error("P301", word.span, f"unknown field `{word.text}`", None if near else known, near)


def constant(spec: FieldSpec, value: syntax.Value, fields: Fields) -> str | int | FieldSpec | Diagnostic:
    """A constant in IR terms, or the field that a numeric field is compared with."""
    if spec.kind in NUMERIC_KINDS:
        return _number(spec, value, fields)
    if isinstance(value, syntax.Scaled):
        return error("P305", value.span, f"`{spec.name}` is not a number")
    if spec.name == "tools":
        return _tool_bucket(spec, value)
    if isinstance(value, syntax.Amount):
        known = f"the classes are {', '.join(spec.values)}; their bound in tokens is `{spec.name}.upper`"
        help_text = known if spec.kind == "ordered" else None
        return error("P305", value.span, f"`{spec.name}` compares with a name, `{value.text}` is a number", help_text)
    return _name(spec, value)


def _number(spec: FieldSpec, value: syntax.Value, fields: Fields) -> int | FieldSpec | Diagnostic:
    if isinstance(value, syntax.Amount):
        return price(value) if spec.kind == "price" else token_count(value)
    name = value.field if isinstance(value, syntax.Scaled) else value
    if name.text not in fields:
        near = did_you_mean(name.text, frozenset(fields))
        return error(
            "P305", name.span, f"`{spec.name}` compares with {_WRITTEN[spec.kind]}, not `{name.text}`", None, near
        )
    other = fields[name.text]
    if other.kind != spec.kind:
        sorts = f"`{spec.name}` is {_sort(spec)}, `{other.name}` is {_sort(other)}"
        near = f"{name.text}.upper" if f"{name.text}.upper" in fields and spec.kind == "tokens" else None
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


def _name(spec: FieldSpec, word: syntax.Word) -> str | Diagnostic:
    if not spec.values:
        pattern, longest = _WORD[1].pattern, _WORD[1].longest
        if re.fullmatch(pattern, word.text) and len(word.text) <= longest:
            return word.text
        return error("P303", word.span, f"`{spec.name}` compares with a name of letters, digits and `._:/-`")
    if word.text in spec.values:
        return word.text
    near = did_you_mean(word.text, frozenset(spec.values))
    shown = [value for value in spec.values if spec.name != "task" or value != OTHER_TASK]
    listed = f"`{spec.name}` is one of {', '.join(shown[:24])}"
    what = "a declared task" if spec.name == "task" else f"a value of `{spec.name}`"
    return error("P303", word.span, f"`{word.text[:60]}` is not {what}", None if near else listed, near)
