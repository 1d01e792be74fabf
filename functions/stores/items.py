"""DynamoDB attribute values to Python and back: strings, and integers of any size."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from types_boto3_dynamodb.type_defs import AttributeValueTypeDef

__all__ = ["Value", "decoded", "encoded"]

Value = str | int


def encoded(values: Mapping[str, Value]) -> dict[str, AttributeValueTypeDef]:
    """An item or the values of an expression."""
    return {name: {"S": value} if isinstance(value, str) else {"N": str(value)} for name, value in values.items()}


def decoded(item: Mapping[str, Any]) -> dict[str, Any]:
    """The values of an item that `encoded` wrote; the caller knows which are strings and which integers."""
    found = {}
    for name, attribute in item.items():
        kind, value = next(iter(cast("Mapping[str, str]", attribute).items()))
        found[name] = int(value) if kind == "N" else value
    return found
