"""What Lambda does before a Function URL with `AWS_IAM`: verifies AWS Signature Version 4, for local identities."""

from __future__ import annotations

import hmac
import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from policy_cli.dev.events import ACCOUNT, HttpRequest
from policy_cli.dev.template import REGION
from policy_lang.frozen import frozen

__all__ = ["Identity", "SignatureRefused", "verified"]

_AUTHORIZATION = re.compile(
    r"AWS4-HMAC-SHA256 Credential=([^/, ]+)/(\d{8})/([^/, ]+)/([^/, ]+)/aws4_request, ?"
    r"SignedHeaders=([a-z0-9;-]+), ?Signature=([0-9a-f]{64})"
)
_SERVICE = "lambda"
_SKEW = timedelta(minutes=5)
_ALWAYS_SIGNED = frozenset(("host", "x-amz-date"))


class SignatureRefused(ValueError):  # noqa: N818 - reads as what happened
    """The request is not what the holder of the key signed."""


@frozen
class Identity:
    """An IAM user known here."""

    arn: str
    access_key_id: str
    secret_access_key: str

    def as_iam(self) -> dict[str, str]:
        """`requestContext.authorizer.iam` of its requests."""
        user_id = f"AIDA{sha256(self.arn.encode()).hexdigest()[:17].upper()}"
        return {
            "accessKey": self.access_key_id,
            "accountId": ACCOUNT,
            "callerId": user_id,
            "userArn": self.arn,
            "userId": user_id,
        }


def verified(request: HttpRequest, identities: Mapping[str, Identity], now: datetime) -> HttpRequest:
    """The request with its verified identity, or as it came if it is not signed this way; else SignatureRefused.

    identities: by access key id. now: the wall clock, which is what the signing SDK goes by.
    """
    authorization = request.headers.get("authorization")
    if authorization is None:
        return request
    found = _AUTHORIZATION.fullmatch(authorization)
    if found is None:
        raise SignatureRefused("the Authorization header is not of AWS Signature Version 4")
    access_key, day, region, service, names, signature = found.groups()
    identity = identities.get(access_key)
    if identity is None:
        raise SignatureRefused("the access key is none of the local ones, which `pointsman dev` prints")
    if (region, service) != (REGION, _SERVICE):
        raise SignatureRefused(f"sign for {REGION}/{_SERVICE}, not for {region}/{service}")
    signed = names.split(";")
    _check_headers(request, signed, day, now)
    if not hmac.compare_digest(_signature(request, signed, identity), signature):
        raise SignatureRefused("the signature does not match the request and the secret of its access key")
    return replace(request, iam=identity.as_iam())


def _check_headers(request: HttpRequest, signed: list[str], day: str, now: datetime) -> None:
    missing = (_ALWAYS_SIGNED | set(signed)) - (set(signed) & request.headers.keys())
    if missing:
        raise SignatureRefused(f"headers that must be sent and signed: {', '.join(sorted(missing))}")
    try:
        at = datetime.strptime(request.headers["x-amz-date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    except ValueError:
        raise SignatureRefused("X-Amz-Date must look like 20260131T235959Z") from None
    if f"{at:%Y%m%d}" != day or abs(now - at) > _SKEW:
        raise SignatureRefused("the signature has expired, or is not valid yet")
    declared = request.headers.get("x-amz-content-sha256")
    if declared is not None and declared != sha256(request.body).hexdigest():
        raise SignatureRefused("X-Amz-Content-SHA256 is not the hash of the body")


def _signature(request: HttpRequest, signed: list[str], identity: Identity) -> str:
    query = f"?{request.query}" if request.query else ""
    again = AWSRequest(
        request.method,
        f"http://{request.headers['host']}{request.path}{query}",
        {name: request.headers[name] for name in signed},
        request.body,
    )
    again.context["timestamp"] = request.headers["x-amz-date"]
    signer = SigV4Auth(Credentials(identity.access_key_id, identity.secret_access_key), _SERVICE, REGION)
    text = signer.string_to_sign(again, signer.canonical_request(again))
    return str(signer.signature(text, again))
