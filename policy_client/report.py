"""What one hop came to, as the record that goes to the service. Numbers and names of closed lists, never text."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from policy_client.reply import RouteReply
from policy_engine.wire import record_from_wire

__all__ = ["encoded_report"]


def encoded_report(reply: RouteReply, hop: int, arm: str | None, told: Mapping[str, Any]) -> bytes:
    """The record in JSON, what was not told left out. Judged as the service will: ValueError or TypeError says why not.

    told: the fields of `Client.telemetry` besides those before it.
    """
    if not isinstance(reply, RouteReply):
        raise TypeError("`reply` must be what `Client.route` returned")
    given = {"token": reply.token, "hop": hop, "arm": arm or _planned(reply, hop), **told}
    record = {name: value for name, value in given.items() if value is not None}
    if "quality_slugs" in record:
        record["quality_slugs"] = list(record["quality_slugs"])
    record_from_wire(record)
    return json.dumps(record, separators=(",", ":")).encode()


def _planned(reply: RouteReply, hop: int) -> str | None:
    if reply.mode == "shadow":
        raise ValueError("the policy is in shadow: say with `arm` which one served")
    if hop >= len(reply.plan):
        raise ValueError(f"`arm` must be given for this hop: the plan has {len(reply.plan)} steps, counted from 0")
    return reply.plan[max(0, hop)].arm
