"""Who is who: from a verified credential to its tenant."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from botocore.exceptions import ClientError

from functions.stores.errors import reaching
from functions.stores.items import Value, decoded, encoded
from functions.stores.keys import TENANT, credential_key, signature_key, tenant_key, tenants_partition
from policy_engine.limits import DEFAULT_LIMITS, Limits, limits_document, limits_from_document
from policy_lang.frozen import frozen

if TYPE_CHECKING:
    from types_boto3_dynamodb.client import DynamoDBClient

__all__ = ["Credential", "CredentialKind", "Member", "Registry", "iam_principal"]

CredentialKind = Literal["iam", "hmac"]
_CODE = "registry_unavailable"
_ABSENT, _EXISTS = "attribute_not_exists(pk)", "attribute_exists(pk)"
_KEY_ID = re.compile(r"[A-Za-z0-9_.:-]{1,64}")


@frozen
class Credential:
    """A registered credential. `secret` is that of an HMAC key, empty for IAM principals."""

    tenant: str
    active: bool
    secret: bytes = b""


@frozen
class Member:
    """An enrolled tenant. `shares_priors`: it tells the others what it saw of public models, and is told."""

    tenant: str
    shares_priors: bool = False
    limits: Limits = DEFAULT_LIMITS


class Registry:
    """The registry items of the state table."""

    def __init__(self, dynamodb: DynamoDBClient, table: str) -> None:
        self._dynamodb = dynamodb
        self._table = table

    def credential(self, kind: CredentialKind, name: str) -> Credential | None:
        """The credential of an IAM ARN (session stripped) or an HMAC key id; None when nobody registered it."""
        with reaching(_CODE, "the tenant registry"):
            answer = self._dynamodb.get_item(TableName=self._table, Key=encoded(credential_key(kind, name)))
        return _credential(decoded(answer["Item"])) if "Item" in answer else None

    def limits(self, tenant: str) -> Limits:
        """What a tenant may take; the defaults where its registration says nothing."""
        with reaching(_CODE, "the tenant registry"):
            answer = self._dynamodb.get_item(TableName=self._table, Key=encoded(tenant_key(tenant)))
        return _limits(decoded(answer["Item"])) if "Item" in answer else DEFAULT_LIMITS

    def claim_signature(self, tenant: str, mac: str, expires_s: int) -> bool:
        """Whether this signature is used for the first time; it is remembered until `expires_s` (Unix seconds)."""
        item = {**signature_key(tenant, mac), "expires_at": expires_s}
        with reaching(_CODE, "the tenant registry"):
            try:
                self._dynamodb.put_item(TableName=self._table, Item=encoded(item), ConditionExpression=_ABSENT)
            except ClientError as problem:
                if problem.response["Error"]["Code"] != "ConditionalCheckFailedException":
                    raise
                return False
        return True

    def credentials(self) -> dict[tuple[CredentialKind, str], Credential]:
        """Every credential there is, by kind and name; a scan of the table."""
        found: dict[tuple[CredentialKind, str], Credential] = {}
        with reaching(_CODE, "the tenant registry"):
            pages = self._dynamodb.get_paginator("scan").paginate(
                TableName=self._table,
                FilterExpression="begins_with(pk, :prefix)",
                ExpressionAttributeValues=encoded({":prefix": "credential#"}),
            )
            for page in pages:
                for item in map(decoded, page["Items"]):
                    _, kind, name = item["pk"].split("#", 2)
                    found[kind, name] = _credential(item)
        return found

    def members(self) -> list[Member]:
        """Every enrolled tenant, by name."""
        with reaching(_CODE, "the tenant registry"):
            pages = self._dynamodb.get_paginator("query").paginate(
                TableName=self._table,
                KeyConditionExpression="pk = :pk",
                ExpressionAttributeValues=encoded({":pk": tenants_partition()}),
            )
            items = [decoded(item) for page in pages for item in page["Items"]]
        return [_member(item) for item in items]

    def member(self, tenant: str) -> Member | None:
        """One tenant; None for one that is not enrolled."""
        with reaching(_CODE, "the tenant registry"):
            answer = self._dynamodb.get_item(TableName=self._table, Key=encoded(tenant_key(tenant)))
        return _member(decoded(answer["Item"])) if "Item" in answer else None

    def tenants(self) -> list[str]:
        """Names of every enrolled tenant."""
        return [member.tenant for member in self.members()]

    def share_priors(self, tenant: str, *, shares: bool) -> None:
        """Let a tenant into the shared priors or take it out; ValueError for one that is not enrolled."""
        with reaching(_CODE, "the tenant registry"):
            try:
                self._dynamodb.update_item(
                    TableName=self._table,
                    Key=encoded(tenant_key(tenant)),
                    UpdateExpression="SET shares_priors = :shares",
                    ConditionExpression=_EXISTS,
                    ExpressionAttributeValues=encoded({":shares": int(shares)}),
                )
            except ClientError as problem:
                if problem.response["Error"]["Code"] != "ConditionalCheckFailedException":
                    raise
                raise ValueError(f"no tenant `{tenant}` is enrolled") from None

    def enrol(
        self,
        tenant: str,
        *,
        principals: Sequence[str] = (),
        keys: Mapping[str, bytes] | None = None,
        limits: Limits | None = None,
    ) -> None:
        """Register a tenant with the IAM ARNs and HMAC keys (by id) that speak for it, and what it may take.

        Enrolling again adds credentials; a principal that another tenant held moves to this one. Without `limits` those
        of before stay. ValueError, and nothing written, for a key id in use, and for a bad name, key id or ARN: nobody
        could ever sign with it.
        """
        if not TENANT.fullmatch(tenant):
            raise ValueError("a tenant's name has lower-case letters, digits, `-`, `_`, at most 48")
        if bad := [arn for arn in principals if not arn.startswith("arn:")]:
            raise ValueError(f"`{bad[0]}` is no ARN such as arn:aws:iam::111111111111:role/acme-app")
        holder = {"tenant": tenant, "status": "active"}
        items: list[dict[str, Value]] = [{**credential_key("iam", iam_principal(arn)), **holder} for arn in principals]
        puts: list[Any] = [{"Put": {"TableName": self._table, "Item": encoded(item)}} for item in items]
        puts += [self._new_key(tenant, name, secret, again=True) for name, secret in (keys or {}).items()]
        self._all_or_nothing([{"Update": self._member(tenant, limits)}, *puts])

    def add_key(self, tenant: str, name: str, secret: bytes) -> None:
        """One more HMAC key for a tenant; ValueError for one that is not enrolled, and for a key id that anybody ever
        had: what was signed with a retired key must not come to life again.
        """
        member = {"TableName": self._table, "Key": encoded(tenant_key(tenant)), "ConditionExpression": _EXISTS}
        put = self._new_key(tenant, name, secret, again=False)
        self._all_or_nothing([{"ConditionCheck": member}, put])

    def suspend(self, tenant: str, kind: CredentialKind, name: str) -> None:
        """Take a credential away; enrolling it again gives it back. ValueError for one that the tenant has not."""
        with reaching(_CODE, "the tenant registry"):
            try:
                self._dynamodb.update_item(
                    TableName=self._table,
                    Key=encoded(credential_key(kind, name)),
                    UpdateExpression="SET #status = :status",
                    ConditionExpression="tenant = :tenant",
                    ExpressionAttributeNames={"#status": "status"},
                    ExpressionAttributeValues=encoded({":status": "suspended", ":tenant": tenant}),
                )
            except ClientError as problem:
                if problem.response["Error"]["Code"] != "ConditionalCheckFailedException":
                    raise
                raise ValueError(f"no such credential of `{tenant}`: {name}") from None

    def _new_key(self, tenant: str, name: str, secret: bytes, *, again: bool) -> Any:
        """A put that does not replace a key in use, nor (unless `again`) one that was; the same one is no other."""
        if not _KEY_ID.fullmatch(name):
            raise ValueError(f"the key id `{name}` must be letters, digits, `_.:-`, at most 64")
        holder = {"tenant": tenant, "status": "active", "secret": secret.hex()}
        free = f"{_ABSENT} OR (tenant = :tenant AND secret = :secret)"
        values = {":tenant": tenant, ":secret": secret.hex()}
        put: dict[str, Any] = {
            "TableName": self._table,
            "Item": encoded({**credential_key("hmac", name), **holder}),
            "ConditionExpression": f"{free} OR #status <> :active" if again else free,
            "ExpressionAttributeValues": encoded(values | {":active": "active"} if again else values),
        }
        return {"Put": put | {"ExpressionAttributeNames": {"#status": "status"}} if again else put}

    def _all_or_nothing(self, writes: list[Any]) -> None:
        """Write, or ValueError that names the first condition that does not hold."""
        with reaching(_CODE, "the tenant registry"):
            try:
                self._dynamodb.transact_write_items(TransactItems=writes)
            except ClientError as problem:
                reasons = problem.response.get("CancellationReasons", ())
                refused = [at for at, reason in enumerate(reasons) if reason.get("Code") == "ConditionalCheckFailed"]
                if not refused:
                    raise
                raise ValueError(_refused(writes[refused[0]])) from None

    def _member(self, tenant: str, limits: Limits | None) -> Any:
        """Not a put: enrolling again must not undo what was said of the tenant since."""
        kept = ":limits" if limits else "if_not_exists(#limits, :limits)"
        document = limits_document(limits) if limits else {}
        return {
            "TableName": self._table,
            "Key": encoded(tenant_key(tenant)),
            "UpdateExpression": f"SET #limits = {kept}",
            "ExpressionAttributeNames": {"#limits": "limits"},
            "ExpressionAttributeValues": encoded({":limits": json.dumps(document)}),
        }


def _refused(write: Mapping[str, Any]) -> str:
    if "Put" in write:
        _, _, name = str(decoded(write["Put"]["Item"])["pk"]).split("#", 2)
        return f"the key id `{name}` is taken; a new key needs a new id"
    return f"no tenant `{decoded(write['ConditionCheck']['Key'])['sk']}` is enrolled"


def _member(item: Mapping[str, Any]) -> Member:
    return Member(item["sk"], bool(item.get("shares_priors", 0)), _limits(item))


def _limits(item: Mapping[str, Any]) -> Limits:
    return limits_from_document(json.loads(item.get("limits", "{}")))


def _credential(item: Mapping[str, Any]) -> Credential:
    return Credential(item["tenant"], item["status"] == "active", bytes.fromhex(item.get("secret", "")))


def iam_principal(arn: str) -> str:
    """The role or user behind a caller's ARN: session and path stripped, `sts` assumed roles under their `iam` name.

    AWS leaves the path out of an assumed role's ARN, so a role is registered without it. Other ARNs stay as they are.
    """
    *head, resource = arn.split(":", 5)  # a path may hold colons too
    kind, *names = resource.split("/")
    if kind == "assumed-role" and len(names) == 2 and len(head) == 5:
        return f"{head[0]}:{head[1]}:iam:{head[3]}:{head[4]}:role/{names[0]}"
    if kind in ("role", "user") and names:
        return f"{':'.join(head)}:{kind}/{names[-1]}"
    return arn
