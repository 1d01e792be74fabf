"""The decision: values in, one decision out.

No clock, no randomness, no I/O; what decides is what a receipt replays.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

from policy_engine.accounts import charges, exploration_name
from policy_engine.breakers import let_through
from policy_engine.budgets import BudgetReading, BudgetVerdict, judge_budgets
from policy_engine.cell import Cell, Course, cell_of
from policy_engine.draws import decision_id_for, draw_ppm
from policy_engine.explanation import Status, Step
from policy_engine.lanes import LIVE, Lane
from policy_engine.outlook import Outlook
from policy_engine.pins import Pin
from policy_engine.snapshot import Snapshot
from policy_engine.soundness import CLOCK_SKEW_MS
from policy_engine.table import Survey, Table
from policy_engine.token import TokenArm, TokenClaims, fitting, priced_arm
from policy_engine.wire import RouteRequest
from policy_lang.frozen import frozen
from policy_lang.ir import PPM

__all__ = ["ENGINE", "Circumstances", "Decision", "Step", "decide", "decision_id_for"]

#: Changes whenever equal inputs could give another decision; receipts name it, replay keeps every released one.
ENGINE = "pointsman-engine/1"
_DAY_MS = 86_400_000
_RENEWED_PART = 8


@frozen
class Circumstances:
    """What a decision depends on besides request, policy, catalog and statistics.

    decision_id: 32 hex digits, the only source of chance. breakers: arms whose circuit is open. half_open: arms that a
    small share of calls may try again. pin: of the request's session, its signature already verified. budgets: readings
    of the accounts that cover the request. lane: which policy decides and how likely that was. degraded: decided on
    stale state, so nothing is explored. state_age_ms: age of the route state.
    """

    tenant: str
    decision_id: str
    now_ms: int
    breakers: frozenset[str] = frozenset()
    half_open: frozenset[str] = frozenset()
    pin: Pin | None = None
    budgets: tuple[BudgetReading, ...] = ()
    lane: Lane = LIVE
    degraded: bool = False
    state_age_ms: int = 0


class Decision(NamedTuple):
    """The answer to one route request, a tuple because every call makes one. Money in nano-dollars; `propensity_ppm` is
    that of the whole plan.

    policy: name of the one that decides. confidence_ppm: P(the served arm clears the route's floors), 1,000,000 where
    the route has none. mode shadow: the caller keeps serving as before and reports what it used. probing_ppm: chance of
    what the draws over half-open arms let through. others: in shadow, the arms that the old path may turn out to have
    used. warnings: what was wrong with the inputs and decided around: clock_before_snapshot (nothing is explored),
    statistics_left_out, baseline_absent (the dearest stands in), arms_left_out (telemetry on some candidates would be
    refused: in shadow the token has no room for all of them).
    """

    cell: Cell
    course: Course
    circumstances: Circumstances
    budget: BudgetVerdict
    policy: str
    mode: Literal["live", "shadow"]
    policy_fingerprint: str
    catalog_fingerprint: str
    snapshot_fingerprint: str
    warnings: tuple[str, ...] = ()
    probing_ppm: int = PPM
    others: tuple[TokenArm, ...] = ()

    @property
    def status(self) -> Status:
        return self.course.status

    @property
    def arm(self) -> str | None:
        return self.course.option.arm if self.course.option else None

    @property
    def cluster(self) -> str:
        return self.cell.survey.cluster

    @property
    def route(self) -> str:
        return self.cell.survey.route.name

    @property
    def plan(self) -> tuple[Step, ...]:
        return self.course.steps

    @property
    def explored(self) -> bool:
        return self.course.explored

    @property
    def propensity_ppm(self) -> int:
        """Of the draws that shaped the plan: the lane's, those over half-open arms and the exploration's; a receipt has
        each of them, or what it follows from.

        The product is rounded half up to whole ppm and at least 1: what has happened had a chance, and a weight of
        1 / propensity must exist.
        """
        drawn = self.circumstances.lane.propensity_ppm * self.probing_ppm * self.course.propensity_ppm
        return max(1, (drawn + PPM * PPM // 2) // (PPM * PPM))

    @property
    def expected_cost_nanodollars(self) -> int:
        return self.course.cost_nanodollars

    @property
    def confidence_ppm(self) -> int:
        return self.course.option.confidence_ppm if self.course.option else 0

    @property
    def floor(self) -> str:
        return self.course.option.state if self.course.option else "none"

    def claims(self) -> TokenClaims:
        """What the decision token signs. In shadow any candidate may turn out to be what the old path used."""
        survey, now, shadow = self.cell.survey, self.circumstances, self.mode == "shadow"
        planned = {arm.arm for arm in self.course.token_arms}
        others = sorted((arm for arm in self.others if arm.arm not in planned), key=lambda arm: arm.arm)
        arms = (*self.course.token_arms, *others)
        return TokenClaims(
            tenant=now.tenant,
            decision_id=now.decision_id,
            cluster=survey.cluster,
            task=survey.envelope.task_type,
            route=survey.route.name,
            arms=arms,
            propensity_ppm=self.propensity_ppm,
            explored=self.course.explored,
            at_ms=now.now_ms,
            decided=self.arm if shadow else None,
            trial=None if shadow else now.lane.trial,
            trips=tuple(order.outcome for order in survey.route.failures if order.open_breaker),
            charges=self.charges(),
        )

    def charges(self) -> tuple[tuple[str, int], ...]:
        """What it is expected to use of each account that was read for it. In shadow mode nothing: the call that is
        served is not this one's.
        """
        now, course = self.circumstances, self.course
        if self.status != "served" or self.mode == "shadow" or not now.budgets:
            return ()
        return charges(now.budgets, now.now_ms, course.cost_nanodollars, course.tokens, explored=course.explored)

    def pin(self, session: str | None) -> Pin | None:
        """The pin the session carries from here; None without `pin`. One that is kept is renewed once an eighth of its
        time is over, so that a session lasts as long as it goes on, and a pin that is stored is seldom written.

        An explored arm is not pinned: one draw would be a session's worth of exploration, charged as a single call.
        """
        route, now = self.cell.survey.route, self.circumstances
        if session is None or route.pin_ms is None or self.arm is None:
            return None
        young_ms = route.pin_ms - route.pin_ms // _RENEWED_PART
        if now.pin is not None and self.course.steps[0].role == "pinned" and now.pin.until_ms - now.now_ms >= young_ms:
            return now.pin
        if self.explored:
            return None
        return Pin(now.tenant, session, route.name, self.arm, now.now_ms + route.pin_ms)


def decide(request: RouteRequest, table: Table, snapshot: Snapshot, circumstances: Circumstances) -> Decision:
    """Choose the arm and plan for one call.

    Gates and the route come from the table, floors and odds from the snapshot, the draw from the decision id alone.
    Precedence: gates, budget deny, budget degrade, pin, floors, rank, exploration. Status `no_candidates` when no arm
    of the route, no `until proven` arm and no fallback survives, `denied` when a budget is used up.
    """
    budget = judge_budgets(table.policy.budgets, circumstances.budgets, request, table.tier_prices)
    survey = table.survey(request, budget.tier)
    pinned = _pinned(circumstances, survey, request, budget)
    exploring = _may_explore(request, table, survey, snapshot, circumstances)
    breakers, probing = _left_out(table, survey, circumstances)
    cell = cell_of(table, survey, snapshot, breakers, exploring, pinned, budget.pace_ppm)
    if cell.outlook is None:
        course = cell.course(None, "no_candidates")
    elif budget.state == "deny":
        course = cell.course(None, "denied")
    else:
        course = cell.course(_drawn(cell.outlook, circumstances.decision_id), "served")
    fingerprints = table.policy_fingerprint, table.catalog_fingerprint, snapshot.fingerprint
    others, left_out = _others(table, survey, snapshot, course)
    warnings = _warnings(table, cell, snapshot, circumstances, left_out)
    return Decision(
        cell,
        course,
        circumstances,
        budget,
        table.policy.name,
        table.policy.mode,
        *fingerprints,
        warnings,
        probing,
        others,
    )


def _others(table: Table, survey: Survey, snapshot: Snapshot, course: Course) -> tuple[tuple[TokenArm, ...], bool]:
    """Baseline and candidates at their prices where the policy decides in shadow, for its gates bind no other path; and
    whether some were left out to keep the token short.

    The baseline comes first, for it is what is most often in use, then the candidates in the policy's order.
    """
    if table.policy.mode != "shadow":
        return (), False
    first = () if survey.baseline is None else (survey.baseline,)
    models = {c.model.arm: c.model for c in (*first, *survey.candidates) if c.model.arm in table.catalog.models}
    likely = tuple(priced_arm(model, snapshot.generations.get(arm, 0)) for arm, model in models.items())
    others = fitting(course.token_arms, likely)
    return others, len(others) < len(likely)


def _left_out(table: Table, survey: Survey, now: Circumstances) -> tuple[frozenset[str], int]:
    """Arms that a breaker keeps out of this decision, and the probability (ppm) of the draws over half-open ones. In
    audit mode nothing is drawn: an arm whose time is up is back for every call, and its outcomes close it or open it.
    """
    if not now.half_open or table.policy.audit == "on":
        return now.breakers, PPM
    reachable = [candidate.model.arm for candidate in survey.candidates]
    return let_through(now.breakers, now.half_open, reachable, now.decision_id)


def _pinned(now: Circumstances, survey: Survey, request: RouteRequest, budget: BudgetVerdict) -> str | None:
    """The arm of a pin that still holds: this session, this route, in time, in the tier that a budget leaves.

    The gates are asked later, every turn.
    """
    pin, route = now.pin, survey.route
    if pin is None or route.pin_ms is None or pin.session != request.session:
        return None
    if pin.route != route.name or now.now_ms >= pin.until_ms:
        return None
    # A pin dated beyond what the route grants was made by a clock that has jumped, or under another policy.
    if pin.until_ms > now.now_ms + route.pin_ms + CLOCK_SKEW_MS:
        return None
    if budget.tier is not None and all(candidate.model.arm != pin.arm for candidate in survey.pool):
        return None
    return pin.arm


def _warnings(table: Table, cell: Cell, snapshot: Snapshot, now: Circumstances, arms_left_out: bool) -> tuple[str, ...]:
    found = []
    if _clock_behind(snapshot, now):
        found.append("clock_before_snapshot")
    if snapshot.left_out:
        found.append("statistics_left_out")
    if cell.outlook is not None and table.policy.baseline is not None and cell.survey.baseline is None:
        found.append("baseline_absent")
    if arms_left_out:
        found.append("arms_left_out")
    return tuple(found)


def _clock_behind(snapshot: Snapshot, now: Circumstances) -> bool:
    return now.now_ms < snapshot.made_ms - CLOCK_SKEW_MS


def _may_explore(request: RouteRequest, table: Table, survey: Survey, snapshot: Snapshot, now: Circumstances) -> bool:
    """Never on stale state, in audit mode, inside a tool loop, with the day's money for exploration spent, or while the
    clocks disagree, for then nobody knows what the day has cost.

    The money is read from its account, and where no ledger is kept, from the snapshot.
    """
    if now.degraded or request.tool_loop or table.policy.audit == "on" or _clock_behind(snapshot, now):
        return False
    explore = survey.route.explore
    if explore is None or explore.daily_nanodollars is None:
        return True
    money = exploration_name(table.policy.name, survey.route.name)
    for reading in now.budgets:
        if reading.scope == "explore" and reading.name == money:
            return reading.used is not None and reading.used < explore.daily_nanodollars
    spent = snapshot.spent_nanodollars if snapshot.day == now.now_ms // _DAY_MS else {}
    return spent.get(money, 0) < explore.daily_nanodollars


def _drawn(outlook: Outlook, decision_id: str) -> str:
    """Walk the odds in arm-id order with the `explore` draw."""
    if len(outlook.odds) == 1:
        return outlook.odds[0][0]
    left = draw_ppm(decision_id, "explore")
    for arm, odds in outlook.odds:
        if left < odds:
            return arm
        left -= odds
    raise AssertionError("INVARIANT: propensities sum to 1,000,000")
