"""Why: every candidate with its fate, as the JSON rows that receipts keep and replies carry."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from policy_engine.outlook import Outlook
from policy_engine.selection import Option
from policy_engine.snapshot import Snapshot, estimate_row
from policy_engine.table import Candidate, Reason, Survey
from policy_lang.catalog import model_document

if TYPE_CHECKING:
    from policy_engine.decision import Step

__all__ = ["candidate_rows", "decision_row", "reply_rows"]


def candidate_rows(
    survey: Survey, outlook: Outlook | None, snapshot: Snapshot, breakers: frozenset[str]
) -> list[dict[str, Any]]:
    """One row a candidate: its catalog row and estimate as used, its fate, odds and failing rules.

    fate: barred (outside the gates), filtered (by the route's `where`), breaker_open, reserve (fallback lists only) or
    eligible. `floor` and `confidence_ppm` stand where the route's floors were weighed.
    """
    odds = dict(outlook.odds) if outlook else {}
    rows = []
    for candidate in survey.candidates:
        arm = candidate.model.arm
        option = outlook.options.get(arm) if outlook else None
        estimate = snapshot.estimate(survey.cluster, survey.envelope.task_type, arm)
        row: dict[str, Any] = {
            "arm": arm,
            "estimate": estimate_row(estimate),
            "fate": _fate(candidate, breakers),
            "model": model_document(candidate.model),
            "odds_ppm": odds.get(arm, 0),
            "outcomes": snapshot.outcomes.get(arm, 0),
            "reasons": [_reason_row(reason) for reason in candidate.reasons],
        }
        if option is not None:
            row |= {"confidence_ppm": option.confidence_ppm, "cost_nanodollars": option.cost_nanodollars}
            row["floor"] = option.state
        rows.append(row)
    return rows


def reply_rows(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The same rows for a caller: without catalog rows and estimates."""
    return [
        {name: value for name, value in row.items() if name not in ("model", "estimate", "outcomes")} for row in rows
    ]


def decision_row(
    survey: Survey,
    outlook: Outlook | None,
    option: Option | None,
    steps: Sequence[Step],
    *,
    explored: bool,
    propensity_ppm: int,
) -> dict[str, Any]:
    """The result part of a receipt and reply; absent fields are left out where nothing may serve."""
    row: dict[str, Any] = {
        "cluster": survey.cluster,
        "explored": explored,
        "propensity_ppm": propensity_ppm,
        "route": survey.route.name,
        "status": "served" if option else "no_candidates",
    }
    if survey.line is not None:
        row["route_line"] = survey.line
    if outlook is None or option is None:
        return row
    baseline = {"arm": outlook.baseline.arm, "cost_nanodollars": outlook.baseline_cost_nanodollars}
    model = option.candidate.model
    row |= {"arm": model.arm, "model": model.name, "provider": model.provider, "baseline": baseline}
    row |= {"confidence_ppm": option.confidence_ppm, "expected_cost_nanodollars": option.cost_nanodollars}
    row |= {"floor": option.state, "tier": option.candidate.tier, "stream": survey.envelope.time_sensitive}
    row["plan"] = [
        {"arm": s.arm, "floor": s.floor, "model": s.model, "provider": s.provider, "role": s.role} for s in steps
    ]
    return row


def _fate(candidate: Candidate, breakers: frozenset[str]) -> str:
    if candidate.barred:
        return "barred"
    if candidate.model.arm in breakers:
        return "breaker_open"
    if candidate.reasons:
        return "filtered"
    return "reserve" if candidate.tier is None else "eligible"


def _reason_row(reason: Reason) -> dict[str, Any]:
    row: dict[str, Any] = {"rule": reason.rule, "verdict": reason.verdict, "operands": dict(reason.operands)}
    if reason.line is not None:
        row["line"] = reason.line
    if reason.verdict == "unknown":
        row["unknown"] = [name for name, value in reason.operands if value is None]
    return row
