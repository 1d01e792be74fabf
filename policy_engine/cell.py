"""A cell: a survey joined with what one snapshot knows of its arms, and all that does not hang on the draw.

Worked out on first use, kept for as long as the snapshots that follow know the same, rendered when first told.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

from policy_engine.costs import expected_usage
from policy_engine.explanation import (
    Status,
    Step,
    Told,
    baseline_json,
    candidates_json,
    nobody_json,
    served_cost,
    served_json,
    told,
    told_json,
)
from policy_engine.outlook import Outlook, in_batch, join
from policy_engine.pacing import paced_route
from policy_engine.selection import Option
from policy_engine.snapshot import Known, Snapshot
from policy_engine.table import Survey, Table
from policy_engine.token import TokenArm, priced_arm
from policy_lang.ir import PPM

__all__ = ["Cell", "Course", "cell_of"]

_MEMO_LIMIT = 4_096


@dataclass(eq=False)
class Cell:
    """A survey and its outlook with the JSON that receipts and replies share.

    INVARIANT: a function of survey, `known`, breakers, exploration, pin and pace alone, so that it may outlive the
    snapshot it was made under. `seen_under` is the fingerprint of the last snapshot that was found to know the same.
    """

    survey: Survey
    known: dict[str, Known]
    breakers: frozenset[str]
    outlook: Outlook | None
    seen_under: str
    courses: dict[str, Course] = field(default_factory=dict)

    @cached_property
    def told(self) -> list[Told]:
        return told(self.survey, self.outlook, self.breakers)

    @cached_property
    def candidates_json(self) -> str:
        return candidates_json(self.told, self.known)

    @cached_property
    def reply_json(self) -> str:
        return told_json(self.told)

    @cached_property
    def baseline_json(self) -> str:
        return baseline_json(self.outlook, self.known)

    def course(self, arm: str | None, status: Status) -> Course:
        """What follows from serving `arm`, or from serving nobody."""
        key = arm or status
        found = self.courses.get(key)
        if found is None:
            found = self.courses[key] = _course(self, arm, status)
        return found


@dataclass(eq=False)
class Course:
    """All that follows from serving one arm in one cell. `propensity_ppm`: of the draw that chose it there.

    It holds what it is rendered from and not the cell, which holds it: a cycle would be left to the collector.
    """

    survey: Survey
    outlook: Outlook | None
    known: dict[str, Known]
    status: Status
    option: Option | None = None
    line_up: tuple[Option, ...] = ()
    steps: tuple[Step, ...] = ()
    explored: bool = False
    propensity_ppm: int = PPM
    cost_nanodollars: int = 0

    @cached_property
    def decision_json(self) -> str:
        """The result part of a receipt and reply."""
        if self.outlook is None or self.option is None:
            return nobody_json(self.survey, self.status)
        return served_json(self.survey, self.outlook, self.option, self.steps, self.explored, self.propensity_ppm)

    @cached_property
    def tokens(self) -> int:
        """Prompt and completion that the served arm is expected to use."""
        if self.option is None:
            return 0
        usage = expected_usage(self.survey.envelope, self.option.estimate)
        return usage.prompt + usage.output

    @cached_property
    def token_arms(self) -> tuple[TokenArm, ...]:
        known, batch = self.known, in_batch(self.survey)
        line_up = [(option.candidate.model, known[option.arm].generation) for option in self.line_up]
        return tuple([priced_arm(model, generation, batch=batch) for model, generation in line_up])


def cell_of(
    table: Table,
    survey: Survey,
    snapshot: Snapshot,
    breakers: frozenset[str],
    exploring: bool,
    pin: str | None,
    pace_ppm: int = 0,
) -> Cell:
    """The cell of a survey under a snapshot, from the table's memo where the snapshot knows nothing new of it."""
    key = (survey.serial, breakers, exploring, pin, pace_ppm)
    found = table.cells.get(key)
    if found is not None and found.seen_under == snapshot.fingerprint:
        return found
    known = snapshot.known(survey.cluster, survey.envelope.task_type, survey.arms)
    if found is not None and found.known == known:
        found.seen_under = snapshot.fingerprint
        return found
    if len(table.cells) >= _MEMO_LIMIT:
        table.cells.clear()
    if pace_ppm:
        survey = survey._replace(route=paced_route(survey.route, pace_ppm))
    outlook = join(survey, known, breakers=breakers, exploring=exploring, pin=pin)
    found = table.cells[key] = Cell(survey, known, breakers, outlook, snapshot.fingerprint)
    return found


def _course(cell: Cell, arm: str | None, status: Status) -> Course:
    outlook = cell.outlook
    if outlook is None or arm is None:
        return Course(cell.survey, outlook, cell.known, status)
    option = outlook.options[arm]
    explored = arm != outlook.pick.arm
    line_up = _line_up(outlook, option, explored)
    return Course(
        survey=cell.survey,
        outlook=outlook,
        known=cell.known,
        status=status,
        option=option,
        line_up=tuple([behind for behind, _ in line_up]),
        steps=tuple([_step(behind, role) for behind, role in line_up]),
        explored=explored,
        propensity_ppm=next(odds for drawn, odds in outlook.odds if drawn == arm),
        cost_nanodollars=served_cost(outlook, option, line_up[0][1]),
    )


def _line_up(outlook: Outlook, option: Option, explored: bool) -> list[tuple[Option, str]]:
    """The served arm, the rest of its cascade, then who stands behind."""
    ahead = [(option, "explore" if explored else outlook.pick_role)]
    if ahead[0][1] in ("cascade", "pinned") and outlook.cascade is not None:
        ahead += [(step, "cascade") for step in outlook.cascade.above(option)]
    taken = [step for step, _ in ahead]
    return ahead + [behind for behind in outlook.line_up if behind[0] not in taken]


def _step(option: Option, role: str) -> Step:
    model = option.candidate.model
    return Step(model.arm, model.provider, model.name, role, option.state)
