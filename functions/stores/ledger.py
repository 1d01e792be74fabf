"""The ledger: what the request path itself may write. Accounts, replies given under a key, pins kept for a session."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, cast

from botocore.exceptions import ClientError

from functions.stores.errors import reaching
from functions.stores.items import Value, decoded, encoded
from functions.stores.keys import Key, accounts_key, accounts_partition, reply_key, session_key
from policy_lang.frozen import frozen

if TYPE_CHECKING:
    from types_boto3_dynamodb.client import DynamoDBClient

__all__ = ["IDEMPOTENCY_MS", "Answered", "Ledger"]

#: How long a key stands for the request that it came with.
IDEMPOTENCY_MS = 24 * 3600 * 1000
# The longest period and the one before it: an account untouched for so long counts for nothing.
_ACCOUNTS_KEPT_MS = 70 * 24 * 3600 * 1000
_CODE = "ledger_unavailable"


@frozen
class Answered:
    """What was answered under an idempotency key. digest: of the request as admitted. body: compressed by its owner."""

    digest: str
    status: int
    at_ms: int
    body: bytes = b""


class Ledger:
    """The ledger table."""

    def __init__(self, dynamodb: DynamoDBClient, table: str) -> None:
        self._dynamodb = dynamodb
        self._table = table

    def add(
        self, tenant: str, part: str, amounts: Mapping[str, int], stale: Iterable[str], now_ms: int
    ) -> dict[str, int]:
        """Add to accounts of one part (`keys.accounts_part`) of a tenant's, by key, and drop those that are `stale`;
        every account of the part as it is then.

        One unconditional addition: nobody waits for anybody, and what comes back is consistent.
        """
        adding = {f"#a{place}": key for place, key in enumerate(amounts)}
        dropping = {f"#d{place}": key for place, key in enumerate(stale)}
        clauses = ["SET expires_at = :expires", "ADD " + ", ".join(f"{name} :{name[1:]}" for name in adding)]
        if dropping:
            clauses.append("REMOVE " + ", ".join(dropping))
        values: dict[str, Value] = {f":{name[1:]}": amounts[key] for name, key in adding.items()}
        values[":expires"] = (now_ms + _ACCOUNTS_KEPT_MS) // 1000
        with reaching(_CODE, "the ledger"):
            answer = self._dynamodb.update_item(
                TableName=self._table,
                Key=encoded(accounts_key(tenant, part)),
                UpdateExpression=" ".join(clauses),
                ExpressionAttributeNames={**adding, **dropping},
                ExpressionAttributeValues=encoded(values),
                ReturnValues="ALL_NEW",
            )
        return _amounts(answer["Attributes"])

    def accounts(self, tenant: str) -> dict[str, int]:
        """Every account of a tenant by key; what environments hold and have not spent counts as taken."""
        with reaching(_CODE, "the ledger"):
            pages = self._dynamodb.get_paginator("query").paginate(
                TableName=self._table,
                KeyConditionExpression="pk = :pk",
                ExpressionAttributeValues=encoded({":pk": accounts_partition(tenant)}),
                ConsistentRead=True,
            )
            items = [item for page in pages for item in page["Items"]]
        return {key: amount for item in items for key, amount in _amounts(item).items()}

    def answered(self, tenant: str, door: str, name: str, now_ms: int) -> Answered | None:
        """What was answered at a door (`route`) under an idempotency key; None where nothing was, or too long ago."""
        item = self._item(reply_key(tenant, door, name))
        found = _answered(item) if item is not None else None
        return found if found is not None and now_ms - found.at_ms < IDEMPOTENCY_MS else None

    def answer(self, tenant: str, door: str, name: str, answered: Answered) -> Answered:
        """Keep an answer unless one is kept already; the one that is kept from here on."""
        item: dict[str, Value] = {
            **reply_key(tenant, door, name),
            "digest": answered.digest,
            "status": answered.status,
            "at_ms": answered.at_ms,
            "expires_at": (answered.at_ms + IDEMPOTENCY_MS) // 1000 + 1,
        }
        if answered.body:
            item["body"] = answered.body
        # DynamoDB deletes what has expired when it finds the time, so that age is asked as well.
        forgotten = encoded({":forgotten": answered.at_ms - IDEMPOTENCY_MS})
        with reaching(_CODE, "the ledger"):
            try:
                self._dynamodb.put_item(
                    TableName=self._table,
                    Item=encoded(item),
                    ConditionExpression="attribute_not_exists(pk) OR at_ms <= :forgotten",
                    ExpressionAttributeValues=forgotten,
                    ReturnValuesOnConditionCheckFailure="ALL_OLD",
                )
            except ClientError as problem:
                if problem.response["Error"]["Code"] != "ConditionalCheckFailedException":
                    raise
                return _answered(cast("Mapping[str, Any]", problem.response)["Item"])
        return answered

    def session(self, tenant: str, name: str) -> str | None:
        """What is kept of a session, expired or not."""
        item = self._item(session_key(tenant, name))
        return None if item is None else str(decoded(item)["pin"])

    def keep_session(self, tenant: str, name: str, pin: str, until_ms: int) -> None:
        """Keep this of a session until a moment; the last to come stays."""
        item: dict[str, Value] = {**session_key(tenant, name), "pin": pin, "expires_at": until_ms // 1000 + 1}
        with reaching(_CODE, "the ledger"):
            self._dynamodb.put_item(TableName=self._table, Item=encoded(item))

    def _item(self, key: Key) -> Mapping[str, Any] | None:
        with reaching(_CODE, "the ledger"):
            answer = self._dynamodb.get_item(TableName=self._table, Key=encoded(key), ConsistentRead=True)
        return answer.get("Item")


def _amounts(item: Mapping[str, Any]) -> dict[str, int]:
    return {name: value for name, value in decoded(item).items() if "@" in name}


def _answered(item: Mapping[str, Any]) -> Answered:
    found = decoded(item)
    return Answered(found["digest"], found["status"], found["at_ms"], found.get("body", b""))
