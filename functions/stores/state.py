"""A tenant's route state: a pointer item that says which blob is current, and the blobs, addressed by content.

A reader that holds a version reads the pointer alone as long as it has not moved. A writer puts the new blob first and
then moves the pointer on condition that nobody else has; everything that must change with it joins that transaction.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from functions.stores.errors import ConflictError, StoreError, reaching
from functions.stores.items import Value, decoded, encoded
from functions.stores.keys import pointer_key, policies_prefix, policy_object, state_object, state_prefix
from policy_engine.state import PublishedPolicy, RouteState, StateError, pack_state, unpack_state
from policy_lang.admission import policy_from_document
from policy_lang.frozen import frozen

if TYPE_CHECKING:
    from types_boto3_dynamodb.client import DynamoDBClient
    from types_boto3_s3.client import S3Client

__all__ = ["Pointer", "Revision", "StateStore"]

_CODE = "state_unavailable"
_TRIES = 8
_SWEPT_AFTER_MS = 3600 * 1000


@frozen
class Pointer:
    """Which blob is current, and when the snapshot in it was made."""

    version: int
    blob: str
    snapshot_ms: int


@frozen
class Revision:
    """A changed state, and the items of the state table that change in the same transaction."""

    state: RouteState
    items: tuple[Mapping[str, Value], ...] = ()


class StateStore:
    """The state table and the state bucket."""

    def __init__(self, dynamodb: DynamoDBClient, s3: S3Client, table: str, bucket: str) -> None:
        self._dynamodb = dynamodb
        self._s3 = s3
        self._table = table
        self._bucket = bucket

    def pointer(self, tenant: str, *, consistent: bool = False) -> Pointer | None:
        """The tenant's pointer; None before its first revision."""
        with reaching(_CODE, "the state table"):
            answer = self._dynamodb.get_item(
                TableName=self._table, Key=encoded(pointer_key(tenant)), ConsistentRead=consistent
            )
        if "Item" not in answer:
            return None
        item = decoded(answer["Item"])
        return Pointer(item["version"], item["blob"], item["snapshot_ms"])

    def fetch(self, tenant: str, pointer: Pointer | None) -> RouteState:
        """The state that a pointer names; StoreError also for one that a newer version wrote."""
        if pointer is None:
            return RouteState(tenant)
        with reaching(_CODE, "the state bucket"):
            stored = self._s3.get_object(Bucket=self._bucket, Key=state_object(tenant, pointer.blob))
            blob = stored["Body"].read()
        try:
            return unpack_state(blob)
        except StateError as problem:
            raise StoreError(_CODE, str(problem), "StateError") from problem

    def current(self, tenant: str) -> RouteState:
        """The state as of the last finished revision."""
        return self.fetch(tenant, self.pointer(tenant, consistent=True))

    def revise(self, tenant: str, change: Callable[[RouteState], Revision]) -> RouteState:
        """Apply `change` to the current state and make the result current, all or nothing.

        `change` is called again whenever another writer was faster: it may read, and must not write. A revision that
        returns the very state it was given writes nothing. ConflictError after eight lost races.
        """
        for _ in range(_TRIES):
            state = self.current(tenant)
            revision = change(state)
            if revision.state is state:
                return state
            revised = replace(revision.state, version=state.version + 1)
            if self._moved(revised, revision.items):
                return revised
        raise ConflictError(_CODE, "others kept changing the state of this tenant; try again", "ConditionalCheckFailed")

    def policy(self, tenant: str, fingerprint: str) -> PublishedPolicy | None:
        """A policy that was ever published, by its fingerprint; None for one that was not."""
        with reaching(_CODE, "the state bucket"):
            try:
                stored = self._s3.get_object(Bucket=self._bucket, Key=policy_object(tenant, fingerprint))
            except ClientError as problem:
                if problem.response["Error"]["Code"] == "NoSuchKey":
                    return None
                raise
            return _published(json.loads(stored["Body"].read()))

    def item(self, key: Mapping[str, Value]) -> dict[str, Any]:
        """An item of the state table as it is now; empty where there is none."""
        with reaching(_CODE, "the state table"):
            answer = self._dynamodb.get_item(TableName=self._table, Key=encoded(key), ConsistentRead=True)
        return decoded(answer["Item"]) if "Item" in answer else {}

    def sweep(self, tenant: str, now_ms: int) -> int:
        """Remove blobs that no reader can be about to fetch; how many.

        A reader fetches what its pointer named a moment ago, and a writer moves the pointer right after it has put the
        blob, so an hour is long. A blob is never current twice: its version is in it.
        """
        current = self.pointer(tenant, consistent=True)
        kept = state_object(tenant, current.blob) if current else ""
        removed = 0
        with reaching(_CODE, "the state bucket"):
            pages = self._s3.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=state_prefix(tenant))
            for page in pages:
                old = [
                    entry["Key"]
                    for entry in page.get("Contents", ())
                    if entry["Key"] != kept and entry["LastModified"].timestamp() * 1000 < now_ms - _SWEPT_AFTER_MS
                ]
                self._remove(old)
                removed += len(old)
        return removed

    def _remove(self, keys: Sequence[str]) -> None:
        """Remove a page of objects in one call: a busy tenant leaves hundreds an hour. StoreError where any stays."""
        if not keys:
            return
        asked: Any = {"Objects": [{"Key": key} for key in keys], "Quiet": True}
        if kept := self._s3.delete_objects(Bucket=self._bucket, Delete=asked).get("Errors"):
            message = f"{len(kept)} of {len(keys)} superseded states could not be removed"
            raise StoreError(_CODE, message, kept[0]["Code"])

    def keep_policy(self, tenant: str, fingerprint: str, document: Mapping[str, Any]) -> PublishedPolicy:
        """Store a policy's `{ir, lines, source, ...}` for ever, and return what is stored under its fingerprint.

        INVARIANT: the first to be stored stays. Receipts cite source lines, so a reformatted text with the same meaning
        must not move the lines of decisions already made.
        """
        key = policy_object(tenant, fingerprint)
        with reaching(_CODE, "the state bucket"):
            try:
                body = json.dumps(document, sort_keys=True).encode()
                self._s3.put_object(
                    Bucket=self._bucket, Key=key, Body=body, IfNoneMatch="*", ContentType="application/json"
                )
            except ClientError as problem:
                if problem.response["Error"]["Code"] not in ("PreconditionFailed", "ConditionalRequestConflict"):
                    raise
            stored = json.loads(self._s3.get_object(Bucket=self._bucket, Key=key)["Body"].read())
        return _published(stored)

    def policies(self, tenant: str) -> dict[str, PublishedPolicy]:
        """Every policy a tenant ever published, by fingerprint."""
        return {name: _published(json.loads(body)) for name, body in self.policy_documents(tenant)}

    def policy_documents(self, tenant: str) -> Iterator[tuple[str, bytes]]:
        """The same as they are stored, with their fingerprints."""
        prefix = policies_prefix(tenant)
        with reaching(_CODE, "the state bucket"):
            pages = self._s3.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=prefix)
            for key in (entry["Key"] for page in pages for entry in page.get("Contents", ())):
                stored = self._s3.get_object(Bucket=self._bucket, Key=key)
                yield key.removeprefix(prefix).removesuffix(".json"), stored["Body"].read()

    def _moved(self, state: RouteState, items: Iterable[Mapping[str, Value]]) -> bool:
        digest, blob = pack_state(state)
        with reaching(_CODE, "the state bucket"):
            self._s3.put_object(
                Bucket=self._bucket, Key=state_object(state.tenant, digest), Body=blob, ContentType="application/gzip"
            )
        current = Pointer(state.version, digest, state.snapshot.made_ms)
        pointer = {**pointer_key(state.tenant), **asdict(current)}
        condition = (
            {"ConditionExpression": "attribute_not_exists(pk)"}
            if state.version == 1
            else {
                "ConditionExpression": "version = :before",
                "ExpressionAttributeValues": encoded({":before": state.version - 1}),
            }
        )
        puts: list[Any] = [{"Put": {"TableName": self._table, "Item": encoded(pointer), **condition}}]
        puts += [{"Put": {"TableName": self._table, "Item": encoded(item)}} for item in items]
        with reaching(_CODE, "the state table"):
            try:
                self._dynamodb.transact_write_items(TransactItems=puts)
            except ClientError as problem:
                if problem.response["Error"]["Code"] != "TransactionCanceledException":
                    raise
                # A time-out may hide a success: then the pointer already names this blob and the revision is done.
                if self.pointer(state.tenant, consistent=True) == current:
                    return True
                reasons = {reason.get("Code") for reason in problem.response["CancellationReasons"]}
                if reasons & {"ConditionalCheckFailed", "TransactionConflict"}:
                    return False
                raise
        return True


def _published(stored: Mapping[str, Any]) -> PublishedPolicy:
    return PublishedPolicy(policy_from_document(stored["ir"]), stored["lines"])
