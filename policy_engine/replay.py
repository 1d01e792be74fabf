"""Replay: rebuild the inputs from a receipt, decide again, and compare the bytes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from policy_engine.budgets import BudgetReading
from policy_engine.decision import Circumstances, decide
from policy_engine.lanes import LIVE, Lane
from policy_engine.pins import Pin
from policy_engine.receipt import ReceiptError, open_sealed, receipt_body
from policy_engine.snapshot import Estimate, Snapshot
from policy_engine.table import Table, compile_table
from policy_engine.wire import RouteRequest
from policy_lang.admission import AdmissionError, admit
from policy_lang.catalog import Catalog, model_from_document
from policy_lang.envelope import envelope_from_wire
from policy_lang.ir import Policy

__all__ = ["ReplayVerdict", "Replayer", "replay"]

PolicyStore = Mapping[str, tuple[Policy, Mapping[str, int]]]
_HEAD = len('{"hash":"') + 64 + len('","receipt":')


@dataclass(frozen=True, slots=True)
class ReplayVerdict:
    """Whether a receipt was reproduced byte for byte.

    `difference` names the first field that is not, or what is missing.
    """

    decision_id: str | None
    equal: bool
    difference: str | None = None


class Replayer:
    """Replays many receipts against one store of policies.

    What receipts of one cell share is rebuilt once. That is safe: the body is compared whole, so a receipt whose rows
    differ from the ones remembered comes out unequal, and is then replayed alone, from nothing but itself.
    """

    def __init__(self, policies: PolicyStore) -> None:
        self._policies = policies
        self._inputs: dict[tuple[Any, ...], tuple[RouteRequest, Table, Snapshot]] = {}

    def replay(self, line: str) -> ReplayVerdict:
        """Decide again on what a sealed line records.

        Nothing is raised for a bad line: the verdict says what is wrong.
        """
        body = line.strip()[_HEAD:-1]
        try:
            receipt = json.loads(body)
            key = (json.dumps(receipt["request"]), tuple(receipt["fingerprints"].values()))
            known = self._inputs.get(key)
            if known is not None and sha256(body.encode()).hexdigest() == line[9:73]:
                request, table, snapshot = known
                circumstances = _circumstances(receipt)
                if receipt_body(request, decide(request, table, snapshot, circumstances), snapshot) == body:
                    return ReplayVerdict(circumstances.decision_id, True)
        except (ValueError, KeyError, TypeError, AttributeError):
            key = None
        verdict, inputs = _replayed(line, self._policies)
        if verdict.equal and inputs is not None and key is not None:
            self._inputs[key] = inputs
        return verdict


def replay(line: str, policies: PolicyStore) -> ReplayVerdict:
    """Replay one sealed line.

    `policies`: by fingerprint, the IR and its source lines; an inline IR is in the receipt.
    """
    return _replayed(line, policies)[0]


def _replayed(line: str, policies: PolicyStore) -> tuple[ReplayVerdict, tuple[RouteRequest, Table, Snapshot] | None]:
    try:
        receipt = open_sealed(line)
    except ReceiptError as problem:
        return ReplayVerdict(problem.decision_id, False, str(problem)), None
    decision_id = receipt["circumstances"]["decision_id"]
    try:
        known = _policy(receipt, policies)
        if known is None:
            missing = f"policy {receipt['fingerprints']['policy'][:12]} is not at hand"
            return ReplayVerdict(decision_id, False, missing), None
        request, table, snapshot = _inputs(receipt, *known)
        if table.policy_fingerprint != receipt["fingerprints"]["policy"]:
            return ReplayVerdict(decision_id, False, "fingerprints.policy"), None
        body = receipt_body(request, decide(request, table, snapshot, _circumstances(receipt)), snapshot)
    except (KeyError, TypeError, ValueError, AttributeError) as problem:
        # A resealed receipt can lack anything; that is a finding about it, not a fault of ours.
        return ReplayVerdict(decision_id, False, f"the receipt's inputs do not fit together: {problem}"), None
    if body == line.strip()[_HEAD:-1]:
        return ReplayVerdict(decision_id, True), (request, table, snapshot)
    return ReplayVerdict(decision_id, False, _first_difference(receipt, json.loads(body))), None


def _policy(receipt: Mapping[str, Any], policies: PolicyStore) -> tuple[Policy, Mapping[str, int]] | None:
    if "inline" not in receipt["request"]:
        return policies.get(receipt["fingerprints"]["policy"])
    try:
        return admit(receipt["request"]["inline"]), {}
    except AdmissionError as problem:
        raise ValueError(str(problem)) from None


def _inputs(
    receipt: Mapping[str, Any], policy: Policy, lines: Mapping[str, int]
) -> tuple[RouteRequest, Table, Snapshot]:
    rows = [*receipt["candidates"], *([receipt["baseline"]] if receipt["baseline"] else [])]
    models = {row["arm"]: model_from_document(row["model"]) for row in rows if not _absent(row)}
    catalog = Catalog(models, {}, receipt["fingerprints"]["catalog"])
    learned, route = receipt["snapshot"], receipt["decision"]["route"]
    snapshot = Snapshot(
        made_ms=learned["made_ms"],
        cells={receipt["decision"]["cluster"]: {row["arm"]: Estimate(*row["estimate"]) for row in rows}},
        tasks={},
        overall={},
        generations={},
        outcomes={row["arm"]: row["outcomes"] for row in receipt["candidates"]},
        day=learned["day"],
        spent_nanodollars={route: learned["spent_nanodollars"]},
        fingerprint=receipt["fingerprints"]["snapshot"],
        moves={},
        watches={},
    )
    return (
        _request(receipt["request"]),
        compile_table(policy, catalog, lines, inline="inline" in receipt["request"]),
        snapshot,
    )


def _circumstances(receipt: Mapping[str, Any]) -> Circumstances:
    now, tenant = receipt["circumstances"], receipt["tenant"]
    return Circumstances(
        tenant=tenant,
        decision_id=now["decision_id"],
        now_ms=now["now_ms"],
        breakers=frozenset(now["breakers"]),
        pin=Pin(tenant, *now["pin"]) if "pin" in now else None,
        budgets=tuple(BudgetReading(*reading) for reading in now["budgets"]),
        lane=Lane(**now["lane"]) if now["lane"] else LIVE,
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
