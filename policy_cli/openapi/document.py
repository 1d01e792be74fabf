"""The document: paths from the doors, requests from the wire's forms, inline policies from the IR's own schema."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from http import HTTPStatus
from importlib.metadata import version
from typing import Any

from policy_cli.openapi.doors import DOORS, Door
from policy_cli.openapi.errors import ERRORS
from policy_cli.openapi.replies import REPLIES, REPLIES_TO_ERRORS, reference
from policy_engine.signing import KEY_HEADER, SIGNATURE_HEADER, TIMESTAMP_HEADER
from policy_lang.validation import build_schema

__all__ = ["build"]

Schema = dict[str, Any]

_ABOUT = """Which model serves an LLM call, decided by a tenant's policy and what was learned; prompts stay with
the caller.

The tenant follows from the credential alone. A request is signed with AWS Signature Version 4 (service `lambda`) where
the Function URLs demand it, else with an HMAC-SHA256 key over `METHOD\\nPATH\\nTIMESTAMP\\nSHA-256 of the body in hex`.
A body is strict JSON: UTF-8, no duplicate keys, no NaN, integers within 2^53.
Errors are `{"error": {"code", "message"}}`; codes are stable, messages are for people and may quote the request."""


def build() -> Schema:
    """The OpenAPI 3.1 document of the service."""
    paths: defaultdict[str, Schema] = defaultdict(dict)
    for door in DOORS:
        paths[door.path][door.method] = _operation(door)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Pointsman", "version": version("pointsman"), "description": _ABOUT},
        "paths": dict(paths),
        "components": {"schemas": _schemas(), "securitySchemes": _security_schemes()},
        "security": [{"hmacKey": [], "hmacTimestamp": [], "hmacSignature": []}, {"awsSignature": []}],
    }


def _operation(door: Door) -> Schema:
    name, _, most = door.body
    operation: Schema = {
        "operationId": door.operation,
        "summary": door.summary,
        "requestBody": {
            "required": True,
            "description": f"At most {most} bytes",
            "content": {"application/json": {"schema": reference(name)}},
        },
        "responses": _responses(door),
    }
    if door.names:
        operation["parameters"] = [
            {"name": name, "in": "path", "required": True, "schema": kind.schema()} for name, kind in door.names
        ]
    return operation


def _responses(door: Door) -> Schema:
    status, name = door.reply
    by_status: defaultdict[int, list[str]] = defaultdict(list)
    for code in door.errors:
        by_status[ERRORS[code].status].append(code)
    responses = {str(status): _response(HTTPStatus(status).phrase, reference(name))}
    for status, codes in sorted(by_status.items()):
        says = "\n".join(f"- `{code}`: {ERRORS[code].says}" for code in codes)
        schema = _error(codes)
        if status in (HTTPStatus.FORBIDDEN, HTTPStatus.REQUEST_ENTITY_TOO_LARGE):
            schema = {"anyOf": [schema, reference("LambdaMessage")]}
        responses[str(status)] = _response(says, schema)
    return responses


def _response(says: str, schema: Schema) -> Schema:
    return {"description": says, "content": {"application/json": {"schema": schema}}}


def _error(codes: Iterable[str]) -> Schema:
    properties: Schema = {"code": {"type": "string", "enum": sorted(codes)}, "message": {"type": "string"}}
    for code in codes:
        properties |= REPLIES_TO_ERRORS.get(code, {})
    error = {"type": "object", "required": ["code", "message"], "properties": properties}
    return {"type": "object", "required": ["error"], "properties": {"error": error}}


def _schemas() -> Schema:
    policy = _moved(build_schema())
    schemas: Schema = {**policy.pop("$defs"), **REPLIES}
    schemas["Policy"] = {name: value for name, value in policy.items() if name not in ("$schema", "$comment")}
    for name, form, _ in (door.body for door in DOORS):
        schemas[name] = form.schema()
    schemas["RouteRequest"]["properties"]["ir"] = reference("Policy")
    return schemas


def _moved(value: Any) -> Any:
    """`value` with references into `$defs` leading to where a component stands."""
    if isinstance(value, dict):
        return {name: _moved(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_moved(each) for each in value]
    return value.replace("#/$defs/", "#/components/schemas/") if isinstance(value, str) else value


def _security_schemes() -> Schema:
    headers = {"hmacKey": KEY_HEADER, "hmacTimestamp": TIMESTAMP_HEADER, "hmacSignature": SIGNATURE_HEADER}
    schemes: Schema = {name: {"type": "apiKey", "in": "header", "name": header} for name, header in headers.items()}
    says = "AWS Signature Version 4, as every AWS SDK makes it"
    schemes["awsSignature"] = {"type": "apiKey", "in": "header", "name": "Authorization", "description": says}
    return schemes
