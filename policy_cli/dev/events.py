"""Events as AWS delivers them: a Function URL's (payload format 2.0), an SQS batch, a schedule's."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl

from policy_cli.dev.template import REGION

__all__ = ["ACCOUNT", "HttpRequest", "function_arn", "queue_event", "schedule_event", "url_event"]

ACCOUNT = "123456789012"


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """What arrived. `path` as sent, still percent-encoded; header names in lower case."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes
    source_ip: str = "127.0.0.1"
    iam: Mapping[str, str] | None = field(default=None)


def function_arn(name: str) -> str:
    """Of the alias that deployed functions are called by."""
    return f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{name}:live"


def url_event(request: HttpRequest, now_ms: int, request_id: str) -> dict[str, Any]:
    """`request.iam` is there only where a signature was verified."""
    accepted = datetime.fromtimestamp(now_ms / 1000, UTC)
    host = request.headers.get("host", "localhost")
    context: dict[str, Any] = {
        "accountId": ACCOUNT if request.iam else "anonymous",
        "apiId": host.partition(".")[0],
        "domainName": host,
        "domainPrefix": host.partition(".")[0],
        "http": {
            "method": request.method,
            "path": request.path,
            "protocol": "HTTP/1.1",
            "sourceIp": request.source_ip,
            "userAgent": request.headers.get("user-agent", ""),
        },
        "requestId": request_id,
        "routeKey": "$default",
        "stage": "$default",
        "time": f"{accepted:%d/%b/%Y:%H:%M:%S +0000}",
        "timeEpoch": now_ms,
    }
    if request.iam:
        context["authorizer"] = {"iam": dict(request.iam)}
    event = {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": request.path,
        "rawQueryString": request.query,
        "headers": dict(request.headers),
        "requestContext": context,
        **_body(request.body),
    }
    if request.query:
        event["queryStringParameters"] = _parameters(request.query)
    return event


def queue_event(queue: str, messages: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """`messages` as `ReceiveMessage` returns them, from the queue with that name."""
    return {
        "Records": [
            {
                "messageId": message["MessageId"],
                "receiptHandle": message["ReceiptHandle"],
                "body": message["Body"],
                "attributes": dict(message.get("Attributes", {})),
                "messageAttributes": {},
                "md5OfBody": message["MD5OfBody"],
                "eventSource": "aws:sqs",
                "eventSourceARN": f"arn:aws:sqs:{REGION}:{ACCOUNT}:{queue}",
                "awsRegion": REGION,
            }
            for message in messages
        ]
    }


def schedule_event(rule: str, now_ms: int, event_id: str) -> dict[str, Any]:
    """EventBridge tells the time in whole seconds."""
    return {
        "version": "0",
        "id": event_id,
        "detail-type": "Scheduled Event",
        "source": "aws.events",
        "account": ACCOUNT,
        "time": f"{datetime.fromtimestamp(now_ms // 1000, UTC):%Y-%m-%dT%H:%M:%SZ}",
        "region": REGION,
        "resources": [f"arn:aws:events:{REGION}:{ACCOUNT}:rule/{rule}"],
        "detail": {},
    }


def _parameters(query: str) -> dict[str, str]:
    """A name that is given twice has both values, with a comma between."""
    found: dict[str, list[str]] = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        found.setdefault(name, []).append(value)
    return {name: ",".join(values) for name, values in found.items()}


def _body(body: bytes) -> dict[str, Any]:
    try:
        return {"body": body.decode(), "isBase64Encoded": False}
    except UnicodeDecodeError:
        return {"body": b64encode(body).decode(), "isBase64Encoded": True}
