"""DynamoDB attribute values to Python and back: strings, bytes, and integers of any size."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from types_boto3_dynamodb.type_defs import AttributeValueTypeDef

__all__ = ["Value", "decoded", "encoded"]

Value = str | int | bytes


def encoded(values: Mapping[str, Value]) -> dict[str, AttributeValueTypeDef]:
    """An item or the values of an expression."""
    return {name: _attribute(value) for name, value in values.items()}


def decoded(item: Mapping[str, Any]) -> dict[str, Any]:
    """The values of an item that `encoded` wrote; the caller knows which is of which kind."""
    found = {}
    for name, attribute in item.items():
        kind, value = next(iter(cast("Mapping[str, Any]", attribute).items()))
        found[name] = int(value) if kind == "N" else value
    return found


def _attribute(value: Value) -> AttributeValueTypeDef:
    if isinstance(value, str):
        return {"S": value}
    return {"B": value} if isinstance(value, bytes) else {"N": str(value)}
