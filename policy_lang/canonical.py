"""Canonical JSON out, strict JSON in.

Out: RFC 8785 form. For ASCII keys and integers below 2^53 `json.dumps` with sorted keys is byte-equal to it, and every
document of ours keeps to that (no floats; money is integer nano- or pico-dollars).
In: duplicate keys, NaN, infinities, floats beyond double range, integers beyond 2^53, and deep nesting are refused.
"""

from __future__ import annotations

import json
from json import encoder
from typing import Any, NoReturn

__all__ = ["MAX_SAFE_INTEGER", "StrictJsonError", "canonical", "canonical_text", "parse_strict", "quoted"]

MAX_SAFE_INTEGER = 2**53 - 1

_encoder = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
# `JSONEncoder.encode` makes a C encoder for every call, which costs what a small document does: one serves them all.
# Without the C module there is none to make.
_make: Any = getattr(encoder, "c_make_encoder", None)
_chunks = _make and _make(None, _encoder.default, encoder.encode_basestring, None, ":", ",", True, False, False)


class StrictJsonError(ValueError):
    """The text is not JSON we accept. `code` is machine readable."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def canonical(value: Any) -> bytes:
    """The one byte string of a JSON value of ours (RFC 8785 for the subset named in the module docstring)."""
    return canonical_text(value).encode()


def canonical_text(value: Any) -> str:
    """`canonical` before it is UTF-8."""
    return "".join(_chunks(value, 0)) if _chunks else _encoder.encode(value)


def quoted(text: str) -> str:
    """`canonical_text` of a string, for those who put documents together from parts."""
    return encoder.encode_basestring(text)


def parse_strict(text: bytes | str, *, max_bytes: int, max_depth: int = 64) -> Any:
    """Parse JSON, refusing what two parsers could read differently. Raises StrictJsonError with a stable code."""
    if len(text) > max_bytes:
        raise StrictJsonError("body_too_large", f"at most {max_bytes} bytes are accepted, got {len(text)}")
    try:
        decoded = text.decode("utf-8") if isinstance(text, bytes) else text
    except UnicodeDecodeError as problem:
        raise StrictJsonError(
            "malformed_json", f"the text is not UTF-8: {problem.reason} at byte {problem.start}"
        ) from None
    _check_depth(decoded, max_depth)
    try:
        return _decoder.decode(decoded)
    except json.JSONDecodeError as problem:
        where = f"line {problem.lineno}, column {problem.colno}"
        raise StrictJsonError("malformed_json", f"not JSON at {where}: {problem.msg}") from None


def _check_depth(text: str, limit: int) -> None:
    # Brackets are counted before parsing: the C scanner recurses once per level and raises RecursionError otherwise.
    depth = 0
    in_string = escaped = False
    if text.count("{") + text.count("[") <= limit:
        return
    for char in text:
        if in_string:
            if escaped:
                escaped = False
            elif char == "\\":
                escaped = True
            elif char == '"':
                in_string = False
        elif char == '"':
            in_string = True
        elif char in "[{":
            depth += 1
            if depth > limit:
                raise StrictJsonError("too_deep", f"at most {limit} levels of nesting are accepted")
        elif char in "]}":
            depth -= 1


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise StrictJsonError("duplicate_key", f"the key `{key[:40]}` stands twice in one object")
            seen.add(key)
    return found


def _constant(name: str) -> NoReturn:
    raise StrictJsonError("not_a_number", f"`{name}` is not accepted; numbers must be finite")


def _integer(digits: str) -> int:
    if len(digits) > 17 or abs(int(digits)) > MAX_SAFE_INTEGER:
        raise StrictJsonError("number_too_large", f"integers must lie within +-{MAX_SAFE_INTEGER}")
    return int(digits)


def _float(digits: str) -> float:
    value = float(digits)
    if value in (float("inf"), float("-inf")):
        raise StrictJsonError("number_too_large", "numbers must be finite doubles")
    return value


_decoder = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_constant, parse_int=_integer, parse_float=_float)
