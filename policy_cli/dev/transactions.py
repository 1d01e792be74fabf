"""moto's DynamoDB transactions, made affordable.

moto prepares for a rollback by copying the whole table once per write, so that settling N reports costs N^2. Here only
the items that the transaction names are copied, and put back if it is cancelled.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from typing import Any
from unittest.mock import patch

from moto.dynamodb.models import DynamoDBBackend
from moto.dynamodb.models.table import Table

__all__ = ["itemwise_transactions"]


@contextmanager
def itemwise_transactions() -> Iterator[None]:
    """While active, a transaction costs what its own items cost. Not safe under threads, as moto's own are not."""
    whole = DynamoDBBackend.transact_write_items

    def transact(backend: Any, transact_items: Sequence[Mapping[str, Any]]) -> None:
        before = list(_touched(backend, transact_items))
        try:
            with patch.object(Table, "__deepcopy__", _itself, create=True):
                whole(backend, transact_items)  # type: ignore[arg-type]
        except Exception:
            for table, key, item in before:
                _put_back(table, key, item)
            raise

    with patch.object(DynamoDBBackend, "transact_write_items", transact):
        yield


def _itself(table: Any, _memo: Any) -> Any:
    return table


def _touched(backend: Any, writes: Sequence[Mapping[str, Any]]) -> Iterator[tuple[Any, tuple[Any, Any], Any]]:
    for operation in (operation for write in writes for operation in write.values()):
        table = backend.tables.get(operation["TableName"])
        if table is not None:
            key = backend.get_keys_value(table, operation.get("Key") or operation["Item"])
            yield table, key, deepcopy(table.get_item(*key))


def _put_back(table: Any, key: tuple[Any, Any], item: Any) -> None:
    partition, sort = key
    if item is not None:
        table.items[partition][sort] = item
    else:
        table.items[partition].pop(sort, None)
        if not table.items[partition]:
            del table.items[partition]
