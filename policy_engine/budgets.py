"""Budget verdicts: what the ledgers' readings mean for one request. Reading and leasing them is the edge's work."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from policy_engine.wire import RouteRequest
from policy_lang.frozen import frozen
from policy_lang.ir import PPM, Budget

__all__ = ["BudgetReading", "BudgetVerdict", "covers", "judge_budgets"]

BudgetState = Literal["within", "warn", "degrade", "deny"]
_ORDER: tuple[BudgetState, ...] = ("within", "warn", "degrade", "deny")


@frozen
class BudgetReading:
    """What one budget had used when the decision was made. `used` in the budget's own unit; None: out of reach.

    Scope `explore` reads the money that a route may spend on exploration in a day; `name` is that of its policy and its
    own, `acme/support/labelling`. `pace_ppm`: by how much a dollar counts for more than itself, because the budget is
    ahead of its period.
    """

    scope: str
    name: str | None
    period: str
    unit: str
    used: int | None
    pace_ppm: int = 0

    def row(self) -> list[str | int | None]:
        """For receipts; `BudgetReading(*row)` is the reading again."""
        row = [self.scope, self.name, self.period, self.unit, self.used]
        return [*row, self.pace_ppm] if self.pace_ppm else row


@frozen
class BudgetVerdict:
    """The strictest of all budgets that cover a request. `tier` is set when the route must degrade to it.

    `contested`: the tiers that budgets asked for with what each is dear by, where they asked for several. `pace_ppm`:
    the largest of the readings'.
    """

    state: BudgetState = "within"
    tier: str | None = None
    binding: Budget | None = None
    contested: tuple[tuple[str, int], ...] = ()
    pace_ppm: int = 0

    def document(self) -> dict[str, Any]:
        """For receipts and replies: the state and the budget that bound it."""
        found: dict[str, Any] = {"state": self.state}
        if self.binding is not None:
            found |= {"scope": self.binding.scope, "limit": self.binding.limit, "unit": self.binding.unit}
            found["period"] = self.binding.period
            if self.binding.name is not None:
                found["name"] = self.binding.name
        if self.contested:
            found["tiers"] = dict(self.contested)
        if self.pace_ppm:
            found["pace_ppm"] = self.pace_ppm
        return found


def judge_budgets(
    budgets: Sequence[Budget],
    readings: Sequence[BudgetReading],
    request: RouteRequest,
    tier_prices: Mapping[str, int] | None = None,
) -> BudgetVerdict:
    """Deny before degrade before warn. Of several tiers to degrade to the cheapest, for it saves enough for each of the
    budgets; `tier_prices` says how dear a tier is, and its name decides between equals.

    A ledger out of reach counts as unused, or as used up where the policy says closed.
    """
    prices = tier_prices or {}
    used = {(r.scope, r.name, r.period, r.unit): r.used for r in readings}
    judged = [
        (_state(budget, used.get((budget.scope, budget.name, budget.period, budget.unit))), budget)
        for budget in budgets
        if covers(budget, request)
    ]
    state: BudgetState = max((state for state, _ in judged), key=_ORDER.index, default="within")
    binding = [budget for found, budget in judged if found == state]
    pace = max((reading.pace_ppm for reading in readings), default=0)
    if state == "within":
        return BudgetVerdict(pace_ppm=pace)
    if state != "degrade":
        return BudgetVerdict(state, None, binding[0], pace_ppm=pace)
    price = {budget.degrade or "": prices.get(budget.degrade or "", 0) for budget in binding}
    cheapest = min(binding, key=lambda budget: (price[budget.degrade or ""], budget.degrade))
    contested = tuple(sorted(price.items())) if len(price) > 1 else ()
    return BudgetVerdict("degrade", cheapest.degrade, cheapest, contested, pace)


def covers(budget: Budget, request: RouteRequest) -> bool:
    """Whether a request is charged to a budget."""
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
