"""`POST /v1/aliases/<name>`: lead a policy's name to fingerprints by weight, or back to where it led before.

Every policy that was ever published can be led to again. An alias keeps its own history, newest last; a rollback
without a fingerprint takes the newest entry off it, so that two rollbacks go back two steps.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from functions.function_url import Reply, Request, json_reply
from functions.publish.asserts import check_asserts
from functions.stores.items import Value
from functions.stores.keys import alias_key, policy_key
from functions.stores.state import Revision, StateStore
from policy_engine.aliases import Alias, AliasError, alias_of, weighted
from policy_engine.state import PublishedPolicy, RouteState, state_catalog, with_alias
from policy_engine.wire import RequestError, parse_alias
from policy_lang.frozen import frozen

__all__ = ["PREFIX", "AliasRecord", "moved_alias", "read_alias"]

PREFIX = "/v1/aliases/"
_KEPT_ENTRIES = 50
_LEAST_DIGITS = 8


@frozen
class AliasRecord:
    """An alias as its item keeps it: where it leads since when, and where it led before, newest last."""

    alias: Alias = ()
    at_ms: int = 0
    history: tuple[tuple[Alias, int], ...] = ()

    def moved(self, alias: Alias, at_ms: int) -> AliasRecord:
        """On to another target; the oldest entries are forgotten."""
        if alias == self.alias:
            return self
        before = ((self.alias, self.at_ms),) if self.alias else ()
        return AliasRecord(alias, at_ms, (*self.history, *before)[-_KEPT_ENTRIES:])

    def back(self, at_ms: int) -> AliasRecord:
        """To where it led before; RequestError 409 where nothing came before."""
        if not self.history:
            message = "the name led nowhere before; say with `to` which published fingerprint it shall lead to"
            raise RequestError(409, "no_history", message)
        return AliasRecord(self.history[-1][0], at_ms, self.history[:-1])

    def whole(self, digits: str) -> str:
        """A fingerprint of the record by its first digits, as commands print them; unknown ones come back as given."""
        known = {fingerprint for alias, _ in (*self.history, (self.alias, 0)) for fingerprint, _ in alias}
        found = [
            fingerprint for fingerprint in known if len(digits) >= _LEAST_DIGITS and fingerprint.startswith(digits)
        ]
        return found[0] if len(found) == 1 else digits

    def item(self, tenant: str, name: str) -> dict[str, Value]:
        return {
            **alias_key(tenant, name),
            "alias": json.dumps(self.alias),
            "at_ms": self.at_ms,
            "history": json.dumps(self.history),
        }


def read_alias(state: StateStore, tenant: str, name: str) -> AliasRecord:
    """The record of an alias; an empty one where there is none."""
    item = state.item(alias_key(tenant, name))
    if not item:
        return AliasRecord()
    history = tuple((_alias(alias), at_ms) for alias, at_ms in json.loads(item["history"]))
    return AliasRecord(_alias(json.loads(item["alias"])), item["at_ms"], history)


def moved_alias(store: StateStore, tenant: str, name: str, request: Request) -> tuple[Reply, RouteState]:
    """What the request asks of the alias, done, and the state after it; RequestError where it cannot be, or (unless it
    is forced) where a version would be led to whose asserts no longer hold.
    """
    wanted = parse_alias(request.body)
    forced = wanted.pop("force", False)
    record = read_alias(store, tenant, name)
    if not record.alias:
        raise RequestError(404, "unknown_policy", f"no policy `{name}` is published")
    record = _aimed(record, wanted, request.now_ms)
    published = {fingerprint: _stored(store, tenant, name, fingerprint) for fingerprint, _ in record.alias}

    proved: set[tuple[Alias, str]] = set()

    def change(state: RouteState) -> Revision:
        # Read again: whoever moved the alias in between has also moved the state, and then this is called once more.
        nonlocal record
        record = _aimed(read_alias(store, tenant, name), wanted, request.now_ms)
        if {fingerprint for fingerprint, _ in record.alias} - published.keys():
            raise RequestError(
                409, "alias_moved", "somebody else moved this alias at the same time; look and ask again"
            )
        catalog = state_catalog(state)
        if not forced and (record.alias, catalog.fingerprint) not in proved:
            check_asserts(published, (fingerprint for fingerprint, _ in record.alias), catalog)
            proved.add((record.alias, catalog.fingerprint))
        return Revision(with_alias(state, name, record.alias, published), (record.item(tenant, name),))

    state = store.revise(tenant, change) if wanted else store.current(tenant)
    facts: dict[str, Any] = {"tenant": tenant, "policy": name, "alias": [list(share) for share in record.alias]}
    facts |= {"forced": True} if forced else {}
    document = {
        "name": name,
        "alias": record.alias,
        "at_ms": record.at_ms,
        "history": [{"alias": alias, "at_ms": at_ms} for alias, at_ms in reversed(record.history)],
        "version": state.version,
    }
    return json_reply(200, document, facts=facts, counts={"AliasesMoved": int(bool(wanted))}), state


def _aimed(record: AliasRecord, wanted: Mapping[str, Any], now_ms: int) -> AliasRecord:
    """The record as the request would have it."""
    if "shares" in wanted:
        try:
            alias = weighted((record.whole(fingerprint), share) for fingerprint, share in wanted["shares"])
        except AliasError as problem:
            raise RequestError(400, "invalid_shares", str(problem)) from None
        return record.moved(alias, now_ms)
    if "to" in wanted:
        try:
            return record.moved(weighted(alias_of(record.whole(wanted["to"]))), now_ms)
        except AliasError as problem:
            raise RequestError(400, "invalid_fingerprint", str(problem)) from None
    return record.back(now_ms) if wanted else record


def _stored(store: StateStore, tenant: str, name: str, fingerprint: str) -> PublishedPolicy:
    """A published policy of that name. Its item is asked first: S3 does not say of an object that it is not there."""
    found = store.policy(tenant, fingerprint) if store.item(policy_key(tenant, fingerprint)) else None
    if found is None:
        raise RequestError(404, "unknown_fingerprint", f"`{fingerprint}` was never published by this tenant")
    if found.policy.name != name:
        message = f"`{fingerprint}` is a version of `{found.policy.name}`; a name leads to its own versions only"
        raise RequestError(422, "wrong_name", message)
    return found


def _alias(shares: list[list[Any]]) -> Alias:
    return tuple((fingerprint, share) for fingerprint, share in shares)
