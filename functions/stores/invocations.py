"""Another function, called without waiting for its answer."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from functions.stores.errors import reaching

__all__ = ["Callee"]


class Callee:
    """A function by its ARN. `client`: of Lambda; untyped, as its type stubs would be a dependency for one call."""

    def __init__(self, client: Any, arn: str) -> None:
        self._client = client
        self._arn = arn

    def call(self, event: Mapping[str, Any]) -> None:
        """Hand an event over; when this returns, Lambda holds it, and delivers it once or more often, in any order."""
        with reaching("function_unavailable", "the function"):
            self._client.invoke(FunctionName=self._arn, InvocationType="Event", Payload=json.dumps(event).encode())
