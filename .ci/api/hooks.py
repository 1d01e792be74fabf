"""What schemathesis needs to be a tenant: a signature on every request, and the name of a policy that exists."""

import os
import time
from typing import Any

import requests
import schemathesis

from policy_engine.signing import signed_headers

POLICY = os.environ["POINTSMAN_POLICY"]


class Signed(requests.auth.AuthBase):
    """HMAC over the request as it will be sent."""

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        body = request.body or b""
        body = body.encode() if isinstance(body, str) else body
        key, secret = os.environ["POINTSMAN_KEY"], bytes.fromhex(os.environ["POINTSMAN_SECRET"])
        path = request.path_url.partition("?")[0]
        now_ms = time.time_ns() // 1_000_000
        request.headers.update(signed_headers(key, secret, method=request.method, path=path, body=body, now_ms=now_ms))
        return request


schemathesis.auth.set_from_requests(Signed())


@schemathesis.hook
def map_body(context: schemathesis.HookContext, body: Any) -> Any:  # noqa: ARG001 - schemathesis's signature
    """Three of four valid policy names become that of the one that is published: most random names get a 404."""
    if isinstance(body, dict) and isinstance(body.get("policy"), str) and len(body["policy"]) % 4:
        return {**body, "policy": POLICY}
    return body
