"""Why this model: a receipt, or a route reply, as lines that a person reads. Only what the document holds is said."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from policy_cli.units import dollars, operand, percent

__all__ = ["explain_absence", "explain_receipt", "explain_reply"]

Document = Mapping[str, Any]
_MOST_COLUMNS = 52
# As the engine names it; a gate of this name has a line.
_NOT_ASKED = "candidates of the request"
_ROLES = {
    "pick": "the best arm by the route's `pick`",
    "explore": "drawn to learn more about it",
    "until_proven": "serves until an arm has proven the floor",
    "pinned": "pinned by the session",
    "cleared": "clears the floor",
    "fallback": "from the policy's `fallback` list",
}
_FATES = {
    "barred": "fails a gate",
    "filtered": "turned away by the route",
    "breaker_open": "its circuit is open",
    "reserve": "held for the end of the plan",
    "eligible": "may serve",
}
_OBSTACLES = {
    "catalog": "the catalog",
    "gate": 'the gate "{}"',
    "where": "the route's `where`",
    "tier": "the tiers that the route uses",
}


def explain_receipt(receipt: Document) -> str:
    """The whole story of one decision."""
    now, decision = receipt["circumstances"], receipt["decision"]
    made = datetime.fromtimestamp(now["now_ms"] / 1000, UTC)
    lines = [
        f"decision  {now['decision_id']}",
        f"made      {made:%Y-%m-%d %H:%M:%S} UTC for tenant {receipt['tenant']}, policy {_policy(receipt['request'])}",
        f"shape     {_shape(receipt['request'])} (cluster {decision['cluster']})",
        *_circumstances(now),
        *_budget(receipt["budget"]),
        *_outcome(decision),
        *_candidates(receipt["candidates"], decision),
        _fingerprints(receipt["fingerprints"]),
    ]
    return "\n".join(lines)


def explain_reply(reply: Document) -> str:
    """The same from a route reply, which knows less; least from one that says `no_candidates`."""
    lines = [f"decision  {reply['decision_id']}"]
    if reply.get("degraded"):
        lines.append(f"state     degraded, {reply['state_age_ms']} ms old: nothing is explored")
    lines += [*_budget(reply.get("budget", {})), *_outcome(reply), *_candidates(reply["candidates"], reply)]
    if "fingerprints" in reply:
        lines.append(_fingerprints(reply["fingerprints"]))
    return "\n".join(lines)


def explain_absence(arm: str, route: str, obstacles: Sequence[Document]) -> str:
    """Why a model cannot serve a call: every obstacle, each with the nearest change that would take it away."""
    if not obstacles:
        return f"{arm} may serve this call, by route {route}; `pointsman eval` says why another is picked"
    lines = [f"{arm} cannot serve this call, by route {route}"]
    for found in obstacles:
        where = f" (line {found['line']})" if found["line"] else ""
        unknown = "".join(f", {operand(name, None)}" for name in found["unknown"])
        lines += [f"- {_OBSTACLES[found['kind']].format(found['rule'])}{where}{unknown}", f"  {found['help']}"]
    return "\n".join(lines)


def _policy(request: Document) -> str:
    return str(request.get("policy", "sent with the call"))


def _shape(request: Document) -> str:
    envelope = request["envelope"]
    urgency = ", time-sensitive" if envelope["time_sensitive"] else ""
    attributes = "".join(f", {name} {request[name]}" for name in ("org", "team", "product") if name in request)
    return (
        f"task {envelope['task_type']}, {envelope['structure_type']}, context {envelope['context_length']},"
        f" tokens {envelope['estimated_tokens']}, tools {envelope['tools_used']}{urgency}{attributes}"
    )


def _circumstances(now: Document) -> Iterator[str]:
    if now["degraded"]:
        yield f"state     degraded, {now['state_age_ms']} ms old: nothing is explored"
    if now["breakers"]:
        yield f"breakers  open for {', '.join(now['breakers'])}"
    if now.get("half_open"):
        yield f"breakers  half open for {', '.join(now['half_open'])}, which a tenth of the calls may try"
    if "pin" in now:
        yield f"pin       {now['pin']}"


def _budget(verdict: Document) -> Iterator[str]:
    if verdict.get("state", "within") != "within":
        whose = f"{verdict['scope']} {verdict.get('name', '')}".rstrip()
        limit = dollars(verdict["limit"]) if verdict["unit"] == "nanodollars" else f"{verdict['limit']:,} tokens"
        yield f"budget    {verdict['state']}: {whose}, {limit} a {verdict['period']}"
    if pace := verdict.get("pace_ppm"):
        yield f"pacing    a budget is ahead of its period: a dollar counts for {1 + pace / 1_000_000:.2f}"


def _outcome(decision: Document) -> Iterator[str]:
    line = f" (line {decision['route_line']})" if "route_line" in decision else ""
    yield f"route     {decision['route']}{line}, the first that takes this call"
    if decision["status"] == "no_candidates":
        yield "result    no_candidates: every candidate and every fallback fails a gate"
        return
    if decision["status"] == "denied":
        yield "result    denied: a budget that covers this call is used up"
        return
    role = decision["plan"][0]["role"]
    tier = f" of tier {decision['tier']}" if decision["tier"] else ""
    yield f"served    {decision['arm']}{tier}: {_ROLES.get(role, role)}"
    yield f"floor     {_floor(decision)}"
    how = "explored" if decision["explored"] else "not explored"
    yield f"chance    {how}; this plan is drawn in {percent(decision['propensity_ppm'])} of such calls"
    yield f"cost      {_cost(decision)}"
    for number, step in enumerate(decision["plan"], 1):
        state = "" if step["floor"] == "none" else f", floor {step['floor']}"
        yield f"{'plan' if number == 1 else '':8}{number:2}. {step['arm']}: {step['role']}{state}"


def _floor(row: Document) -> str:
    if row["floor"] == "none":
        return "none asked for"
    return f"{row['floor']}, holds with a probability of {percent(row['confidence_ppm'])}"


def _cost(decision: Document) -> str:
    expected, baseline = decision["expected_cost_nanodollars"], decision["baseline"]
    usual = baseline["cost_nanodollars"]
    if not usual:
        return f"{dollars(expected)} expected"
    if decision["arm"] == baseline["arm"]:
        return f"{dollars(expected)} expected of the baseline itself"
    change = 1_000_000 - expected * 1_000_000 // usual
    if percent(abs(change)) == percent(0):
        return f"{dollars(expected)} expected, as much as {baseline['arm']}"
    share = f"{percent(change)} less" if change > 0 else f"{percent(-change)} more"
    return f"{dollars(expected)} expected, {share} than {baseline['arm']} at {dollars(usual)}"


def _candidates(rows: list[Document], decision: Document) -> Iterator[str]:
    width = min(_MOST_COLUMNS, max((len(row["arm"]) for row in rows), default=0))
    yield "candidates"
    for row in rows:
        chosen = "*" if row["arm"] == decision.get("arm") else " "
        yield f" {chosen} {row['arm']:{width}}  {row['fate']}: {_FATES[row['fate']]}{_learned(row)}"
        for reason in row["reasons"]:
            yield f"     {_reason(reason)}"


def _learned(row: Document) -> str:
    if "cost_nanodollars" not in row:
        return ""
    parts = [dollars(row["cost_nanodollars"])]
    if row["floor"] != "none":
        parts.append(f"floor {row['floor']} ({percent(row['confidence_ppm'])})")
    if "outcomes" in row:
        parts.append(f"{row['outcomes']} outcomes")
    if row["odds_ppm"]:
        parts.append(f"odds {percent(row['odds_ppm'])}")
    return "; " + ", ".join(parts)


def _reason(reason: Document) -> str:
    line = f" (line {reason['line']})" if "line" in reason else ""
    if reason["verdict"] == "absent":
        return "- the catalog does not hold it"
    if reason["rule"] == _NOT_ASKED and "line" not in reason:
        return "- the request asks for other candidates"
    facts = ", ".join(operand(name, reason["operands"][name]) for name in sorted(reason["operands"]))
    why = "cannot be evaluated, so it fails" if reason["verdict"] == "unknown" else "fails"
    return f'- "{reason["rule"]}"{line} {why}' + (f": {facts}" if facts else "")


def _fingerprints(found: Document) -> str:
    parts = (f"{name} {found[name][:12]}" for name in ("policy", "catalog", "snapshot"))
    return f"from      {', '.join(parts)}, {found['engine']}"
