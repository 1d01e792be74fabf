"""What a policy says, by walking its trees: the oracle that the compiled table and the plan are held to by tests.

Nothing is compiled, shared or remembered here, and nothing else in the product calls it. Numbers that are not the
policy's (expected cost, floor state) come from the functions that own them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from policy_engine.candidates import Reason
from policy_engine.costs import call_cost, expected_usage
from policy_engine.floors import floor_state
from policy_engine.outlook import MAX_STEPS
from policy_engine.snapshot import Estimate, Snapshot
from policy_engine.wire import RouteRequest
from policy_lang.catalog import Catalog, Model
from policy_lang.envelope import Envelope, cluster_id
from policy_lang.frozen import frozen
from policy_lang.gates import Facts, evaluate, mentioned_fields
from policy_lang.ir import PPM, Expr, PickTerm, Policy, Route
from policy_lang.vocabulary import OTHER_TASK

__all__ = ["Arm", "Verdicts", "order", "plan", "verdicts"]

Evaluator = Callable[[Expr, Facts], bool | None]
#: Arm, role, floor.
Step = tuple[str, str, str]


@frozen
class Verdicts:
    """The static half: the route, and by arm in order of reach its tier, whether a gate bars it, and every reason."""

    route: Route
    line: int | None
    envelope: Envelope
    arms: Mapping[str, tuple[str | None, bool, tuple[Reason, ...]]]
    pool: tuple[str, ...]
    until: str | None
    fallbacks: tuple[str, ...]


@frozen
class Arm:
    """What is believed of a survivor."""

    model: Model
    tier: str | None
    estimate: Estimate
    cost: int
    state: str
    confidence: int


def verdicts(
    policy: Policy,
    catalog: Catalog,
    lines: Mapping[str, int],
    request: RouteRequest,
    degrade: str | None = None,
    evaluate: Evaluator = evaluate,
) -> Verdicts:
    """Which route serves, who survives, and every rule that the others fail."""
    known = request.envelope.task_type in policy.tasks
    envelope = request.envelope if known else replace(request.envelope, task_type=OTHER_TASK)
    facts = {**envelope.facts(), "org": request.org, "team": request.team, "product": request.product}
    facts |= {f"attribute.{name}": value for name, value in request.attributes}
    route = next(route for route in (*policy.routes, policy.default) if evaluate(route.when, facts))
    line = lines.get(f"route:{route.name}")
    arms_of = {tier.name: tier.arms for tier in policy.tiers}
    use = [degrade] if degrade else [*route.use, *(route.cascade.tiers if route.cascade else ())]
    pooled = {arm: tier for tier in reversed(use) for arm in arms_of[tier]}
    in_order = dict.fromkeys(arm for tier in use for arm in arms_of[tier])
    if degrade:
        until = route.until_proven if route.until_proven in in_order else None
        route = replace(route, cascade=None, until_proven=until)
    reach = [*in_order, *([route.until_proven] if route.until_proven else []), *policy.fallback]
    arms = {}
    for arm in dict.fromkeys(reach):
        tier = pooled.get(arm)
        failed = _failed(arm, policy, catalog, lines, request, facts, evaluate)
        barred = bool(failed)
        if arm in catalog.models and route.where is not None and tier is not None:
            whole = {**facts, **catalog.models[arm].facts()}
            if (found := evaluate(route.where, whole)) is not True:
                failed.append(_reason(f"where of route {route.name}", found, line, route.where, whole))
        arms[arm] = tier, barred, tuple(failed)
    alive = [arm for arm, (_, barred, _) in arms.items() if not barred]
    return Verdicts(
        route=route,
        line=line,
        envelope=envelope,
        arms=arms,
        pool=tuple(arm for arm in in_order if not arms[arm][2]),
        until=route.until_proven if route.until_proven in alive else None,
        fallbacks=tuple(arm for arm in policy.fallback if arm in alive),
    )


def _failed(
    arm: str,
    policy: Policy,
    catalog: Catalog,
    lines: Mapping[str, int],
    request: RouteRequest,
    facts: Facts,
    evaluate: Evaluator,
) -> list[Reason]:
    """Everything that keeps an arm outside the gates."""
    if arm not in catalog.models:
        return [Reason("catalog", "absent", None, ())]
    whole = {**facts, **catalog.models[arm].facts()}
    failed = [
        _reason(gate.reason, found, lines.get(gate.reason), gate.violation, whole)
        for gate in policy.gates
        if (found := evaluate(gate.violation, whole)) is not False
    ]
    if request.candidates is not None and arm not in request.candidates:
        failed.append(Reason("candidates of the request", "violated", None, ()))
    return failed


def order(arms: Sequence[Arm], terms: Sequence[PickTerm]) -> list[str]:
    """`arms` best first by what the terms say, one winner after the other."""
    rest, found = list(arms), []
    while rest:
        tied = rest
        for term in terms:
            least = min(_small(arm, term) for arm in tied)
            width = least * term.within_ppm // PPM if term.rule in ("cheapest", "fastest") else term.within_ppm
            tied = [arm for arm in tied if _small(arm, term) <= least + width]
        winner = min(tied, key=lambda arm: (arm.cost, arm.model.arm))
        found.append(winner.model.arm)
        rest.remove(winner)
    return found


def plan(
    static: Verdicts, catalog: Catalog, snapshot: Snapshot, breakers: frozenset[str] = frozenset()
) -> tuple[list[str], list[Step]]:
    """The route's arms best first, and the steps of a plan while nothing is explored or pinned; no steps where
    nothing may serve.
    """
    route = static.route
    believed = {
        arm: _believed(catalog.models[arm], tier, static, snapshot)
        for arm, (tier, barred, _) in static.arms.items()
        if not barred and arm not in breakers
    }
    pool = order([believed[arm] for arm in static.pool if arm in believed], route.pick)
    proven = [arm for arm in pool if believed[arm].state in ("cleared", "none")]
    until = [arm for arm in (static.until,) if arm in believed]
    fallbacks = [arm for arm in static.fallbacks if arm in believed]
    steps = _first(pool, proven, until, fallbacks, believed, route)
    behind = [(arm, "cleared") for arm in proven]
    if not route.stay_in_floor:
        behind += [(arm, "until_proven") for arm in until if arm not in proven]
        behind = behind[: MAX_STEPS - 2]
        behind += [(arm, "fallback") for arm in fallbacks if arm not in dict(behind)]
    steps += [(arm, role) for arm, role in behind[: MAX_STEPS - 1] if arm not in dict(steps)]
    return pool, [(arm, role, believed[arm].state) for arm, role in steps]


def _first(
    pool: list[str],
    proven: list[str],
    until: list[str],
    fallbacks: list[str],
    believed: Mapping[str, Arm],
    route: Route,
) -> list[tuple[str, str]]:
    """Who serves: the cascade or its last step, the best proven arm, who serves until one is, a fallback, the
    strongest.
    """
    if route.cascade is not None:
        climbed = _cascaded(route, pool, believed)
        if climbed:
            return climbed
    if proven:
        return [(proven[0], "pick")]
    if until:
        return [(until[0], "until_proven")]
    hopeful = [arm for arm in pool if believed[arm].state != "failed"]
    if hopeful and route.until_proven is None:
        return [(_strongest(hopeful, believed), "until_proven")]
    unfailed = [arm for arm in fallbacks if believed[arm].state != "failed"]
    if unfailed:
        return [(unfailed[0], "fallback")]
    if not pool + fallbacks:
        return []
    last = _strongest(pool + fallbacks, believed)
    return [(last, "until_proven" if last in pool else "fallback")]


def _strongest(arms: Sequence[str], believed: Mapping[str, Arm]) -> str:
    def strength(arm: str) -> tuple[int, int, int, str]:
        held = believed[arm]
        return held.confidence, held.estimate.quality_ppm, held.model.price_out, arm

    return max(arms, key=strength)


def _cascaded(route: Route, pool: list[str], believed: Mapping[str, Arm]) -> list[tuple[str, str]]:
    """The arms to climb, all of them proven but perhaps the last; that one alone where climbing does not pay."""
    assert route.cascade is not None
    *lower, last = [[arm for arm in pool if believed[arm].tier == tier] for tier in route.cascade.tiers]
    steps = []
    for arms in (*lower, last):
        steps += order([believed[arm] for arm in arms if believed[arm].state in ("cleared", "none")], route.pick)[:1]
    if not any(believed[arm].state in ("cleared", "none") for arm in last):
        hopeful = [arm for arm in last if believed[arm].state != "failed"]
        if hopeful:
            steps.append(route.until_proven if route.until_proven in hopeful else _strongest(hopeful, believed))
    if len(steps) < 2:
        return []
    expected = believed[steps[-1]].cost
    for arm in reversed(steps[:-1]):
        expected = believed[arm].cost + (PPM - believed[arm].estimate.success_ppm) * expected // PPM
    if expected < believed[steps[-1]].cost:
        return [(arm, "cascade") for arm in steps]
    return [(steps[-1], "direct")] if believed[steps[-1]].state in ("cleared", "none") else []


def _small(arm: Arm, term: PickTerm) -> int:
    """The number that a term wants small; a time that nobody measured is longer than any other."""
    estimate = arm.estimate
    if term.rule == "cheapest":
        return arm.cost
    if term.rule == "fastest":
        time = estimate.ttft_p95_ms if term.metric == "ttft_p95" else estimate.latency_p95_ms
        return 1 << 50 if time is None else time
    if term.rule == "best_quality":
        return -estimate.quality_ppm
    if term.rule == "best_value":
        return arm.cost * PPM // (term.value_nanodollars or 1) - estimate.quality_ppm
    return term.arms.index(arm.model.arm) if arm.model.arm in term.arms else len(term.arms)


def _believed(model: Model, tier: str | None, static: Verdicts, snapshot: Snapshot) -> Arm:
    envelope, route = static.envelope, static.route
    estimate = snapshot.estimate(cluster_id(envelope), envelope.task_type, model.arm)
    batch = route.batch == "allowed" and not envelope.time_sensitive
    cost = call_cost(model, expected_usage(envelope, estimate), batch=batch)
    return Arm(model, tier, estimate, cost, *floor_state(route.floors, estimate))


def _reason(rule: str, found: bool | None, line: int | None, expr: Expr, facts: Facts) -> Reason:
    operands = tuple((field, facts.get(field)) for field in sorted(mentioned_fields(expr)))
    return Reason(rule, "unknown" if found is None else "violated", line, operands)
