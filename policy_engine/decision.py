"""The decision: values in, one decision out.

No clock, no randomness, no I/O; what decides is what a receipt replays.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from typing import Literal

from policy_engine.explanation import candidate_rows, decision_row, reply_rows
from policy_engine.outlook import Outlook, join
from policy_engine.selection import Option
from policy_engine.snapshot import Snapshot
from policy_engine.table import Survey, Table
from policy_engine.token import TokenArm, TokenClaims
from policy_engine.wire import RouteRequest
from policy_lang.canonical import canonical
from policy_lang.ir import PPM

__all__ = ["ENGINE", "Circumstances", "Decision", "Step", "decide", "decision_id_for"]

#: Changes whenever equal inputs could give another decision; receipts name it, replay keeps every released one.
ENGINE = "pointsman-engine/1"
_DAY_MS = 86_400_000


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What a decision depends on besides request, policy, catalog and statistics.

    decision_id: 32 hex digits, the only source of chance. breakers: arms whose circuit is open. pin: arm that a
    verified
    session pin names. degraded: decided on stale state, so nothing is explored. state_age_ms: age of the route state.
    """

    tenant: str
    decision_id: str
    now_ms: int
    breakers: frozenset[str] = frozenset()
    pin: str | None = None
    degraded: bool = False
    state_age_ms: int = 0


@dataclass(frozen=True, slots=True)
class Step:
    """One hop of a plan. role: pick, explore, until_proven, pinned, cleared or fallback."""

    arm: str
    provider: str
    model: str
    role: str
    floor: str


@dataclass(frozen=True, slots=True)
class Course:
    """All that follows from serving one arm in one cell, worked out once: the plan and its rendering."""

    option: Option | None
    steps: tuple[Step, ...]
    token_arms: tuple[TokenArm, ...]
    explored: bool
    propensity_ppm: int
    decision_json: str


@dataclass(slots=True)
class Cell:
    """A survey and its outlook under one snapshot with the JSON that receipts and replies share."""

    survey: Survey
    outlook: Outlook | None
    candidates_json: str
    reply_json: str
    courses: dict[str, Course]


@dataclass(frozen=True, slots=True)
class Decision:
    """The answer to one route request. Money in nano-dollars; `propensity_ppm` is that of the whole plan, exact.

    confidence_ppm: P(the served arm clears the route's floors), 1,000,000 where the route has none.
    """

    cell: Cell
    course: Course
    circumstances: Circumstances
    policy_fingerprint: str
    catalog_fingerprint: str
    snapshot_fingerprint: str

    @property
    def status(self) -> Literal["served", "no_candidates"]:
        return "served" if self.course.option else "no_candidates"

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
        return self.course.propensity_ppm

    @property
    def expected_cost_nanodollars(self) -> int:
        return self.course.option.cost_nanodollars if self.course.option else 0

    @property
    def confidence_ppm(self) -> int:
        return self.course.option.confidence_ppm if self.course.option else 0

    @property
    def floor(self) -> str:
        return self.course.option.state if self.course.option else "none"

    def claims(self) -> TokenClaims:
        """What the decision token signs."""
        survey, now = self.cell.survey, self.circumstances
        return TokenClaims(
            tenant=now.tenant,
            decision_id=now.decision_id,
            cluster=survey.cluster,
            task=survey.envelope.task_type,
            route=survey.route.name,
            arms=self.course.token_arms,
            propensity_ppm=self.course.propensity_ppm,
            explored=self.course.explored,
            at_ms=now.now_ms,
        )


def decide(request: RouteRequest, table: Table, snapshot: Snapshot, circumstances: Circumstances) -> Decision:
    """Choose the arm and plan for one call.

    Gates and the route come from the table, floors and odds from the snapshot, the draw from the decision id alone.
    Status `no_candidates` when no arm of the route, no `until proven` arm and no fallback survives.
    """
    survey = table.survey(request)
    exploring = not circumstances.degraded and not _spent(survey, snapshot, circumstances.now_ms)
    cell = _cell(table, survey, snapshot, circumstances, exploring)
    if cell.outlook is None:
        course = _course(cell, None, snapshot)
    else:
        course = _course(cell, _drawn(cell.outlook, circumstances.decision_id), snapshot)
    return Decision(
        cell, course, circumstances, table.policy_fingerprint, table.catalog_fingerprint, snapshot.fingerprint
    )


def decision_id_for(now_ms: int, entropy: bytes) -> str:
    """128 bits in hex, ordered by time: 48 bits of milliseconds, then 80 bits of SHA-256(entropy)."""
    return f"{now_ms & 0xFFFFFFFFFFFF:012x}{sha256(entropy).hexdigest()[:20]}"


def draw_ppm(decision_id: str, domain: str) -> int:
    """A number in 0..999,999 for one purpose: SHA-256(SHA-256(decision id) || domain) mod 10^6.

    The bias of reducing 256 bits is below 10^-70.
    """
    seed = sha256(decision_id.encode()).digest()
    return int.from_bytes(sha256(seed + domain.encode()).digest()) % PPM


def _spent(survey: Survey, snapshot: Snapshot, now_ms: int) -> bool:
    """Whether the route's exploration money for the UTC day of `now_ms` is used up, as far as the snapshot knows."""
    explore = survey.route.explore
    if explore is None or explore.daily_nanodollars is None or snapshot.day != now_ms // _DAY_MS:
        return False
    return snapshot.spent_nanodollars.get(survey.route.name, 0) >= explore.daily_nanodollars


def _cell(table: Table, survey: Survey, snapshot: Snapshot, now: Circumstances, exploring: bool) -> Cell:
    memo = table.cells(snapshot.fingerprint)
    key = (survey.serial, now.breakers, exploring, now.pin)
    found = memo.get(key)
    if found is None:
        outlook = join(survey, snapshot, breakers=now.breakers, exploring=exploring, pin=now.pin)
        rows = candidate_rows(survey, outlook, snapshot, now.breakers)
        found = memo[key] = Cell(survey, outlook, _json(rows), _json(reply_rows(rows)), {})
    return found


def _drawn(outlook: Outlook, decision_id: str) -> str:
    """Walk the odds in arm-id order with the `explore` draw."""
    if len(outlook.odds) == 1:
        return outlook.odds[0][0]
    left = draw_ppm(decision_id, "explore")
    for arm, odds in outlook.odds:
        if left < odds:
            return arm
        left -= odds
    raise AssertionError("propensities do not sum to 1,000,000")


def _course(cell: Cell, arm: str | None, snapshot: Snapshot) -> Course:
    found = cell.courses.get(arm or "")
    if found is None:
        found = cell.courses[arm or ""] = _worked_out(cell, arm, snapshot)
    return found


def _worked_out(cell: Cell, arm: str | None, snapshot: Snapshot) -> Course:
    outlook = cell.outlook
    if outlook is None or arm is None:
        row = decision_row(cell.survey, None, None, (), explored=False, propensity_ppm=PPM)
        return Course(None, (), (), False, PPM, _json(row))
    option = outlook.options[arm]
    explored = arm != outlook.pick.arm
    propensity = dict(outlook.odds)[arm]
    line_up = [(option, "explore" if explored else outlook.pick_role)]
    line_up += [(behind, role) for behind, role in outlook.line_up if behind.arm != arm]
    steps = tuple(_step(behind, role) for behind, role in line_up)
    row = decision_row(cell.survey, outlook, option, steps, explored=explored, propensity_ppm=propensity)
    arms = tuple(_token_arm(behind, snapshot) for behind, _ in line_up)
    return Course(option, steps, arms, explored, propensity, _json(row))


def _step(option: Option, role: str) -> Step:
    model = option.candidate.model
    return Step(model.arm, model.provider, model.name, role, option.state)


def _token_arm(option: Option, snapshot: Snapshot) -> TokenArm:
    model = option.candidate.model
    read = model.price_in if model.price_cached_read is None else model.price_cached_read
    write = model.price_in if model.price_cached_write is None else model.price_cached_write
    generation = snapshot.generations.get(model.arm, 0)
    return TokenArm(model.arm, generation, model.price_in, model.price_out, read, write)


def _json(value: object) -> str:
    return canonical(value).decode()
