"""Who is who: from a verified credential to its tenant."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from botocore.exceptions import ClientError

from functions.stores.errors import reaching
from functions.stores.items import decoded, encoded
from functions.stores.keys import credential_key, signature_key, tenant_key, tenants_partition

if TYPE_CHECKING:
    from types_boto3_dynamodb.client import DynamoDBClient

__all__ = ["Credential", "CredentialKind", "Registry", "iam_principal"]

CredentialKind = Literal["iam", "hmac"]
_CODE = "registry_unavailable"
_TENANT = re.compile(r"[a-z0-9][a-z0-9_-]{0,47}")


@dataclass(frozen=True, slots=True)
class Credential:
    """A registered credential. `secret` is that of an HMAC key, empty for IAM principals."""

    tenant: str
    active: bool
    secret: bytes = b""


class Registry:
    """The registry items of the state table."""

    def __init__(self, dynamodb: DynamoDBClient, table: str) -> None:
        self._dynamodb = dynamodb
        self._table = table

    def credential(self, kind: CredentialKind, name: str) -> Credential | None:
        """The credential of an IAM ARN (session stripped) or an HMAC key id; None when nobody registered it."""
        with reaching(_CODE, "the tenant registry"):
            answer = self._dynamodb.get_item(TableName=self._table, Key=encoded(credential_key(kind, name)))
        if "Item" not in answer:
            return None
        item = decoded(answer["Item"])
        return Credential(item["tenant"], item["status"] == "active", bytes.fromhex(item.get("secret", "")))

    def claim_signature(self, tenant: str, mac: str, expires_s: int) -> bool:
        """Whether this signature is used for the first time; it is remembered until `expires_s` (Unix seconds)."""
        item = {**signature_key(tenant, mac), "expires_at": expires_s}
        with reaching(_CODE, "the tenant registry"):
            try:
                self._dynamodb.put_item(
                    TableName=self._table, Item=encoded(item), ConditionExpression="attribute_not_exists(pk)"
                )
            except ClientError as problem:
                if problem.response["Error"]["Code"] != "ConditionalCheckFailedException":
                    raise
                return False
        return True

    def tenants(self) -> list[str]:
        """Every enrolled tenant, by name."""
        with reaching(_CODE, "the tenant registry"):
            pages = self._dynamodb.get_paginator("query").paginate(
                TableName=self._table,
                KeyConditionExpression="pk = :pk",
                ExpressionAttributeValues=encoded({":pk": tenants_partition()}),
            )
            return [str(decoded(item)["sk"]) for page in pages for item in page["Items"]]

    def enrol(self, tenant: str, *, principals: Sequence[str] = (), keys: Mapping[str, bytes] | None = None) -> None:
        """Register a tenant with the IAM ARNs and HMAC keys (by id) that speak for it.

        Enrolling again adds credentials; one that another tenant held moves to this one. ValueError for a bad name.
        """
        if not _TENANT.fullmatch(tenant):
            raise ValueError("a tenant's name has lower-case letters, digits, `-`, `_`, at most 48")
        items = [dict(tenant_key(tenant))]
        holder = {"tenant": tenant, "status": "active"}
        items += [{**credential_key("iam", iam_principal(arn)), **holder} for arn in principals]
        items += [{**credential_key("hmac", name), **holder, "secret": key.hex()} for name, key in (keys or {}).items()]
        with reaching(_CODE, "the tenant registry"):
            self._dynamodb.transact_write_items(
                TransactItems=[{"Put": {"TableName": self._table, "Item": encoded(item)}} for item in items]
            )


def iam_principal(arn: str) -> str:
    """The role or user behind a caller's ARN: session and path stripped, `sts` assumed roles under their `iam` name.

    AWS leaves the path out of an assumed role's ARN, so a role is registered without it. Other ARNs stay as they are.
    """
    head, _, resource = arn.rpartition(":")
    kind, *names = resource.split("/")
    parts = head.split(":")
    if kind == "assumed-role" and len(names) == 2 and len(parts) == 5:
        return f"{parts[0]}:{parts[1]}:iam:{parts[3]}:{parts[4]}:role/{names[0]}"
    if kind in ("role", "user") and names:
        return f"{head}:{kind}/{names[-1]}"
    return arn
