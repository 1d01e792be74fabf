"""The AWS of a local stack for other processes: what their SDK would send to AWS, answered by moto.

`AWS_ENDPOINT_URL` with its address makes `pointsman doctor`, `pointsman redrive` and the `aws` command work on the
local stack as on a deployed one. Signatures are not checked: who may connect to the loopback interface may be anyone.
"""

from __future__ import annotations

import re

from botocore.awsrequest import AWSPreparedRequest
from botocore.compat import HTTPHeaders
from moto.core.models import botocore_stubber

from policy_cli.dev.events import HttpRequest
from policy_cli.dev.server import Answer
from policy_cli.dev.template import REGION

__all__ = ["answered_by_moto"]

_SCOPE = re.compile(r"Credential=[^/]+/\d{8}/[^/]+/([a-z0-9-]+)/aws4_request")


def answered_by_moto(request: HttpRequest) -> Answer:
    """Moto's answer; call it while moto is active and nobody else uses it. 400 for what no SDK signed."""
    scope = _SCOPE.search(request.headers.get("authorization", ""))
    if scope is None:
        return {"statusCode": 400, "body": "sign as an AWS SDK does: the signature says which service is meant"}
    query = f"?{request.query}" if request.query else ""
    host = f"{scope[1]}.{REGION}.amazonaws.com"
    headers = HTTPHeaders()
    for name, value in {**request.headers, "host": host}.items():
        headers[name] = value
    url = f"https://{host}{request.path}{query}"
    found = botocore_stubber.process_request(AWSPreparedRequest(request.method, url, headers, request.body, False))
    if found is None:
        return {"statusCode": 404, "body": f"{scope[1]} is not imitated here"}
    status, told, body = found
    kept = {name: value for name, value in told.items() if name.lower() not in ("content-length", "connection")}
    return {"statusCode": status, "headers": kept, "body": body}
