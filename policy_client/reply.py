"""A route reply as typed values. Fields this version does not know are kept in `document` and otherwise ignored."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from policy_client.errors import NoCandidates, RouteError
from policy_client.orders import AfterOutcome, Cascade, Parameter, orders_from_wire
from policy_lang.frozen import frozen
from policy_lang.vocabulary import Outcome

__all__ = ["PlanStep", "RouteReply", "read_reply", "reply_from_wire"]


@frozen
class PlanStep:
    """One call the caller may make.

    role: pick, explore, until_proven, pinned, cascade, direct, cleared or fallback. floor: cleared, unproven, failed or
    none.
    """

    arm: str
    provider: str
    model: str
    role: str
    floor: str


@frozen
class RouteReply:
    """A served decision. `plan[0]` is the chosen arm; costs in nano-dollars, shares in parts per million.

    `tier` is None where a model outside the route's tiers serves; confidence is P(the arm clears the route's floors).
    In `mode` shadow the caller serves as it did before and reports the arm it used. `token` goes back with telemetry,
    untouched, and `session_pin` with the session's next call: the client sees to it.

    What the route asks of whoever calls: `parameters` to change, what follows an outcome (`on`, read with `after`), the
    time a call may take (None: the policy sets none), the `cascade` where one was weighed, and `batch` where batch or
    flex prices were counted, so that the call belongs in that service. `warnings`: what was wrong with the decision's
    inputs, by name, and decided around. `document` is the reply as received, reasons per candidate included.
    """

    decision_id: str
    arm: str
    model: str
    provider: str
    route: str
    tier: str | None
    cluster: str
    floor: str
    confidence_ppm: int
    explored: bool
    propensity_ppm: int
    stream: bool
    plan: tuple[PlanStep, ...]
    expected_cost_nanodollars: int
    baseline_arm: str
    baseline_cost_nanodollars: int
    degraded: bool
    mode: str
    state_age_ms: int
    token: str
    session_pin: str | None
    parameters: tuple[Parameter, ...]
    on: Mapping[str, AfterOutcome]
    timeout_ms: int | None
    cascade: Cascade | None
    batch: bool
    warnings: tuple[str, ...]
    document: Mapping[str, Any]

    def after(self, outcome: Outcome) -> AfterOutcome:
        """What follows a call that ended in `outcome`, whichever step it was: `next` where the route says nothing."""
        return self.on.get(outcome, _NEXT)


def read_reply(status: int, content: bytes) -> RouteReply:
    """The reply in an answer; RouteError or NoCandidates where the answer is a refusal, or none of the service's."""
    try:
        document = json.loads(content)
        if status == 200:
            return reply_from_wire(document)
        problem = document["error"]
        kind = NoCandidates if problem["code"] == "no_candidates" else RouteError
        raise kind(str(problem["code"]), status, str(problem["message"]), problem)
    except (ValueError, KeyError, TypeError, AttributeError):
        excerpt = content[:200].decode(errors="replace")
        raise RouteError("malformed_reply", status, f"the answer is not one of the service's: {excerpt!r}") from None


def reply_from_wire(document: Mapping[str, Any]) -> RouteReply:
    """Read a reply whose status is `served`; KeyError or TypeError where it is not one."""
    baseline, orders = document["baseline"], orders_from_wire(document)
    steps = (PlanStep(**{name: step[name] for name in PlanStep.__match_args__}) for step in document["plan"])
    return RouteReply(
        **{name: document[name] for name in _PLAIN},
        plan=tuple(steps),
        baseline_arm=baseline["arm"],
        baseline_cost_nanodollars=baseline["cost_nanodollars"],
        session_pin=document.get("session_pin"),
        **orders,
        document=document,
    )


_NEXT = AfterOutcome()
_DERIVED = {"plan", "baseline_arm", "baseline_cost_nanodollars", "session_pin", "document", *orders_from_wire({})}
_PLAIN = tuple(name for name in RouteReply.__match_args__ if name not in _DERIVED)
