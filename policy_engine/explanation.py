"""Why: every candidate with its fate, as the JSON rows that receipts keep and replies carry.

The rows are put together from parts in key order; a test holds that a receipt is the canonical form of its own parse.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

from policy_engine.candidates import Candidate
from policy_engine.estimate import estimate_json
from policy_engine.outlook import Outlook, in_batch
from policy_engine.selection import Option
from policy_engine.snapshot import Known
from policy_engine.table import Survey
from policy_lang.canonical import canonical_text, quoted
from policy_lang.fingerprint import ir_document
from policy_lang.ir import PPM, Route

__all__ = [
    "Status",
    "Step",
    "Told",
    "baseline_json",
    "candidates_json",
    "nobody_json",
    "served_cost",
    "served_json",
    "told",
    "told_json",
]

Status = Literal["served", "no_candidates", "denied"]


class Step(NamedTuple):
    """One hop of a plan. role: pick, explore, until_proven, pinned, cascade, direct, cleared or fallback."""

    arm: str
    provider: str
    model: str
    role: str
    floor: str


#: A candidate's row for a caller, cut where a receipt says more: arm and catalog row, then four pieces of text.
Told = tuple[str, str, str, str, str, str]


def told(survey: Survey, outlook: Outlook | None, breakers: frozenset[str]) -> list[Told]:
    """Each candidate with its fate, odds and failing rules.

    fate: barred (outside the gates), filtered (by the route's `where`), breaker_open, too_dear (above the cost a guard
    allows), reserve (fallback lists only) or eligible. `floor` and `confidence_ppm` stand where floors were weighed.
    """
    odds = dict(outlook.odds) if outlook else {}
    options = outlook.options if outlook else {}
    found = []
    for candidate in survey.candidates:
        arm = candidate.model.arm
        option = options.get(arm)
        head, fate = f'{{"arm":"{arm}"', f',"fate":"{_fate(candidate, breakers, option is None)}"'
        if option is not None:
            head += f',"confidence_ppm":{option.confidence_ppm},"cost_nanodollars":{option.cost_nanodollars}'
            fate += f',"floor":"{option.state}"'
        reasons = ",".join([reason.json for reason in candidate.reasons]) if candidate.reasons else ""
        drawn = f',"odds_ppm":{odds.get(arm, 0)}'
        found.append((arm, candidate.model_json, head, fate, drawn, f',"reasons":[{reasons}]}}'))
    return found


def candidates_json(rows: Sequence[Told], known: Mapping[str, Known]) -> str:
    """The candidates as canonical JSON for a receipt, each with its catalog row and estimate as used."""
    found = []
    for arm, model, head, fate, odds, reasons in rows:
        estimate, outcomes, _ = known[arm]
        row = estimate_json(estimate)
        found.append(f'{head},"estimate":{row}{fate},"model":{model}{odds},"outcomes":{outcomes}{reasons}')
    return f"[{','.join(found)}]"


def told_json(rows: Sequence[Told]) -> str:
    """The same rows for a caller, without catalog rows and estimates."""
    return f"[{','.join([head + fate + odds + reasons for _, _, head, fate, odds, reasons in rows])}]"


def baseline_json(outlook: Outlook | None, known: Mapping[str, Known]) -> str:
    """The baseline's catalog row and estimate as used; null where nothing may serve."""
    if outlook is None:
        return "null"
    arm = outlook.baseline.model.arm
    return f'{{"arm":"{arm}","estimate":{estimate_json(known[arm].estimate)},"model":{outlook.baseline.model_json}}}'


def nobody_json(survey: Survey, status: Status) -> str:
    """The result part of a receipt and reply where nobody serves."""
    row = {"cluster": survey.cluster, "explored": False, "propensity_ppm": PPM, "route": survey.route.name}
    line = {} if survey.line is None else {"route_line": survey.line}
    return canonical_text({**row, **line, "status": status})


def served_json(
    survey: Survey, outlook: Outlook, option: Option, steps: Sequence[Step], explored: bool, propensity_ppm: int
) -> str:
    """The result part of a receipt and reply where `option` serves."""
    route, model, tier = survey.route, option.candidate.model, option.candidate.tier
    baseline, dearest = outlook.baseline.model.arm, outlook.baseline_cost_nanodollars
    plan = ",".join([_step_json(step) for step in steps])
    line = "" if survey.line is None else f',"route_line":{survey.line}'
    batch = ',"batch":true' if in_batch(survey) else ""
    wait = "" if route.timeout_ms is None else f',"timeout_ms":{route.timeout_ms}'
    return (
        f'{{"arm":"{model.arm}","baseline":{{"arm":"{baseline}","cost_nanodollars":{dearest}}}{batch}'
        f'{_cascade(outlook)},"cluster":"{survey.cluster}","confidence_ppm":{option.confidence_ppm}'
        f',"expected_cost_nanodollars":{served_cost(outlook, option, steps[0].role)}'
        f',"explored":{"true" if explored else "false"},"floor":"{option.state}","model":{quoted(model.name)}'
        f'{_orders(route)}{_pin(outlook)},"plan":[{plan}],"propensity_ppm":{propensity_ppm}'
        f',"provider":{quoted(model.provider)},"route":"{route.name}"{line},"status":"served"'
        f',"stream":{"true" if _streams(survey) else "false"},"tier":{quoted(tier) if tier else "null"}{wait}}}'
    )


def _step_json(step: Step) -> str:
    arm, provider, model, role, floor = step
    names = f'"model":{quoted(model)},"provider":{quoted(provider)}'
    return f'{{"arm":"{arm}","floor":"{floor}",{names},"role":"{role}"}}'


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


def _orders(route: Route) -> str:
    """What the caller is told to do with any arm of the plan: what follows which outcome, and parameters."""
    found = ""
    if route.failures:
        orders = [ir_document(order) for order in route.failures]
        found = f',"on":{canonical_text({order.pop("outcome"): {"then": "next", **order} for order in orders})}'
    if route.parameters:
        found += f',"parameters":{canonical_text(ir_document(route.parameters))}'
    return found


def _cascade(outlook: Outlook) -> str:
    """Whether cascading pays, where it was weighed."""
    if (cascade := outlook.cascade) is None:
        return ""
    weighed = {
        "break_even_ppm": cascade.break_even_ppm,
        "cost_nanodollars": cascade.cost_nanodollars,
        "direct_nanodollars": cascade.direct_nanodollars,
        "escalate": ir_document(cascade.checks),
        "pays": cascade.pays,
        "steps": [option.arm for option in cascade.steps],
    }
    return f',"cascade":{canonical_text(weighed)}'


def _pin(outlook: Outlook) -> str:
    """Whether the session stays, where it was weighed."""
    if (pin := outlook.pin) is None:
        return ""
    kept = "true" if pin.kept else "false"
    gain, switch = pin.gain_nanodollars, pin.switch_cost_nanodollars
    return f',"pin":{{"gain_nanodollars":{gain},"kept":{kept},"switch_cost_nanodollars":{switch}}}'


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
