"""What a store may fail with. Other exceptions of botocore never leave this folder.

StoreError            a dependency did not answer, or answered with an error; `code` is ours, `cause` is AWS's
+- ConflictError      others kept changing the same item; the caller may try the whole step again
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from botocore.exceptions import BotoCoreError, ClientError

__all__ = ["ConflictError", "StoreError", "reaching"]


class StoreError(Exception):
    """A dependency is out of reach."""

    def __init__(self, code: str, message: str, cause: str) -> None:
        super().__init__(message)
        self.code = code
        self.cause = cause


class ConflictError(StoreError):
    """Lost to concurrent writers as often as was tried."""


@contextmanager
def reaching(code: str, what: str) -> Iterator[None]:
    """Turn whatever goes wrong while talking to AWS into a StoreError with `code`."""
    try:
        yield
    except ClientError as problem:
        raise StoreError(code, f"{what} cannot be reached", problem.response["Error"]["Code"]) from problem
    except BotoCoreError as problem:
        raise StoreError(code, f"{what} cannot be reached", type(problem).__name__) from problem
