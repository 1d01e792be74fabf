"""Whole numbers of the wire as people read them."""

from __future__ import annotations

from policy_lang.vocabulary import FIELDS

__all__ = ["dollars", "operand", "percent"]

_NANO = 1_000_000_000
_OF_MODELS = "model."


def dollars(nanodollars: int) -> str:
    """At least two decimals, and as many as a small amount needs for two digits."""
    for decimals in (2, 4, 6):
        if nanodollars * 10**decimals >= 10 * _NANO or nanodollars == 0:
            return f"${nanodollars / _NANO:.{decimals}f}"
    return f"${nanodollars / _NANO:.9f}"


def percent(ppm: int) -> str:
    return f"{ppm / 10_000:.1f}%"


def operand(field: str, value: str | int | bool | None) -> str:
    """`field is value` with the unit of its kind. What a request leaves out is not given, what a catalog, unknown."""
    spec = FIELDS.get(field)
    if value is None:
        return f"{field} is {'unknown' if field.startswith(_OF_MODELS) else 'not given'}"
    if isinstance(value, bool):
        return f"{field} is {'true' if value else 'false'}"
    kind = spec.kind if spec else None
    if kind == "price":
        return f"{field} is ${value / 1_000_000:g}/Mtok"  # type: ignore[operator]  # prices are integers
    if kind == "tokens":
        return f"{field} is {value:,} tokens"
    return f"{field} is {value}"
