"""`POST /v1/policies/<name>`: compile a policy text, store it by fingerprint, move its name to it. Or say all that is
wrong with it and store nothing. `POST /v1/aliases/<name>` moves the name alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

from functions.auth import Authenticator
from functions.function_url import Reply, Request, json_reply, refusal, serve
from functions.publish.aliases import PREFIX as ALIASES
from functions.publish.aliases import moved_alias, read_alias
from functions.publish.asserts import broken_in_text
from functions.settings import PublishSettings, load, running_in_lambda
from functions.stores import clients
from functions.stores.backups import Backups
from functions.stores.errors import StoreError
from functions.stores.keys import policy_key
from functions.stores.registry import Registry
from functions.stores.secrets import KeyRing
from functions.stores.state import Revision, StateStore
from policy_engine import attributes as names
from policy_engine.aliases import alias_of
from policy_engine.limits import Limits
from policy_engine.state import RouteState, state_catalog, with_policy
from policy_engine.wire import POLICY_NAME, RequestError, parse_publish
from policy_lang.compiler import Compilation, compile_policy
from policy_lang.diagnostics import Diagnostic, as_document
from policy_lang.fingerprint import ir_document

__all__ = ["Publisher", "handler"]

PREFIX = "/v1/policies/"


class Publisher:
    """Compiles and publishes policies, and moves the names that lead to them."""

    def __init__(self, registry: Registry, state: StateStore, backups: Backups) -> None:
        self._authenticator = Authenticator(registry)
        self._registry = registry
        self._state = state
        self._backups = backups

    def answer(self, request: Request) -> Reply:
        """200, or the refusal; RequestError and StoreError otherwise."""
        prefix, name = _policy_name(request)
        tenant = self._authenticator.tenant_once(request)
        if prefix == PREFIX:
            return self._compiled(request, tenant, name)
        reply, state = moved_alias(self._state, tenant, name, request)
        return self._backed_up(reply, state, request.now_ms)

    def _compiled(self, request: Request, tenant: str, name: str) -> Reply:
        """200 with the fingerprint, or 422 with every diagnostic; publishing the same text again changes nothing."""
        wanted = parse_publish(request.body)
        state = self._state.current(tenant)
        catalog = state_catalog(state)
        compiled = compile_policy(wanted.source, catalog, f"{name}.policy")
        facts = {"tenant": tenant, "policy": name, names.POLICY_FINGERPRINT: compiled.fingerprint}
        if (rejection := _rejection(compiled, broken_in_text(compiled, catalog), name, facts)) is not None:
            return rejection
        limits = self._registry.limits(tenant)
        _check_room(state, name, limits)
        if not wanted.dry_run:
            state = self._published(tenant, compiled, limits, request.now_ms)
        document = {
            "name": name,
            "fingerprint": compiled.fingerprint,
            "source_hash": compiled.source_hash,
            "published": not wanted.dry_run,
            "version": state.version,
            "warnings": _diagnostics(compiled),
        }
        reply = json_reply(200, document, facts=facts, counts={"PoliciesPublished": int(not wanted.dry_run)})
        return reply if wanted.dry_run else self._backed_up(reply, state, request.now_ms)

    def _backed_up(self, reply: Reply, state: RouteState, now_ms: int) -> Reply:
        """Copy the state for when its table is down. What was published is published: `watch` copies it again."""
        try:
            self._backups.keep_state(state, now_ms)
        except StoreError as outage:
            return replace(reply, facts={**reply.facts, "backup": outage.code})
        return reply

    def _published(self, tenant: str, compiled: Compilation, limits: Limits, now_ms: int) -> RouteState:
        assert compiled.policy is not None
        assert compiled.fingerprint is not None
        fingerprint, name = compiled.fingerprint, compiled.policy.name
        document = {
            "ir": ir_document(compiled.policy),
            "lines": dict(compiled.lines),
            "source": compiled.text,
            "source_hash": compiled.source_hash,
        }
        kept = self._state.keep_policy(tenant, fingerprint, document)
        item = {**policy_key(tenant, fingerprint), "name": name, "source_hash": compiled.source_hash, "at_ms": now_ms}

        def change(state: RouteState) -> Revision:
            _check_room(state, name, limits)
            alias = read_alias(self._state, tenant, name).moved(alias_of(fingerprint), now_ms)
            return Revision(with_policy(state, fingerprint, kept), (item, alias.item(tenant, name)))

        return self._state.revise(tenant, change)


def handler(event: Mapping[str, Any], _context: object) -> dict[str, Any]:
    """Function URL entry."""
    return serve("publish", event, publisher().answer)


@cache
def publisher() -> Publisher:
    """The environment's publisher, built from its settings."""
    settings = load(PublishSettings)
    dynamodb, s3 = clients.patient("dynamodb"), clients.patient("s3")
    keys = KeyRing(clients.patient("secretsmanager"), settings.signing_secret_arn)
    return Publisher(
        Registry(dynamodb, settings.state_table),
        StateStore(dynamodb, s3, settings.state_table, settings.state_bucket),
        Backups(s3, settings.state_bucket, keys),
    )


def _policy_name(request: Request) -> tuple[str, str]:
    """What the path begins with, and the policy's name after it."""
    prefix = ALIASES if request.path.startswith(ALIASES) else PREFIX
    name = request.path.removeprefix(prefix)
    if name == request.path or not POLICY_NAME.matches(name):
        message = f"publishing is `POST {PREFIX}<name>`, as in {PREFIX}acme/support; `{ALIASES}<name>` moves its alias"
        raise RequestError(404, "unknown_path", message)
    if request.method != "POST":
        raise RequestError(405, "method_not_allowed", f"it is `POST {prefix}<name>`")
    return prefix, name


def _check_room(state: RouteState, name: str, limits: Limits) -> None:
    """RequestError 409 for a new name when the tenant has published as many as it may."""
    if name not in state.aliases and len(state.aliases) >= limits.policies:
        message = f"this tenant has published {len(state.aliases)} policies and may publish {limits.policies}"
        raise RequestError(409, "too_many_policies", f"{message}; use one of its names, or have the limit raised")


def _rejection(
    compiled: Compilation, broken: Sequence[Diagnostic], name: str, facts: Mapping[str, Any]
) -> Reply | None:
    if compiled.policy is None or broken:
        found = _diagnostics(compiled, broken)
        message = f"the policy has {len(found)} findings; nothing was stored"
        refused = refusal(422, "invalid_policy", message, diagnostics=found)
    elif compiled.policy.name != name:
        message = f"the text is of policy `{compiled.policy.name}`; POST it to {PREFIX}{compiled.policy.name}"
        refused = refusal(422, "wrong_name", message)
    else:
        return None
    return Reply(refused.status, refused.text, {**facts, **refused.facts}, refused.counts)


def _diagnostics(compiled: Compilation, further: Sequence[Diagnostic] = ()) -> list[dict[str, Any]]:
    found = sorted((*compiled.diagnostics, *further), key=lambda finding: finding.span.start)
    return [as_document(finding, compiled.filename) for finding in found]


if running_in_lambda():
    publisher()
