"""What `Client.route` raises; telemetry raises nothing.

ClientError
├── RouteError        the service answered, and refused: `code`, HTTP `status`
│   └── NoCandidates  every model failed a gate, and so did the policy's fallback
└── RouteUnavailable  no answer in time; `fallback` is the emergency model the caller named
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["ClientError", "NoCandidates", "RouteError", "RouteUnavailable"]


class ClientError(Exception):
    """Root of everything this package raises on purpose."""


class RouteError(ClientError):
    """The service refused the request. `code` is stable and machine readable; `detail` is the whole error object."""

    def __init__(self, code: str, status: int, message: str, detail: Mapping[str, Any] | None = None) -> None:
        super().__init__(f"{code} ({status}): {message}")
        self.code = code
        self.status = status
        self.message = message
        self.detail = detail or {}


class NoCandidates(RouteError):  # noqa: N818 - named as the language names it
    """No model may serve this call: every candidate and every fallback fails a gate. `candidates` says which rules."""

    @property
    def candidates(self) -> Sequence[Mapping[str, Any]]:
        found: Sequence[Mapping[str, Any]] = self.detail.get("candidates", ())
        return found


class RouteUnavailable(ClientError):  # noqa: N818 - a state of the service, as in the reply codes
    """No decision could be had. `fallback` is the model the caller named for this moment, None where none was."""

    def __init__(self, reason: str, fallback: str | None) -> None:
        advice = f"; the caller's emergency model is `{fallback}`" if fallback else ""
        super().__init__(f"no decision: {reason}{advice}")
        self.reason = reason
        self.fallback = fallback
