"""The shared priors, as the hourly job of `watch` leaves them for every look until the next."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from functions.stores.errors import reaching
from functions.stores.keys import shared_priors_object
from policy_engine.estimate import Belief

if TYPE_CHECKING:
    from types_boto3_s3.client import S3Client

__all__ = ["SharedPriors"]

_CODE = "shared_priors_unavailable"


class SharedPriors:
    """One object of the state bucket: `{at_ms, priors: {arm: [success, quality, weight]}}`."""

    def __init__(self, s3: S3Client, bucket: str) -> None:
        self._s3 = s3
        self._bucket = bucket

    def put(self, priors: Mapping[str, Belief], at_ms: int) -> None:
        rows = {arm: [prior.success_ppm, prior.quality_ppm, prior.weight_milli] for arm, prior in priors.items()}
        body = json.dumps({"at_ms": at_ms, "priors": rows}, sort_keys=True).encode()
        with reaching(_CODE, "the shared priors"):
            self._s3.put_object(
                Bucket=self._bucket, Key=shared_priors_object(), Body=body, ContentType="application/json"
            )

    def get(self) -> dict[str, Belief]:
        """Prior by arm; empty before the first hour."""
        with reaching(_CODE, "the shared priors"):
            try:
                stored = self._s3.get_object(Bucket=self._bucket, Key=shared_priors_object())
            except ClientError as problem:
                if problem.response["Error"]["Code"] == "NoSuchKey":
                    return {}
                raise
            document = json.loads(stored["Body"].read())
        return {arm: Belief(*row) for arm, row in document["priors"].items()}
