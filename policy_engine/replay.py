"""Replay: rebuild the inputs from a receipt, decide again, and compare the bytes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from policy_engine.decision import Circumstances, decide
from policy_engine.receipt import ReceiptError, open_sealed, receipt_body
from policy_engine.snapshot import Estimate, Snapshot
from policy_engine.table import Table, compile_table
from policy_engine.wire import RouteRequest
from policy_lang.admission import admit
from policy_lang.canonical import canonical
from policy_lang.catalog import Catalog, model_from_document
from policy_lang.envelope import envelope_from_wire
from policy_lang.ir import Policy

__all__ = ["ReplayVerdict", "replay"]

PolicyStore = Mapping[str, tuple[Policy, Mapping[str, int]]]


@dataclass(frozen=True, slots=True)
class ReplayVerdict:
    """Whether a receipt was reproduced byte for byte; `difference` names the first field that is not, or what is
    missing.
    """

    decision_id: str | None
    equal: bool
    difference: str | None = None


def replay(line: str, policies: PolicyStore) -> ReplayVerdict:
    """Decide again on what a sealed line records. `policies`: by fingerprint, the IR and its source lines.

    An inline policy is taken from the receipt itself. Nothing is raised for a bad line: the verdict says what is wrong.
    """
    try:
        receipt = open_sealed(line)
    except ReceiptError as problem:
        return ReplayVerdict(problem.decision_id, False, str(problem))
    decision_id = receipt["circumstances"]["decision_id"]
    known = _policy(receipt, policies)
    if known is None:
        return ReplayVerdict(decision_id, False, f"policy {receipt['fingerprints']['policy'][:12]} is not at hand")
    request, table, snapshot, circumstances = _inputs(receipt, *known)
    if table.policy_fingerprint != receipt["fingerprints"]["policy"]:
        return ReplayVerdict(decision_id, False, "fingerprints.policy")
    body = receipt_body(request, decide(request, table, snapshot, circumstances), snapshot)
    if body.encode() == canonical(receipt):
        return ReplayVerdict(decision_id, True)

    return ReplayVerdict(decision_id, False, _first_difference(receipt, json.loads(body)))


def _policy(receipt: Mapping[str, Any], policies: PolicyStore) -> tuple[Policy, Mapping[str, int]] | None:
    if "inline" in receipt["request"]:
        return admit(receipt["request"]["inline"]), {}
    return policies.get(receipt["fingerprints"]["policy"])


def _inputs(
    receipt: Mapping[str, Any], policy: Policy, lines: Mapping[str, int]
) -> tuple[RouteRequest, Table, Snapshot, Circumstances]:
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
    now = receipt["circumstances"]
    circumstances = Circumstances(
        tenant=receipt["tenant"],
        decision_id=now["decision_id"],
        now_ms=now["now_ms"],
        breakers=frozenset(now["breakers"]),
        pin=now.get("pin"),
        degraded=now["degraded"],
        state_age_ms=now["state_age_ms"],
    )
    return _request(receipt["request"]), compile_table(policy, catalog, lines), snapshot, circumstances


def _request(document: Mapping[str, Any]) -> RouteRequest:
    fields = {**document, "envelope": envelope_from_wire(document["envelope"])}
    if "candidates" in fields:
        fields["candidates"] = tuple(fields["candidates"])
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
