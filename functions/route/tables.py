"""The compiled policies of an environment: published ones by fingerprint, inline ones by content."""

from __future__ import annotations

import json
from collections.abc import Mapping
from hashlib import sha256
from typing import Any

from functions.caching import Recent
from functions.route.states import View
from policy_engine.lanes import LIVE, Lane, assign
from policy_engine.table import Table, compile_table
from policy_engine.wire import RequestError, RouteRequest
from policy_lang.admission import AdmissionError, admit

__all__ = ["Tables"]

_NAMED_TABLES = 512
# Inline policies have a memory of their own: a caller who sends ever new ones cannot push the published ones out.
_INLINE_TABLES = 32


class Tables:
    """Memo of compiled policies; what it holds follows from the state alone."""

    def __init__(self) -> None:
        self._named: Recent[tuple[str, str], Table] = Recent(_NAMED_TABLES)
        self._inline: Recent[tuple[str, str], Table] = Recent(_INLINE_TABLES)

    def deciding(self, wanted: RouteRequest, view: View, decision_id: str, now_ms: int) -> tuple[Table, Lane]:
        """The table that decides a request, and its lane: a canary's where the draw says so and it is published."""
        if wanted.inline is not None:
            return self._from_request(wanted.inline, view), LIVE
        assert wanted.policy is not None
        table = self._published(wanted.policy, view)
        if table is None:
            message = f"no policy `{wanted.policy}` is published; POST it to /v1/policies/{wanted.policy}"
            raise RequestError(404, "unknown_policy", message)
        _check_attributes(wanted, table)
        lane = assign(table.policy, wanted, decision_id, now_ms, ())
        canary = self._published(lane.policy, view) if lane.policy else None
        return (canary, lane) if canary is not None else (table, Lane(None, lane.propensity_ppm))

    def _published(self, name: str, view: View) -> Table | None:
        fingerprint = view.state.aliases.get(name)
        if fingerprint is None:
            return None
        key = (fingerprint, view.catalog.fingerprint)
        found = self._named.get(key)
        if found is None:
            published = view.state.policies[fingerprint]
            found = self._named.put(key, compile_table(published.policy, view.catalog, published.lines))
        return found

    def _from_request(self, document: Mapping[str, Any], view: View) -> Table:
        digest = sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()
        key = (digest, view.catalog.fingerprint)
        found = self._inline.get(key)
        if found is None:
            try:
                policy = admit(document)
            except AdmissionError as problem:
                raise RequestError(400, "invalid_ir", str(problem)) from None
            found = self._inline.put(key, compile_table(policy, view.catalog))
        return found


def _check_attributes(wanted: RouteRequest, table: Table) -> None:
    declared = {attribute.name: attribute.values for attribute in table.policy.attributes}
    for name, value in wanted.attributes:
        if value not in declared.get(name, ()):
            accepted = ", ".join(f"{known} in [{', '.join(values)}]" for known, values in declared.items())
            message = f"`{name}: {value}` is not an attribute this policy declares; it declares {accepted or 'none'}"
            raise RequestError(400, "invalid_attribute", message)
