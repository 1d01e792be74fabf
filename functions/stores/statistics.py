"""Learned statistics: cells that only ever grow, and the markers that make each reported field count exactly once.

A marker is put on condition that it is absent, in the same transaction as the additions it stands for. Whatever happens
in between (a lost reply, a crash, a message delivered five times) either both are there or neither is. Where markers
lie, many to an item, is told by `markers`; how events are grouped, by `transactions`.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from botocore.exceptions import ClientError

from functions.stores import markers
from functions.stores.errors import ConflictError, reaching
from functions.stores.items import Value, decoded, encoded
from functions.stores.keys import SHARDS, cell_key, cell_partition, settled_key, settled_partition, tally_key
from functions.stores.transactions import Additions, Depths, Place, TallyItem, additions, shelved, transactions
from policy_engine.settlement import CellKey, Effect, MarkerKey
from policy_engine.statistics import CellRow, Sums, merge_sums
from policy_engine.trials import Tally, TrialLane

if TYPE_CHECKING:
    from types_boto3_dynamodb.client import DynamoDBClient

__all__ = ["StatisticsStore"]

_CODE = "statistics_unavailable"
_PAUSES_S = (0.0, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64)
_BUSY = frozenset(("TransactionConflict", "ThrottlingError", "ProvisionedThroughputExceeded"))
_DAY_S = 24 * 3600
_LONGEST_PERIOD_DAYS = 31
_SETTLED_KEPT_DAYS = 40


class StatisticsStore:
    """The statistics table."""

    def __init__(self, dynamodb: DynamoDBClient, table: str) -> None:
        self._dynamodb = dynamodb
        self._table = table

    def commit(self, effects: Sequence[Effect]) -> dict[MarkerKey, str]:
        """Apply those of `effects`, of distinct markers, that nobody applied before; in one transaction if they fit.

        Returns the id of the record that each marker belongs to: an effect counted exactly if it is its own record's,
        now or in an earlier delivery. StoreError when nothing could be decided; trying again later is always safe.

        A transaction that is refused is tried again without what was found to be another's, and deeper with what
        passed a full item. So it is refused again only if others wrote in between, or as often as there are depths.
        """
        owners: dict[MarkerKey, str] = {}
        depths: Counter[MarkerKey] = Counter()
        pauses = iter(_PAUSES_S)
        pending = transactions(effects, depths)
        while pending:
            group = pending.pop()
            refused = self._attempt(group, depths)
            if refused is None:
                owners |= {effect.marker: effect.record_id for effect in group}
                continue
            owners |= refused.owners
            depths.update(refused.deeper)
            pending += transactions([effect for effect in group if effect.marker not in refused.owners], depths)
            if refused.busy:
                pause = next(pauses, None)
                if pause is None:
                    raise ConflictError(_CODE, "others kept changing the same items", "TransactionConflict")
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
            FilterExpression="begins_with(pk, :tenant) AND (begins_with(sk, :outcome) OR begins_with(sk, :quality))",
            ExpressionAttributeValues=encoded(
                {":tenant": f"{tenant}#", ":outcome": "outcome#", ":quality": "quality#"}
            ),
        )
        with reaching(_CODE, "the statistics table"):
            for item in (decoded(item) for page in pages for item in page["Items"]):
                yield from markers.held_by(item)

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

    def _attempt(self, effects: Sequence[Effect], depths: Depths) -> _Refusal | None:
        """Write what `effects` come to, or say why not."""
        shelves = shelved(effects, depths)
        puts = [{"Update": {"TableName": self._table, **markers.put(*shelf)}} for shelf in shelves.items()]
        with reaching(_CODE, "the statistics table"):
            try:
                self._dynamodb.transact_write_items(TransactItems=puts + self._updates(additions(effects)))
            except ClientError as problem:
                code = problem.response["Error"]["Code"]
                if code == "TransactionInProgressException":
                    return _Refusal({}, [], busy=True)
                if code != "TransactionCanceledException":
                    raise
                refusal = _refusal(shelves, problem.response["CancellationReasons"])
                if not (refusal.owners or refusal.deeper or refusal.busy):
                    raise
                return refusal
        return None

    def _updates(self, additions: Additions) -> list[Any]:
        updates = [self._cell_update(cell, sums) for cell, sums in additions.cells.items()]
        updates += [self._tally_update(item, *added) for item, added in additions.tallies.items()]
        return updates + [self._settling(place, amounts) for place, amounts in additions.settled.items()]

    def _cell_update(self, cell: CellKey, sums: Sums) -> Any:
        return self._addition(cell_key(cell), sums, task=cell.task)

    def _tally_update(self, item: TallyItem, sums: Sums, expires_s: int) -> Any:
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

    def _settling(self, place: Place, amounts: Mapping[str, int]) -> Any:
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


class _Refusal(NamedTuple):
    """Why nothing was written: `owners` of markers that were there, markers that go `deeper`, or others in the way."""

    owners: dict[MarkerKey, str]
    deeper: list[MarkerKey]
    busy: bool


def _refusal(shelves: Mapping[markers.MarkerItem, Sequence[Effect]], reasons: Sequence[Mapping[str, Any]]) -> _Refusal:
    """Shelves stand first in the transaction, in their order, so they and the reasons pair up."""
    refusal = _Refusal({}, [], any(reason.get("Code") in _BUSY for reason in reasons))
    for (shelf, effects), reason in zip(shelves.items(), reasons, strict=False):
        if reason.get("Code") == "ConditionalCheckFailed":
            owners, deeper = markers.found(shelf, decoded(reason["Item"]), effects)
            refusal.owners.update(owners)
            refusal.deeper.extend(deeper)
    return refusal
