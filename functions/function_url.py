"""Function URL events (payload format 2.0) in, replies out; every refusal and outage as `{"error": {code, message}}`.

Time and identity of a request come from the event, never from a clock, so a handler replays.
"""

from __future__ import annotations

import json
from base64 import b64decode
from binascii import Error as Base64Error
from collections.abc import Callable, Mapping
from dataclasses import field
from http import HTTPStatus
from typing import Any

from functions.observability import observe
from functions.stores.errors import StoreError
from policy_engine.wire import RequestError
from policy_lang.frozen import frozen

__all__ = ["Reply", "Request", "json_reply", "refusal", "request_from_event", "serve"]

Event = Mapping[str, Any]


@frozen
class Request:
    """One HTTP request. `principal` is the ARN that AWS verified, None on an endpoint without IAM authorization.

    Header names are lower case. `now_ms` is the time at which AWS accepted the request, `request_id` is unique.
    """

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    now_ms: int
    request_id: str
    principal: str | None


@frozen
class Reply:
    """What goes back, and what the one record of the request says about it."""

    status: int
    text: str
    facts: Mapping[str, Any] = field(default_factory=dict)
    counts: Mapping[str, int] = field(default_factory=dict)


def serve(service: str, event: Event, answer: Callable[[Request], Reply]) -> dict[str, Any]:
    """Answer one event. Refused requests become their 4xx, unreachable dependencies a 503; a bug of ours is raised."""
    try:
        reply = answer(request_from_event(event))
    except RequestError as refused:
        reply = refusal(refused.status, refused.code, str(refused), **refused.details)
    except StoreError as outage:
        reply = refusal(503, outage.code, str(outage), cause=outage.cause)
    facts = {"status": reply.status, **reply.facts}
    observe(service, "answered", {"Requests": 1, **reply.counts}, facts, failed=reply.status >= 500)
    headers = {**_HEADERS, "allow": "POST"} if reply.status == HTTPStatus.METHOD_NOT_ALLOWED else dict(_HEADERS)
    return {"statusCode": reply.status, "headers": headers, "body": reply.text}


def request_from_event(event: Event) -> Request:
    """The request of an event; RequestError when its body is not the base64 it is said to be."""
    context = event["requestContext"]
    iam = (context.get("authorizer") or {}).get("iam") or {}
    return Request(
        method=context["http"]["method"],
        path=event["rawPath"],
        headers={name.lower(): value for name, value in event.get("headers", {}).items()},
        body=_body(event),
        now_ms=context["timeEpoch"],
        request_id=context["requestId"],
        principal=iam.get("userArn"),
    )


def json_reply(status: int, document: Mapping[str, Any], **noted: Any) -> Reply:
    """A reply with a JSON body; `noted` are `facts` and `counts`."""
    return Reply(status, json.dumps(document, separators=(",", ":")), **noted)


def refusal(status: int, code: str, message: str, *, cause: str | None = None, **details: Any) -> Reply:
    """An error reply; `details` join the error object, `cause` is logged only."""
    facts = {"code": code} if cause is None else {"code": code, "cause": cause}
    counts = {"Unavailable": 1} if status >= 500 else {"Refused": 1}
    return json_reply(status, {"error": {"code": code, "message": message, **details}}, facts=facts, counts=counts)


_HEADERS = {"content-type": "application/json", "cache-control": "no-store"}


def _body(event: Event) -> bytes:
    text = event.get("body") or ""
    if not event.get("isBase64Encoded"):
        # surrogatepass: what is not text is refused as malformed JSON, not as a crash here.
        return str(text).encode("utf-8", "surrogatepass")
    try:
        return b64decode(text, validate=True)
    except (Base64Error, ValueError):
        raise RequestError(400, "malformed_body", "the body is marked as base64 but is not") from None
