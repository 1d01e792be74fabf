"""Replay: rebuild the inputs from a receipt, decide again, and compare the bytes.

Nothing here raises for a bad line: whatever is wrong with it is the verdict's `difference`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from policy_engine.accounts import exploration_name
from policy_engine.budgets import BudgetReading
from policy_engine.decision import ENGINE, Circumstances, decide
from policy_engine.estimate import estimate_from_row
from policy_engine.lanes import lane_from_document
from policy_engine.pins import Pin
from policy_engine.receipt import ReceiptError, open_sealed, receipt_body, seal
from policy_engine.snapshot import Snapshot
from policy_engine.table import Table, compile_table
from policy_engine.wire import RouteRequest
from policy_lang.admission import AdmissionError, admit
from policy_lang.catalog import Catalog, model_from_document
from policy_lang.envelope import envelope_from_wire
from policy_lang.frozen import frozen
from policy_lang.ir import Policy

__all__ = ["ReplayVerdict", "Replayer", "replay"]

PolicyStore = Mapping[str, tuple[Policy, Mapping[str, int]]]
_UNFIT = (KeyError, TypeError, ValueError, AttributeError, RecursionError, ArithmeticError)
_HEAD = len('{"hash":"') + 64 + len('","receipt":')
_MEMO_LIMIT = 4_096
# What stands between the parts of a body; no string can hold one, because its quotes would be escaped.
_MARKS = (',"budget":', ',"candidates":', ',"circumstances":', ',"decision":', ',"engine":', ',"fingerprints":')
_TAIL_MARKS = (',"format":', ',"request":', ',"snapshot":', ',"tenant":')
_WHERE = re.compile(r'"route":"(?P<route>[^"]*)"')


@frozen
class ReplayVerdict:
    """Whether a receipt was reproduced byte for byte.

    `difference` names the first field that is not, or what is missing.
    """

    decision_id: str | None
    equal: bool
    difference: str | None = None


class Replayer:
    """Replays many receipts against one store of policies, most of them without parsing more than they differ in.

    What receipts share (table, snapshot, request) is remembered by the text it was rebuilt from. That is safe because
    the line is compared whole and names every input: what was remembered wrongly comes out unequal, and the line is
    then replayed alone, from nothing but itself.
    """

    def __init__(self, policies: PolicyStore) -> None:
        self._policies = policies
        self._learned: dict[tuple[str, ...], tuple[Table, Snapshot]] = {}
        self._tables: dict[tuple[str, ...], Table] = {}
        self._requests: dict[str, RouteRequest] = {}

    def replay(self, line: str) -> ReplayVerdict:
        """Decide again on what a sealed line records."""
        line = line.strip()
        parts = _Parts.of(line[_HEAD:-1])
        if parts is not None and (known := self._learned.get(parts.learned)) is not None:
            try:
                circumstances = _circumstances(json.loads(parts.circumstances), json.loads(parts.tenant))
                if _sealed_again(self._request(parts.request), *known, circumstances) == line:
                    return ReplayVerdict(circumstances.decision_id, True)
            except _UNFIT:
                pass
        verdict, inputs = _replayed(line, self._policies, self._tables.get(parts.table) if parts else None)
        if verdict.equal and inputs is not None and parts is not None:
            _remember(self._learned, parts.learned, inputs)
            _remember(self._tables, parts.table, inputs[0])
        return verdict

    def _request(self, text: str) -> RouteRequest:
        found = self._requests.get(text)
        if found is None:
            found = _request(json.loads(text))
            _remember(self._requests, text, found)
        return found


def replay(line: str, policies: PolicyStore) -> ReplayVerdict:
    """Replay one sealed line.

    `policies`: by fingerprint, the IR and its source lines; an inline IR is in the receipt.
    """
    return _replayed(line.strip(), policies)[0]


@frozen
class _Parts:
    """A body cut at its top-level fields, unparsed. `learned`: all that table and snapshot are rebuilt from."""

    learned: tuple[str, ...]
    table: tuple[str, ...]
    circumstances: str
    request: str
    tenant: str

    @staticmethod
    def of(body: str) -> _Parts | None:
        """None for a body that is not laid out as receipts are."""
        cuts, at = [], 0
        for mark in _MARKS:
            at = body.find(mark, at)
            cuts.append(at)
        # A request can be long and an inline policy can hold anything, so what follows it is looked for from the end.
        end = len(body)
        tail = []
        for mark in reversed(_TAIL_MARKS):
            end = body.rfind(mark, 0, end)
            tail.append(end)
        if min(cuts) < 0 or min(tail) < 0:
            return None
        _, candidates, circumstances, decision, engine, fingerprints = cuts
        tenant, snapshot, request, form = tail
        route = _WHERE.search(body, decision, engine)
        if route is None:
            return None
        inline = body[request:snapshot] if '"inline":' in body[request:snapshot] else ""
        prints = body[fingerprints:form]
        return _Parts(
            learned=(body[:circumstances], prints, body[snapshot:tenant], route[0], inline),
            table=(prints.partition(',"snapshot":')[0], route["route"], body[cuts[0] : candidates], inline),
            circumstances=body[circumstances + len(_MARKS[2]) : decision],
            request=body[request + len(_TAIL_MARKS[1]) : snapshot],
            tenant=body[tenant + len(_TAIL_MARKS[3]) : -1].partition(',"warnings":')[0],
        )


def _sealed_again(request: RouteRequest, table: Table, snapshot: Snapshot, circumstances: Circumstances) -> str:
    return seal(receipt_body(request, decide(request, table, snapshot, circumstances), snapshot))


def _remember(memo: dict[Any, Any], key: Any, value: Any) -> None:
    if len(memo) >= _MEMO_LIMIT:
        memo.clear()
    memo[key] = value


def _replayed(
    line: str, policies: PolicyStore, table: Table | None = None
) -> tuple[ReplayVerdict, tuple[Table, Snapshot] | None]:
    try:
        receipt = open_sealed(line)
    except ReceiptError as problem:
        return ReplayVerdict(problem.decision_id, False, str(problem)), None
    decision_id = receipt["circumstances"]["decision_id"]
    if receipt.get("engine") != ENGINE:
        return ReplayVerdict(decision_id, False, f"decided by {receipt.get('engine')}; this is {ENGINE}"), None
    try:
        known = _policy(receipt, policies)
        if known is None:
            missing = f"policy {receipt['fingerprints']['policy'][:12]} is not at hand"
            return ReplayVerdict(decision_id, False, missing), None
        request, snapshot = _request(receipt["request"]), _snapshot(receipt, known[0].name)
        circumstances = _circumstances(receipt["circumstances"], receipt["tenant"])
        inline = "inline" in receipt["request"]
        for remembered in (table, None) if table else (None,):
            prices = receipt["budget"].get("tiers")
            tried = remembered or compile_table(
                known[0], _catalog(receipt), known[1], inline=inline, tier_prices=prices
            )
            if tried.policy_fingerprint != receipt["fingerprints"]["policy"]:
                return ReplayVerdict(decision_id, False, "fingerprints.policy"), None
            again = _sealed_again(request, tried, snapshot, circumstances)
            if again == line:
                return ReplayVerdict(decision_id, True), (tried, snapshot)
    except _UNFIT as problem:
        # A resealed receipt can lack anything; that is a finding about it, not a fault of ours.
        return ReplayVerdict(decision_id, False, f"the receipt's inputs do not fit together: {problem}"), None
    different = _first_difference(receipt, json.loads(again)["receipt"])
    return ReplayVerdict(decision_id, False, different or "the line is not in canonical form"), None


def _policy(receipt: Mapping[str, Any], policies: PolicyStore) -> tuple[Policy, Mapping[str, int]] | None:
    if "inline" not in receipt["request"]:
        return policies.get(receipt["fingerprints"]["policy"])
    try:
        return admit(receipt["request"]["inline"]), {}
    except AdmissionError as problem:
        raise ValueError(str(problem)) from None


def _catalog(receipt: Mapping[str, Any]) -> Catalog:
    models = {row["arm"]: model_from_document(row["model"]) for row in _rows(receipt) if not _absent(row)}
    return Catalog(models, {}, receipt["fingerprints"]["catalog"])


def _snapshot(receipt: Mapping[str, Any], policy: str) -> Snapshot:
    learned, money = receipt["snapshot"], exploration_name(policy, receipt["decision"]["route"])
    estimates = {row["arm"]: estimate_from_row(row["estimate"]) for row in _rows(receipt)}
    return Snapshot(
        made_ms=learned["made_ms"],
        cells={receipt["decision"]["cluster"]: estimates},
        tasks={},
        overall={},
        generations={},
        outcomes={row["arm"]: row["outcomes"] for row in receipt["candidates"]},
        day=learned["day"],
        spent_nanodollars={money: learned["spent_nanodollars"]},
        fingerprint=receipt["fingerprints"]["snapshot"],
        left_out=learned.get("left_out", {}),
        moves={},
        watches={},
    )


def _rows(receipt: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [*receipt["candidates"], *([receipt["baseline"]] if receipt["baseline"] else [])]


def _circumstances(now: Mapping[str, Any], tenant: str) -> Circumstances:
    return Circumstances(
        tenant=tenant,
        decision_id=now["decision_id"],
        now_ms=now["now_ms"],
        breakers=frozenset(now["breakers"]),
        half_open=frozenset(now.get("half_open", ())),
        pin=Pin(tenant, *now["pin"]) if "pin" in now else None,
        budgets=tuple(BudgetReading(*reading) for reading in now["budgets"]),
        lane=lane_from_document(now["lane"]),
        degraded=now["degraded"],
        state_age_ms=now["state_age_ms"],
    )


def _request(document: Mapping[str, Any]) -> RouteRequest:
    fields = {**document, "envelope": envelope_from_wire(document["envelope"])}
    if "candidates" in fields:
        fields["candidates"] = tuple(fields["candidates"])
    if "attributes" in fields:
        fields["attributes"] = tuple(sorted(fields["attributes"].items()))
    return RouteRequest(**fields)


def _absent(row: Mapping[str, Any]) -> bool:
    return any(reason["verdict"] == "absent" for reason in row.get("reasons", ()))


def _first_difference(stored: Any, computed: Any, path: str = "") -> str:
    """Dotted path of the first place, in key order, where two JSON values part."""
    if isinstance(stored, dict) and isinstance(computed, dict):
        for name in sorted({*stored, *computed}):
            if stored.get(name) != computed.get(name):
                return _first_difference(stored.get(name), computed.get(name), f"{path}.{name}" if path else name)
    if isinstance(stored, list) and isinstance(computed, list) and len(stored) == len(computed):
        for position, (left, right) in enumerate(zip(stored, computed, strict=True)):
            if left != right:
                return _first_difference(left, right, f"{path}[{position}]")
    return path
