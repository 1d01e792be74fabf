"""Copies of what the run left in S3, and the two accidents that the audit must notice."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from pathlib import Path

from policy_cli.dev.stack import LocalStack

__all__ = ["copy_records", "corrupt_receipt", "lose_message"]

_KEPT = {"RecordsBucket": ("receipts", "outcomes"), "StateBucket": ("policies",)}


def copy_records(stack: LocalStack, folder: Path) -> None:
    """`<tenant>/receipts`, `outcomes` and `policies`, named as in S3; `pointsman replay` reads such a folder."""
    s3 = stack.resources.client("s3")
    for logical, kinds in _KEPT.items():
        bucket = stack.resources.name(logical)
        for key in _keys(stack, logical):
            if key.split("/")[1] in kinds:
                path = folder / key
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(s3.get_object(Bucket=bucket, Key=key)["Body"].read())


def lose_message(stack: LocalStack) -> None:
    """Delete one waiting message of the records queue, as a careless hand on the console would."""
    sqs, url = stack.resources.client("sqs"), stack.resources.name("RecordsQueue")
    for message in sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=1).get("Messages", ()):
        sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])


def corrupt_receipt(stack: LocalStack) -> None:
    """Change one figure in one stored receipt; none where there is none."""
    s3, bucket = stack.resources.client("s3"), stack.resources.name("RecordsBucket")
    for key in (key for key in _keys(stack, "RecordsBucket") if "/receipts/" in key):
        first, *rest = gzip.decompress(s3.get_object(Bucket=bucket, Key=key)["Body"].read()).split(b"\n")
        changed = first.replace(b'"expected_cost_nanodollars":', b'"expected_cost_nanodollars":1', 1)
        s3.put_object(Bucket=bucket, Key=key, Body=gzip.compress(b"\n".join((changed, *rest))))
        return


def _keys(stack: LocalStack, bucket: str) -> Iterator[str]:
    pages = stack.resources.client("s3").get_paginator("list_objects_v2").paginate(Bucket=stack.resources.name(bucket))
    yield from (entry["Key"] for page in pages for entry in page.get("Contents", ()))
