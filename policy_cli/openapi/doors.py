"""The paths of the service, one entry each: what goes in, what comes out, which errors are possible."""

from __future__ import annotations

from dataclasses import replace

from policy_cli.openapi.errors import ALIASING, ANYWHERE, PUBLISHING, REPORTING, RETURNING, ROUTING
from policy_engine.fields import Form, Text
from policy_engine.wire import (
    ALIAS,
    MAX_ALIAS_BYTES,
    MAX_PUBLISH_BYTES,
    MAX_RECEIPTS_BYTES,
    MAX_ROUTE_BYTES,
    MAX_TELEMETRY_BYTES,
    PUBLISH,
    RECEIPTS,
    ROUTE,
    TELEMETRY,
)
from policy_lang.frozen import frozen

__all__ = ["DOORS", "Door"]


@frozen
class Door:
    """One operation. `body`: component name, form and most bytes. `reply`: status and component name.

    `names`: the parameters in the path, each with what it may hold.
    """

    operation: str
    path: str
    summary: str
    body: tuple[str, Form, int]
    reply: tuple[int, str]
    errors: tuple[str, ...]
    names: tuple[tuple[str, Text], ...] = ()
    method: str = "post"


_PART = Text(r"[a-z0-9][a-z0-9_-]*", 47, "a part of a policy's name")


# A name may have parts; OpenAPI has no parameter that spans a slash, so the usual two are spelled out.
def _by_name(door: Door) -> tuple[Door, Door]:
    owned = replace(
        door,
        operation=f"{door.operation}Owned",
        path=f"{door.path}{{owner}}/{{name}}",
        names=(("owner", _PART), ("name", _PART)),
    )
    return replace(door, path=f"{door.path}{{name}}", names=(("name", _PART),)), owned


DOORS = (
    Door(
        "route",
        "/v1/route",
        "Decide which model serves a call",
        ("RouteRequest", ROUTE, MAX_ROUTE_BYTES),
        (200, "RouteReply"),
        (*ANYWHERE, *ROUTING),
    ),
    Door(
        "report",
        "/v1/telemetry",
        "Report what calls came to",
        ("TelemetryRequest", TELEMETRY, MAX_TELEMETRY_BYTES),
        (202, "TelemetryReply"),
        (*ANYWHERE, *REPORTING),
    ),
    Door(
        "returnReceipts",
        "/v1/receipts",
        "Hand in receipts that replies carried because nothing else could keep them",
        ("ReceiptsRequest", RECEIPTS, MAX_RECEIPTS_BYTES),
        (202, "ReceiptsReply"),
        (*ANYWHERE, *RETURNING),
    ),
    *_by_name(
        Door(
            "publish",
            "/v1/policies/",
            "Compile a policy text, store it by fingerprint, move its name to it",
            ("PublishRequest", PUBLISH, MAX_PUBLISH_BYTES),
            (200, "PublishReply"),
            (*ANYWHERE, *PUBLISHING),
        )
    ),
    *_by_name(
        Door(
            "alias",
            "/v1/aliases/",
            "Lead a policy's name to published fingerprints by weight, or back; an empty body only asks",
            ("AliasRequest", ALIAS, MAX_ALIAS_BYTES),
            (200, "AliasReply"),
            (*ANYWHERE, *ALIASING),
        )
    ),
)
