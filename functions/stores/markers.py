"""Markers, many to an item: an attribute for each field of each hop that counted, and whose record it was.

An attribute is put on condition that it is absent and that the item is not full. A full item takes nothing more, ever:
what it does not hold by then it never will, so its marker is looked for, and put, one bucket deeper. That is why a
marker has one place at any time, however many deliveries look for it at once, and why no item outgrows its limits.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from functions.stores.items import Value, encoded
from functions.stores.keys import Key, marker_key, marker_place
from policy_engine.packing import Bucket, bucket_of
from policy_engine.settlement import Effect, Field, MarkerKey

__all__ = ["AT_ONCE", "FULL", "MarkerItem", "found", "held_by", "marker_item", "put"]

#: Markers from which on an item is full: more than are expected of its decisions, about two write units.
#: INVARIANT: never raised while markers are kept, or what went deeper would find room above and count again.
FULL = 32
#: Markers put into an item at once: an expression has 4 KB, and the last to come before it is full are as many.
AT_ONCE = 32
_COUNT = "n"
_KEYS = frozenset(("pk", "sk", "expires_at", _COUNT))


class MarkerItem(NamedTuple):
    """Where the markers of one field of some decisions lie."""

    tenant: str
    field: Field
    bucket: Bucket


def marker_item(marker: MarkerKey, depth: int) -> MarkerItem:
    """The item that a marker belongs into after `depth` full ones."""
    return MarkerItem(marker.tenant, marker.field, bucket_of(marker.decision_id, depth))


def put(item: MarkerItem, effects: Sequence[Effect]) -> dict[str, Any]:
    """The update of a transaction that puts the markers of `effects`, or tells what the item holds instead.

    INVARIANT: the item is kept until the last marker that its bucket could have may go. Each update says so for itself,
    and none earlier than another: later than the newest of its own by as much as any other can be younger.
    """
    names = {f"#{position}": _name(item.bucket, effect.marker) for position, effect in enumerate(effects)}
    owners: dict[str, Value] = {f":{position}": effect.record_id for position, effect in enumerate(effects)}
    expires_ms = max(effect.expires_ms for effect in effects) + item.bucket.width_ms
    said = ", ".join(f"#{position} = :{position}" for position in range(len(effects)))
    absent = [f"attribute_not_exists({name})" for name in names]
    values: dict[str, Value] = {**owners, ":expires": expires_ms // 1000, ":put": len(effects)}
    if not item.bucket.own:
        absent.append("(attribute_not_exists(#count) OR #count < :full)")
        values[":full"] = FULL
    return {
        "Key": encoded(marker_key(*item)),
        "UpdateExpression": f"SET expires_at = :expires, {said} ADD #count :put",
        "ConditionExpression": " AND ".join(absent),
        "ExpressionAttributeNames": {"#count": _COUNT, **names},
        "ExpressionAttributeValues": encoded(values),
        "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
    }


def found(
    item: MarkerItem, held: Mapping[str, Any], effects: Sequence[Effect]
) -> tuple[dict[MarkerKey, str], list[MarkerKey]]:
    """Of an item that refused: the owners of the markers it holds; and, if it is full, the markers that go deeper."""
    names = {effect.marker: _name(item.bucket, effect.marker) for effect in effects}
    owners = {marker: str(held[name]) for marker, name in names.items() if name in held}
    full = not item.bucket.own and held[_COUNT] >= FULL
    return owners, [marker for marker in names if full and marker not in owners]


def held_by(held: Mapping[str, Any]) -> Iterator[tuple[MarkerKey, str]]:
    """The markers of an item, and the record that each belongs to."""
    key: Key = {"pk": held["pk"], "sk": held["sk"]}
    tenant, field, bucket = marker_place(key)
    for name in held.keys() - _KEYS:
        hop, _, rest = name.partition("#")
        decision_id = bucket.decision_id(rest)
        yield MarkerKey(tenant, decision_id, int(hop), "outcome" if field == "outcome" else "quality"), held[name]


def _name(bucket: Bucket, marker: MarkerKey) -> str:
    return f"{marker.hop}#{bucket.rest(marker.decision_id)}"
