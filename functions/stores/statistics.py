"""Learned statistics: cells that only ever grow, and the markers that make each reported field count exactly once.

A marker is put on condition that it is absent, in the same transaction as the additions it stands for. Whatever happens
in between (a lost reply, a crash, a message delivered five times) either both are there or neither is.
"""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from functions.stores.errors import ConflictError, reaching
from functions.stores.items import Value, decoded, encoded
from functions.stores.keys import (
    SHARDS,
    cell_key,
    cell_partition,
    marker_key,
    marker_of,
    settled_key,
    settled_partition,
    shard_of,
    tally_key,
)
from policy_engine.settlement import CellKey, Effect, LaneTally, MarkerKey
from policy_engine.statistics import CellRow, Sums, merge_sums
from policy_engine.trials import Tally, TrialLane
from policy_lang.frozen import frozen

if TYPE_CHECKING:
    from types_boto3_dynamodb.client import DynamoDBClient

__all__ = ["MAX_TRANSACTION_ITEMS", "StatisticsStore", "transactions"]

#: DynamoDB's limit on distinct items in one transaction.
MAX_TRANSACTION_ITEMS = 100
_CODE = "statistics_unavailable"
_PAUSES_S = (0.0, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64)
_BUSY = frozenset(("TransactionConflict", "ThrottlingError", "ProvisionedThroughputExceeded"))
_DAY_S = 24 * 3600
_LONGEST_PERIOD_DAYS = 31
_SETTLED_KEPT_DAYS = 40
_Place = tuple[str, int, int]


@frozen
class _TallyItem:
    """The item of a lane that lies beside the cells of one shard."""

    tenant: str
    shard: int
    lane: TrialLane


@frozen
class _Additions:
    """What the effects of one transaction add, one entry an item. A lane's item is kept as long as the newest marker
    of what it counts, seconds: a trial that nothing was added to for so long is over.
    """

    cells: Mapping[CellKey, Sums]
    settled: Mapping[_Place, Mapping[str, int]]
    tallies: Mapping[_TallyItem, tuple[Sums, int]]


class StatisticsStore:
    """The statistics table."""

    def __init__(self, dynamodb: DynamoDBClient, table: str) -> None:
        self._dynamodb = dynamodb
        self._table = table

    def commit(self, effects: Sequence[Effect]) -> dict[MarkerKey, str]:
        """Apply those of `effects` that nobody applied before, in one transaction; distinct markers, at most 100 items.

        Returns the id of the record that each marker belongs to: an effect counted exactly if it is its own record's,
        now or in an earlier delivery. StoreError when nothing could be decided; trying again later is always safe.
        """
        pending = {effect.marker: effect for effect in effects}
        owners: dict[MarkerKey, str] = {}
        pauses = iter(_PAUSES_S)
        while pending:
            taken, busy = self._attempt(list(pending.values()))
            if not taken and not busy:
                return owners | {marker: effect.record_id for marker, effect in pending.items()}
            owners |= taken
            pending = {marker: effect for marker, effect in pending.items() if marker not in taken}
            if busy:
                pause = next(pauses, None)
                if pause is None:
                    raise ConflictError(_CODE, "others kept changing the same cells", "TransactionConflict")
                time.sleep(pause)
        return owners

    def cells(self, tenant: str) -> Iterator[CellRow]:
        """Every statistics item of a tenant, shard by shard."""
        for shard in range(SHARDS):
            for item in self._query(cell_partition(tenant, shard), "cell#"):
                _, cluster, arm, generation, epoch = item.pop("sk").split("#")
                del item["pk"]
                yield CellRow(cluster, item.pop("task"), arm, int(generation), int(epoch), item)

    def markers(self, tenant: str) -> Iterator[tuple[MarkerKey, str]]:
        """Every marker of a tenant and the record it belongs to. Reads the whole table, to check it."""
        pages = self._dynamodb.get_paginator("scan").paginate(
            TableName=self._table,
            FilterExpression="attribute_exists(record_id) AND begins_with(pk, :tenant)",
            ExpressionAttributeValues=encoded({":tenant": f"{tenant}#"}),
        )
        with reaching(_CODE, "the statistics table"):
            for item in (decoded(item) for page in pages for item in page["Items"]):
                yield marker_of(item), item["record_id"]

    def settled(self, tenant: str, now_ms: int) -> dict[str, int]:
        """What telemetry found a tenant's decisions to have used beyond what was expected, by account and period, over
        the days that a period of `now_ms` can have.
        """
        total: Counter[str] = Counter()
        first = now_ms // 1000 // _DAY_S - _LONGEST_PERIOD_DAYS
        for item in self._query(settled_partition(tenant), f"{first}", "sk >= :from"):
            total.update({name: amount for name, amount in item.items() if "@" in name})
        return dict(total)

    def tallies(self, tenant: str) -> dict[TrialLane, Tally]:
        """What the lanes of a tenant's trials have come to, their shards added up."""
        parts: dict[TrialLane, list[Sums]] = {}
        for shard in range(SHARDS):
            for item in self._query(cell_partition(tenant, shard), "lane#"):
                _, trial, lane = item.pop("sk").split("#")
                del item["pk"], item["expires_at"]
                parts.setdefault(TrialLane(trial, lane), []).append(item)
        return {lane: merge_sums(found) for lane, found in parts.items()}

    def _attempt(self, effects: Sequence[Effect]) -> tuple[dict[MarkerKey, str], bool]:
        """Owners of the markers that were already there, and whether others were in the way; neither: it is done."""
        writes = [self._marker_put(effect) for effect in effects] + self._updates(_additions(effects))
        with reaching(_CODE, "the statistics table"):
            try:
                self._dynamodb.transact_write_items(TransactItems=writes)
            except ClientError as problem:
                code = problem.response["Error"]["Code"]
                if code == "TransactionInProgressException":
                    return {}, True
                if code != "TransactionCanceledException":
                    raise
                reasons = problem.response["CancellationReasons"]
                taken = _owners(effects, reasons)
                busy = any(reason.get("Code") in _BUSY for reason in reasons)
                if not taken and not busy:
                    raise
                return taken, busy
        return {}, False

    def _marker_put(self, effect: Effect) -> Any:
        item = {
            **marker_key(effect.marker),
            "state": "applied",
            "record_id": effect.record_id,
            "expires_at": effect.expires_ms // 1000,
        }
        return {
            "Put": {
                "TableName": self._table,
                "Item": encoded(item),
                "ConditionExpression": "attribute_not_exists(pk)",
                "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
            }
        }

    def _updates(self, additions: _Additions) -> list[Any]:
        updates = [self._cell_update(cell, sums) for cell, sums in additions.cells.items()]
        updates += [self._tally_update(item, *added) for item, added in additions.tallies.items()]
        return updates + [self._settling(place, amounts) for place, amounts in additions.settled.items()]

    def _cell_update(self, cell: CellKey, sums: Sums) -> Any:
        return self._addition(cell_key(cell), sums, task=cell.task)

    def _tally_update(self, item: _TallyItem, sums: Sums, expires_s: int) -> Any:
        return self._addition(tally_key(item.tenant, item.shard, item.lane), sums, expires_at=expires_s)

    def _addition(self, key: Mapping[str, Value], sums: Mapping[str, int], **said: Value) -> Any:
        """An update that ADDs `sums` and sets the one attribute `said`."""
        ((name, value),) = said.items()
        names = {f"#{position}": each for position, each in enumerate(sums)}
        values = {f":{position}": each for position, each in enumerate(sums.values())}
        added = ", ".join(f"#{position} :{position}" for position in range(len(sums)))
        return {
            "Update": {
                "TableName": self._table,
                "Key": encoded(key),
                "UpdateExpression": f"SET #said = :said ADD {added}",
                "ExpressionAttributeNames": {"#said": name, **names},
                "ExpressionAttributeValues": encoded({":said": value, **values}),
            }
        }

    def _settling(self, place: _Place, amounts: Mapping[str, int]) -> Any:
        names = {f"#{position}": key for position, key in enumerate(amounts)}
        values = {f":{position}": amount for position, amount in enumerate(amounts.values())}
        added = ", ".join(f"#{position} :{position}" for position in range(len(amounts)))
        return {
            "Update": {
                "TableName": self._table,
                "Key": encoded(settled_key(*place)),
                "UpdateExpression": f"SET expires_at = :expires ADD {added}",
                "ExpressionAttributeNames": names,
                "ExpressionAttributeValues": encoded(
                    {":expires": (place[1] + _SETTLED_KEPT_DAYS) * _DAY_S, **values},
                ),
            }
        }

    def _query(self, partition: str, start: str, which: str = "begins_with(sk, :from)") -> Iterator[dict[str, Any]]:
        pages = self._dynamodb.get_paginator("query").paginate(
            TableName=self._table,
            KeyConditionExpression=f"pk = :pk AND {which}",
            ExpressionAttributeValues=encoded({":pk": partition, ":from": start}),
        )
        with reaching(_CODE, "the statistics table"):
            for page in pages:
                for item in page["Items"]:
                    yield decoded(item)


def transactions(effects: Sequence[Effect]) -> Iterator[list[Effect]]:
    """`effects` in groups that fit one transaction each, shard by shard and cell by cell, so that each is written
    rarely.
    """
    group: list[Effect] = []
    items: set[object] = set()
    for effect in sorted(effects, key=_order):
        needed = _items(effect)
        if group and len(items | needed) > MAX_TRANSACTION_ITEMS:
            yield group
            group, items = [], set()
        group.append(effect)
        items |= needed
    if group:
        yield group


def _order(effect: Effect) -> tuple[str, ...]:
    cell, marker = effect.cell, effect.marker
    return (
        cell.tenant,
        str(shard_of(cell.cluster)),
        cell.cluster,
        cell.arm,
        marker.decision_id,
        str(marker.hop),
        marker.field,
    )


def _items(effect: Effect) -> set[object]:
    needed: set[object] = {effect.marker}
    if effect.sums:
        needed.add(effect.cell)
    if effect.charges:
        needed.add(_place(effect))
    if effect.tally:
        needed.add(_tally_item(effect, effect.tally))
    return needed


def _additions(effects: Sequence[Effect]) -> _Additions:
    cells: dict[CellKey, list[Sums]] = {}
    settled: dict[_Place, Counter[str]] = defaultdict(Counter)
    tallies: dict[_TallyItem, list[Effect]] = {}
    for effect in effects:
        if effect.sums:
            cells.setdefault(effect.cell, []).append(effect.sums)
        if effect.charges:
            settled[_place(effect)].update(dict(effect.charges))
        if effect.tally:
            tallies.setdefault(_tally_item(effect, effect.tally), []).append(effect)
    return _Additions(
        {cell: merge_sums(parts) for cell, parts in cells.items()},
        settled,
        {item: _tallied(found) for item, found in tallies.items()},
    )


def _tallied(effects: Sequence[Effect]) -> tuple[Sums, int]:
    sums = merge_sums(effect.tally.sums for effect in effects if effect.tally)
    return sums, max(effect.expires_ms for effect in effects) // 1000


def _tally_item(effect: Effect, tally: LaneTally) -> _TallyItem:
    """Beside the cell that the same effect adds to: a lane is spread over partitions as the cells are."""
    return _TallyItem(effect.cell.tenant, shard_of(effect.cell.cluster), tally.lane)


def _place(effect: Effect) -> _Place:
    """Where charges are settled: by the shard of their cell, so that few transactions meet there that do not already
    meet at the cell.
    """
    return (effect.cell.tenant, effect.day, shard_of(effect.cell.cluster))


def _owners(effects: Sequence[Effect], reasons: Sequence[Mapping[str, Any]]) -> dict[MarkerKey, str]:
    """Markers stand first in the transaction, in the order of `effects`, so reasons and effects pair up."""
    return {
        effect.marker: decoded(reason["Item"])["record_id"]
        for effect, reason in zip(effects, reasons, strict=False)
        if reason.get("Code") == "ConditionalCheckFailed"
    }
