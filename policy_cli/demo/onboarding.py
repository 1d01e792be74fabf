"""Tenants of a local stack: enrolled, their catalog rows laid over, their policies published over HTTP."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence

from policy_cli.demo.calls import PolicyText, ScenarioError
from policy_cli.dev.stack import LocalStack
from policy_cli.dev.template import REGION
from policy_cli.dev.tenants import LocalTenant
from policy_client import Credentials, HmacCredentials, SigV4Credentials
from policy_client.transport import Transport
from policy_engine.state import with_overlay
from policy_lang.catalog import Model

__all__ = ["hmac_credentials", "onboard", "sigv4_credentials"]


def onboard(stack: LocalStack, texts: Sequence[PolicyText], overlay: Sequence[Model] = ()) -> list[LocalTenant]:
    """The tenants of `texts` in order; ScenarioError when a policy is refused."""
    tenants = []
    for name in dict.fromkeys(text.tenant for text in texts):
        tenant = stack.enrol(name)
        if overlay:
            _lay_over(stack, name, overlay)
        for text in texts:
            if text.tenant == name:
                _publish(stack, text, hmac_credentials(tenant))
        tenants.append(tenant)
    return tenants


def hmac_credentials(tenant: LocalTenant) -> Credentials:
    return HmacCredentials(tenant.key_id, tenant.secret)


def sigv4_credentials(tenant: LocalTenant) -> Credentials:
    """As a user has them, from the environment; botocore reads that once."""
    identity = tenant.identity
    variables = {"AWS_ACCESS_KEY_ID": identity.access_key_id, "AWS_SECRET_ACCESS_KEY": identity.secret_access_key}
    before = {name: os.environ.get(name) for name in (*variables, "AWS_SESSION_TOKEN")}
    try:
        os.environ.pop("AWS_SESSION_TOKEN", None)
        os.environ |= variables
        credentials = SigV4Credentials(REGION)
        credentials.headers("http://127.0.0.1", "/", b"", 0)
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
    return credentials


def _lay_over(stack: LocalStack, tenant: str, models: Sequence[Model]) -> None:
    # Here and not above: the handlers' own copy, which the stack has imported.
    from functions.stores.state import Revision, StateStore

    resources = stack.resources
    names = resources.name("StateTable"), resources.name("StateBucket")
    store = StateStore(resources.client("dynamodb"), resources.client("s3"), *names)
    store.revise(tenant, lambda state: Revision(with_overlay(state, tuple(models))))


def _publish(stack: LocalStack, text: PolicyText, credentials: Credentials) -> None:
    transport = Transport(stack.url, connect_timeout=5.0, read_timeout=60.0)
    path, body = f"/v1/policies/{text.name}", json.dumps({"source": text.source}).encode()
    status, content = transport.post(path, body, credentials.headers(transport.origin, path, body, stack.clock()))
    transport.close()
    if status != 200:
        raise ScenarioError(f"{text.origin} was not published: {_refusal(status, content)}")


def _refusal(status: int, content: bytes) -> str:
    try:
        problem = json.loads(content)["error"]
        findings = [f"\n  {each['code']}: {each['message']}" for each in problem.get("diagnostics", ())]
        return f"{problem['message']}{''.join(findings)}"
    except (ValueError, KeyError, TypeError):
        return f"{status} {content[:200].decode(errors='replace')}"
