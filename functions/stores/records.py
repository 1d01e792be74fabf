"""Receipts and outcome records in S3, kept for ever, and the spool for receipts that found their queue down."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterable, Iterator
from hashlib import sha256
from typing import TYPE_CHECKING

from functions.stores.errors import StoreError, reaching
from functions.stores.keys import object_key, records_prefix, spool_object, spool_prefix

if TYPE_CHECKING:
    from types_boto3_s3.client import S3Client

__all__ = ["RecordFiles", "Records", "Spool"]

_CODE = "records_unavailable"


class Records:
    """The records bucket, as `record` fills it."""

    def __init__(self, s3: S3Client, bucket: str) -> None:
        self._s3 = s3
        self._bucket = bucket

    def write(self, tenant: str, folder: str, at_ms: int, message_ids: Iterable[str], lines: Iterable[str]) -> str:
        """One object of `lines`. The same messages give the same key and bytes: a redelivered batch changes nothing."""
        name = sha256("\n".join(sorted(message_ids)).encode()).hexdigest()
        key = object_key(tenant, folder, at_ms, name)
        body = gzip.compress("".join(f"{line}\n" for line in sorted(lines)).encode(), mtime=0)
        with reaching(_CODE, "the records bucket"):
            self._s3.put_object(Bucket=self._bucket, Key=key, Body=body, ContentType="application/gzip")
        return key


class RecordFiles:
    """The records bucket, as whoever checks it reads it."""

    def __init__(self, s3: S3Client, bucket: str) -> None:
        self._s3 = s3
        self._bucket = bucket

    def keys(self, tenant: str, folder: str, since_ms: int = 0) -> Iterator[str]:
        """Objects of a tenant's `receipts` or `outcomes`, those filed under the hour of `since_ms` and later."""
        first = object_key(tenant, folder, since_ms, "").rpartition("/")[0]
        with reaching(_CODE, "the records bucket"):
            pages = self._s3.get_paginator("list_objects_v2").paginate(
                Bucket=self._bucket, Prefix=records_prefix(tenant, folder)
            )
            yield from (entry["Key"] for page in pages for entry in page.get("Contents", ()) if entry["Key"] >= first)

    def body(self, key: str) -> bytes:
        """One object as it lies there."""
        with reaching(_CODE, "the records bucket"):
            return self._s3.get_object(Bucket=self._bucket, Key=key)["Body"].read()

    def lines(self, key: str) -> list[str]:
        """The lines of one object; StoreError for one that is not compressed JSON Lines."""
        try:
            return gzip.decompress(self.body(key)).decode().splitlines()
        except (OSError, EOFError, zlib.error, UnicodeDecodeError) as problem:
            raise StoreError(_CODE, f"`{key}` is damaged: {problem}", type(problem).__name__) from problem


class Spool:
    """Messages for the records queue that could not be sent, one object each."""

    def __init__(self, s3: S3Client, bucket: str) -> None:
        self._s3 = s3
        self._bucket = bucket

    def put(self, tenant: str, decision_id: str, message: str) -> None:
        with reaching("receipt_unavailable", "the receipt spool"):
            self._s3.put_object(Bucket=self._bucket, Key=spool_object(tenant, decision_id), Body=message.encode())

    def waiting(self, tenant: str) -> Iterator[tuple[str, str]]:
        """Key and message of what is spooled for a tenant."""
        with reaching(_CODE, "the receipt spool"):
            pages = self._s3.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=spool_prefix(tenant))
            for page in pages:
                for entry in page.get("Contents", ()):
                    stored = self._s3.get_object(Bucket=self._bucket, Key=entry["Key"])
                    yield entry["Key"], stored["Body"].read().decode()

    def remove(self, key: str) -> None:
        with reaching(_CODE, "the receipt spool"):
            self._s3.delete_object(Bucket=self._bucket, Key=key)
