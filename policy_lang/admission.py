"""Admits an IR document from outside: bounded, total, stdlib only. What `route` runs on an inline policy.

The decoders are derived from the dataclasses of `ir.py` on first use, so the walker knows nothing the IR does not say.

    AdmissionError    the document is not a policy of ours; `code`, `path`, message
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import MISSING, fields
from functools import cache
from types import NoneType
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

from policy_lang.bounds import out_of_bounds
from policy_lang.consistency import inconsistencies
from policy_lang.ir import Limits, Policy, Tagged, Text, Truth, Whole

__all__ = ["AdmissionError", "admit", "policy_from_document"]

_Decoder = Callable[[Any, str], Any]
_SHOWN = 40


class AdmissionError(ValueError):
    """`path` leads to the offending value, as in `routes[0].pick[1].rule`."""

    def __init__(self, code: str, path: str, message: str) -> None:
        super().__init__(f"{path or 'the policy'}: {message}")
        self.code = code
        self.path = path
        self.message = message


def admit(document: object) -> Policy:
    """The policy that `document`, a parsed JSON value, stands for. AdmissionError unless it is sound in every part."""
    if problem := out_of_bounds(document):
        raise AdmissionError("out_of_bounds", "", problem)
    policy = policy_from_document(document)
    for path, message in inconsistencies(policy):
        raise AdmissionError("inconsistent", path, message)
    return policy


def policy_from_document(document: object) -> Policy:
    """The same for a document that this project stored: structure is still checked, bounds and names are not."""
    policy: Policy = _dataclass(Policy)(document, "")
    return policy


def _decoder(hint: Any) -> _Decoder:
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return _annotated(arguments[0], arguments[1])
    if origin is Literal:
        return _literal(arguments)
    if isinstance(hint, type):
        return _dataclass(hint)
    inner = [argument for argument in arguments if argument is not NoneType]
    return _one_of([_decoder(argument) for argument in inner], optional=len(inner) < len(arguments))


def _annotated(base: Any, marker: Any) -> _Decoder:
    match marker:
        case Whole(low, high):
            return _whole(low, high)
        case Text(pattern, longest):
            return _text(re.compile(pattern), longest)
        case Truth():
            return _truth
        case Limits(least, most):
            return _array(_decoder(get_args(base)[0]), least, most)
        case Tagged(tag):
            return _tagged(tag, {get_type_hints(node)[tag].__args__[0]: node for node in get_args(base)})
    raise TypeError(f"no decoder for {base} with {marker}")


@cache
def _dataclass(node: Any) -> _Decoder:
    hints = get_type_hints(node, include_extras=True)
    required = [field.name for field in fields(node) if field.default is MISSING]
    decoders: dict[str, _Decoder] = {}

    def decode(value: Any, path: str) -> Any:
        if not decoders:  # built on first use: an expression holds expressions
            decoders.update({name: _decoder(hint) for name, hint in hints.items() if name in node.__slots__})
        if not isinstance(value, dict):
            raise AdmissionError("wrong_type", path, "must be an object")
        for name in value:
            if name not in decoders:
                known = ", ".join(decoders)
                message = f"unknown field `{str(name)[:_SHOWN]}`; the fields are {known}"
                raise AdmissionError("unknown_field", path, message)
        for name in required:
            if name not in value:
                raise AdmissionError("missing_field", path, f"`{name}` is missing")
        prefix = f"{path}." if path else ""
        return node(**{name: decoders[name](item, prefix + name) for name, item in value.items()})

    return decode


def _whole(low: int, high: int) -> _Decoder:
    def decode(value: Any, path: str) -> int:
        if not isinstance(value, int) or isinstance(value, bool):
            raise AdmissionError("wrong_type", path, "must be a whole number")
        if not low <= value <= high:
            raise AdmissionError("out_of_range", path, f"must lie from {low} to {high}")
        return value

    return decode


def _truth(value: Any, path: str) -> bool:
    if not isinstance(value, bool):
        raise AdmissionError("wrong_type", path, "must be true or false")
    return value


def _text(pattern: re.Pattern[str], longest: int) -> _Decoder:
    def decode(value: Any, path: str) -> str:
        if not isinstance(value, str):
            raise AdmissionError("wrong_type", path, "must be a string")
        if len(value) > longest:
            raise AdmissionError("out_of_range", path, f"must have at most {longest} characters")
        if not pattern.fullmatch(value) or not _is_unicode(value):
            raise AdmissionError("wrong_text", path, f"must match {pattern.pattern}")
        return value

    return decode


def _is_unicode(value: str) -> bool:
    # A lone surrogate survives JSON but has no UTF-8 form, hence no fingerprint.
    return value.isascii() or not any("\ud800" <= char <= "\udfff" for char in value)


def _array(item: _Decoder, least: int, most: int) -> _Decoder:
    def decode(value: Any, path: str) -> tuple[Any, ...]:
        if not isinstance(value, list):
            raise AdmissionError("wrong_type", path, "must be an array")
        if not least <= len(value) <= most:
            raise AdmissionError("out_of_range", path, f"must have {least} to {most} items")
        return tuple([item(element, f"{path}[{index}]") for index, element in enumerate(value)])

    return decode


def _literal(accepted: tuple[Any, ...]) -> _Decoder:
    kinds = {type(value) for value in accepted}

    def decode(value: Any, path: str) -> Any:
        if type(value) not in kinds or value not in accepted:
            raise AdmissionError("unknown_value", path, f"must be {' or '.join(repr(known) for known in accepted)}")
        return value

    return decode


def _tagged(tag: str, nodes: dict[str, Any]) -> _Decoder:
    def decode(value: Any, path: str) -> Any:
        if not isinstance(value, dict):
            raise AdmissionError("wrong_type", path, "must be an object")
        name = value.get(tag)
        if not isinstance(name, str) or name not in nodes:
            raise AdmissionError("unknown_op", path, f"`{tag}` must be one of {', '.join(nodes)}")
        return _dataclass(nodes[name])(value, path)

    return decode


def _one_of(decoders: list[_Decoder], *, optional: bool) -> _Decoder:
    def decode(value: Any, path: str) -> Any:
        if value is None and optional:
            return None
        problem: AdmissionError | None = None
        for decoder in decoders:
            try:
                return decoder(value, path)
            except AdmissionError as refusal:
                problem = problem if problem and refusal.code == "wrong_type" else refusal
        assert problem is not None
        raise problem

    return decode
