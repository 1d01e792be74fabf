"""Why: every candidate with its fate, as the JSON rows that receipts keep and replies carry.

The rows are put together from parts in key order; a test holds that a receipt is the canonical form of its own parse.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from policy_engine.candidates import Candidate
from policy_engine.estimate import estimate_json
from policy_engine.outlook import Outlook, in_batch
from policy_engine.selection import Option
from policy_engine.snapshot import Known
from policy_engine.table import Survey
from policy_lang.fingerprint import ir_document
from policy_lang.ir import PPM, Route

__all__ = ["Status", "Step", "baseline_json", "candidates_json", "decision_row", "served_cost", "told_json"]

Status = Literal["served", "no_candidates", "denied"]


class Step(NamedTuple):
    """One hop of a plan. role: pick, explore, until_proven, pinned, cascade, direct, cleared or fallback."""

    arm: str
    provider: str
    model: str
    role: str
    floor: str


def candidates_json(
    survey: Survey, outlook: Outlook | None, known: Mapping[str, Known], breakers: frozenset[str]
) -> str:
    """The candidates as canonical JSON for a receipt: one row each with its catalog row and estimate as used, its fate,
    odds and failing rules.

    fate: barred (outside the gates), filtered (by the route's `where`), breaker_open, too_dear (above the cost a guard
    allows), reserve (fallback lists only) or eligible. `floor` and `confidence_ppm` stand where floors were weighed.
    """
    rows = []
    for candidate, head, fate, odds, reasons in _told(survey, outlook, breakers):
        estimate, outcomes, _ = known[candidate.model.arm]
        rows.append(
            f'{head},"estimate":{estimate_json(estimate)}{fate},"model":{candidate.model_json}{odds}'
            f',"outcomes":{outcomes}{reasons}'
        )
    return f"[{','.join(rows)}]"


def told_json(survey: Survey, outlook: Outlook | None, breakers: frozenset[str]) -> str:
    """The same rows for a caller, without catalog rows and estimates."""
    rows = [f"{head}{fate}{odds}{reasons}" for _, head, fate, odds, reasons in _told(survey, outlook, breakers)]
    return f"[{','.join(rows)}]"


def _told(
    survey: Survey, outlook: Outlook | None, breakers: frozenset[str]
) -> Iterator[tuple[Candidate, str, str, str, str]]:
    """Each candidate's row, cut where a receipt says more than a reply."""
    odds = dict(outlook.odds) if outlook else {}
    options = outlook.options if outlook else {}
    for candidate in survey.candidates:
        arm = candidate.model.arm
        weighed = floor = ""
        if (option := options.get(arm)) is not None:
            weighed = f',"confidence_ppm":{option.confidence_ppm},"cost_nanodollars":{option.cost_nanodollars}'
            floor = f',"floor":"{option.state}"'
        fate = f',"fate":"{_fate(candidate, breakers, option is None)}"{floor}'
        reasons = ",".join([reason.json for reason in candidate.reasons]) if candidate.reasons else ""
        drawn = f',"odds_ppm":{odds.get(arm, 0)}'
        yield candidate, f'{{"arm":"{arm}"{weighed}', fate, drawn, f',"reasons":[{reasons}]}}'


def baseline_json(outlook: Outlook | None, known: Mapping[str, Known]) -> str:
    """The baseline's catalog row and estimate as used; null where nothing may serve."""
    if outlook is None:
        return "null"
    arm = outlook.baseline.model.arm
    return f'{{"arm":"{arm}","estimate":{estimate_json(known[arm].estimate)},"model":{outlook.baseline.model_json}}}'


def decision_row(
    survey: Survey,
    status: Status,
    outlook: Outlook | None = None,
    option: Option | None = None,
    steps: Sequence[Step] = (),
    *,
    explored: bool = False,
    propensity_ppm: int = PPM,
) -> dict[str, Any]:
    """The result part of a receipt and reply; absent fields are left out where nothing may serve."""
    row: dict[str, Any] = {
        "cluster": survey.cluster,
        "explored": explored,
        "propensity_ppm": propensity_ppm,
        "route": survey.route.name,
        "status": status,
    }
    if survey.line is not None:
        row["route_line"] = survey.line
    if outlook is None or option is None:
        return row
    baseline = {"arm": outlook.baseline.model.arm, "cost_nanodollars": outlook.baseline_cost_nanodollars}
    model = option.candidate.model
    row |= {"arm": model.arm, "model": model.name, "provider": model.provider, "baseline": baseline}
    row |= {
        "confidence_ppm": option.confidence_ppm,
        "expected_cost_nanodollars": served_cost(outlook, option, steps[0].role),
    }
    row |= {"floor": option.state, "tier": option.candidate.tier, "stream": _streams(survey)}
    row["plan"] = [
        {"arm": s.arm, "floor": s.floor, "model": s.model, "provider": s.provider, "role": s.role} for s in steps
    ]
    if in_batch(survey):
        row["batch"] = True
    return row | _orders(survey.route) | _weighings(outlook)


def served_cost(outlook: Outlook, option: Option, role: str) -> int:
    """Expected nano-dollars of what the plan serves: of all its calls where it climbs a cascade, else of one."""
    if outlook.cascade is not None and role in ("cascade", "pinned"):
        return option.cost_nanodollars + outlook.cascade.climb_cost(option)
    return option.cost_nanodollars


def _streams(survey: Survey) -> bool:
    """What the policy says, else: stream where somebody waits for more than a few tokens of prose or code."""
    if survey.route.stream is not None:
        return survey.route.stream == "on"
    shape = survey.envelope
    return shape.time_sensitive and shape.estimated_tokens != "tiny" and shape.structure_type not in ("json", "list")


def _orders(route: Route) -> dict[str, Any]:
    """What the caller is told to do with any arm of the plan: parameters, time-out, what follows which outcome."""
    found: dict[str, Any] = {}
    if route.parameters:
        found["parameters"] = ir_document(route.parameters)
    if route.failures:
        orders = (ir_document(order) for order in route.failures)
        found["on"] = {order.pop("outcome"): {"then": "next", **order} for order in orders}
    if route.timeout_ms is not None:
        found["timeout_ms"] = route.timeout_ms
    return found


def _weighings(outlook: Outlook) -> dict[str, Any]:
    """What was weighed beside the arms: whether cascading pays, whether the session stays."""
    found: dict[str, Any] = {}
    if (cascade := outlook.cascade) is not None:
        found["cascade"] = {
            "break_even_ppm": cascade.break_even_ppm,
            "cost_nanodollars": cascade.cost_nanodollars,
            "direct_nanodollars": cascade.direct_nanodollars,
            "escalate": ir_document(cascade.checks),
            "pays": cascade.pays,
            "steps": [option.arm for option in cascade.steps],
        }
    if (pin := outlook.pin) is not None:
        found["pin"] = {
            "gain_nanodollars": pin.gain_nanodollars,
            "kept": pin.kept,
            "switch_cost_nanodollars": pin.switch_cost_nanodollars,
        }
    return found


def _fate(candidate: Candidate, breakers: frozenset[str], left_out: bool) -> str:
    if candidate.barred:
        return "barred"
    if candidate.model.arm in breakers:
        return "breaker_open"
    if candidate.reasons:
        return "filtered"
    if left_out:
        return "too_dear"
    return "reserve" if candidate.tier is None else "eligible"
