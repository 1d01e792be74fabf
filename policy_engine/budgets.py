"""Budget verdicts: what the ledgers' readings mean for one request. Reading and leasing them is the edge's work."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from policy_engine.wire import RouteRequest
from policy_lang.ir import PPM, Budget

__all__ = ["BudgetReading", "BudgetVerdict", "judge_budgets"]

BudgetState = Literal["within", "warn", "degrade", "deny"]
_ORDER: tuple[BudgetState, ...] = ("within", "warn", "degrade", "deny")


@dataclass(frozen=True, slots=True)
class BudgetReading:
    """What one budget had used when the decision was made. `used` in the budget's own unit; None: out of reach."""

    scope: str
    name: str | None
    period: str
    unit: str
    used: int | None


@dataclass(frozen=True, slots=True)
class BudgetVerdict:
    """The strictest of all budgets that cover a request. `tier` is set when the route must degrade to it."""

    state: BudgetState = "within"
    tier: str | None = None
    binding: Budget | None = None

    def document(self) -> dict[str, Any]:
        """For receipts and replies: the state and the budget that bound it."""
        found: dict[str, Any] = {"state": self.state}
        if self.binding is not None:
            found |= {"scope": self.binding.scope, "limit": self.binding.limit, "unit": self.binding.unit}
            found["period"] = self.binding.period
            if self.binding.name is not None:
                found["name"] = self.binding.name
        return found


def judge_budgets(budgets: Sequence[Budget], readings: Sequence[BudgetReading], request: RouteRequest) -> BudgetVerdict:
    """Deny before degrade before warn.

    A ledger out of reach counts as unused, or as used up where the policy says closed.
    """
    used = {(r.scope, r.name, r.period, r.unit): r.used for r in readings}
    worst = BudgetVerdict()
    for budget in budgets:
        if not _covers(budget, request):
            continue
        state = _state(budget, used.get((budget.scope, budget.name, budget.period, budget.unit)))
        if _ORDER.index(state) > _ORDER.index(worst.state):
            worst = BudgetVerdict(state, budget.degrade if state == "degrade" else None, budget)
    return worst


def _covers(budget: Budget, request: RouteRequest) -> bool:
    return budget.scope == "tenant" or getattr(request, budget.scope) == budget.name


def _state(budget: Budget, used: int | None) -> BudgetState:
    if used is None:
        return "deny" if budget.unreachable == "closed" else "within"
    if used >= budget.limit:
        if budget.at_limit == "deny":
            return "deny"
        return "degrade" if budget.degrade is not None else "warn"
    if budget.warn_ppm is not None and used * PPM >= budget.limit * budget.warn_ppm:
        return "degrade" if budget.degrade is not None else "warn"
    return "within"
