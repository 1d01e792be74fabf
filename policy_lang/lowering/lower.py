"""A checked syntax tree to the normalised IR: names resolved, units converted, commuting parts sorted."""

from __future__ import annotations

from typing import Any, TypeVar

from policy_lang import ir
from policy_lang.diagnostics import Diagnostic
from policy_lang.lowering.calls import lowered_call, lowered_cascade
from policy_lang.lowering.constants import RELATIONS, constant, field_of
from policy_lang.lowering.units import day, money, ratio, share, sure, tokens_per
from policy_lang.normal import ALWAYS, conjunction, disjunction, membership, negation
from policy_lang.text import syntax
from policy_lang.text.outline import Outline
from policy_lang.vocabulary import FieldSpec

__all__ = ["lower"]

_Clause = TypeVar("_Clause", bound=syntax.Clause)


def lower(outline: Outline) -> ir.Policy:
    """The policy that `outline` means. INVARIANT: the checker found no error in it."""
    return _Lowering(outline).policy()


class _Lowering:
    def __init__(self, outline: Outline) -> None:
        self.outline = outline

    def policy(self) -> ir.Policy:
        outline = self.outline
        return ir.Policy(
            name=outline.headers[0].name.text,
            tasks=tuple(sorted(outline.tasks)),
            tiers=tuple(sorted((self._tier(tier) for tier in outline.tiers), key=lambda tier: tier.name)),
            gates=tuple(sorted((self._gate(rule) for rule in outline.rules), key=lambda gate: gate.reason)),
            routes=tuple(self._route(route) for route in outline.routes),
            default=self._route(outline.defaults[0]),
            fallback=self._arms(outline.fallbacks[0].models),
            baseline=self._arm(outline.baselines[0].model) if outline.baselines else None,
            attributes=tuple(sorted((_attribute(item) for item in outline.attributes), key=lambda item: item.name)),
            task_texts=tuple(
                ir.TaskText(task.name.text, task.text.text)
                for task in sorted(outline.task_items, key=lambda task: task.name.text)
                if task.text
            ),
            budgets=tuple(sorted((_budget(item) for item in outline.budgets), key=_budget_key)),
            canaries=tuple(sorted((_canary(item) for item in outline.canaries), key=lambda item: item.policy)),
            guard=self._guard(outline.guards[0]) if outline.guards else None,
            assertions=tuple(sorted((self._assertion(item) for item in outline.assertions), key=lambda a: a.reason)),
            mode="shadow" if outline.modes and outline.modes[0].value.text == "shadow" else "live",
            audit="on" if outline.audits and outline.audits[0].value.text == "on" else "off",
        )

    def _tier(self, tier: syntax.TierRule) -> ir.Tier:
        return ir.Tier(tier.name.text, self._arms(tier.models))

    def _gate(self, rule: syntax.Rule) -> ir.Gate:
        applies = [] if rule.when is None else [self._condition(rule.when)]
        excused = [] if rule.unless is None else [negation(self._condition(rule.unless))]
        if isinstance(rule, syntax.ForbidRule):
            return ir.Gate(rule.reason.text, "forbid", conjunction([*applies, *excused]))
        broken = negation(self._condition(rule.condition))
        return ir.Gate(rule.reason.text, "require", conjunction([*applies, *excused, broken]))

    def _guard(self, guard: syntax.GuardRule) -> ir.Guard:
        """Commuting parts sorted, so that the order of bounds means nothing."""
        found: dict[str, Any] = {}
        for bound in guard.bounds:
            match bound:
                case syntax.ExploreClause(shares):
                    found["explore_ppm"] = sure(share(shares[0].amount, ""))
                case syntax.BoundCanary(amount):
                    found["canary_ppm"] = sure(share(amount, ""))
                case syntax.BoundParameters(names):
                    found["parameters"] = tuple(sorted(name.text for name in names))
                case syntax.BoundCost(amount):
                    found["cost_nanodollars"] = sure(money(amount, "call"))
        gates = [self._gate(rule) for rule in self.outline.guard_rules]
        floors = [_floor(bound) for bound in guard.bounds if isinstance(bound, syntax.FloorClause)]
        return ir.Guard(
            gates=tuple(sorted(gates, key=lambda gate: gate.reason)),
            floors=tuple(sorted(floors, key=lambda floor: floor.metric)),
            **found,
        )

    def _assertion(self, rule: syntax.AssertRule) -> ir.Assertion:
        given = [] if rule.when is None else [self._condition(rule.when)]
        if rule.unless is not None:
            given.append(negation(self._condition(rule.unless)))
        quantifier: Any = rule.quantifier.text
        return ir.Assertion(rule.reason.text, quantifier, conjunction(given), self._condition(rule.claim))

    def _route(self, route: syntax.RouteRule) -> ir.Route:
        use, cascade = _clause(route, syntax.UseClause), _clause(route, syntax.CascadeClause)
        models, pick = use or cascade, _clause(route, syntax.PickClause)
        assert models, "INVARIANT: the checker refuses a route without `use` or `cascade`"
        assert pick, "INVARIANT: the checker refuses a route without `pick`"
        where, until = _clause(route, syntax.WhereClause), _clause(route, syntax.UntilClause)
        explore = _clause(route, syntax.ExploreClause)
        floors = [_floor(clause) for clause in route.clauses if isinstance(clause, syntax.FloorClause)]
        return ir.Route(
            name=route.name.text,
            when=self._condition(route.when) if route.when else ALWAYS,
            use=tuple(name.text for name in models.tiers),
            pick=tuple(self._term(term) for term in pick.terms),
            where=self._condition(where.condition) if where else None,
            floors=tuple(sorted(floors, key=lambda floor: floor.metric)),
            until_proven=self._arm(until.model) if until else None,
            explore=_explore(explore) if explore else None,
            cascade=lowered_cascade(cascade) if cascade else None,
            **lowered_call(route),
        )

    def _term(self, term: syntax.Term) -> ir.PickTerm:
        within = sure(share(term.within, "")) if term.within else 0
        match term.order:
            case "cheapest":
                return ir.PickTerm("cheapest", within)
            case "fastest":
                assert term.subject is not None
                metric = term.subject.text
                return ir.PickTerm("fastest", within, metric=metric)  # type: ignore[arg-type]  # checked: ttft_p95, latency_p95
            case "prefer":
                return ir.PickTerm("prefer", within, arms=self._arms(term.models))
            case "best" if term.value is None:
                return ir.PickTerm("best_quality", within)
            case _:
                assert term.value is not None
                return ir.PickTerm("best_value", within, value_nanodollars=sure(money(term.value, "success")))

    def _condition(self, condition: syntax.Condition) -> ir.Expr:
        match condition:
            case syntax.Both(items):
                return conjunction([self._condition(item) for item in items])
            case syntax.Either(items):
                return disjunction([self._condition(item) for item in items])
            case syntax.Negated(item):
                return negation(self._condition(item))
            case syntax.FlagTest(field):
                return ir.Flag(field.text)
            case syntax.Membership(field, values):
                constants = [
                    constant(sure(field_of(field, self.outline.fields)), value, self.outline.fields) for value in values
                ]
                return membership(field.text, [value for value in constants if isinstance(value, str)])
            case syntax.Comparison():
                return self._comparison(condition)

    def _comparison(self, test: syntax.Comparison) -> ir.Expr:
        value = constant(sure(field_of(test.field, self.outline.fields)), test.value, self.outline.fields)
        assert not isinstance(value, Diagnostic), "INVARIANT: as in `sure`"
        relation = RELATIONS[test.relation]
        if not isinstance(value, FieldSpec):
            return ir.Compare(test.field.text, relation, value)
        factor = sure(ratio(test.value.factor)) if isinstance(test.value, syntax.Scaled) else ir.PPM
        assert relation != "eq"
        assert relation != "ne"
        return ir.CompareFields(test.field.text, relation, factor, value.name)

    def _arms(self, models: tuple[syntax.Word, ...]) -> tuple[str, ...]:
        return tuple(self._arm(model) for model in models)

    def _arm(self, model: syntax.Word) -> str:
        arm = self.outline.catalog.resolve(model.text)
        assert arm is not None, "INVARIANT: the checker refuses unknown models"
        return arm


def _clause(route: syntax.RouteRule, kind: type[_Clause]) -> _Clause | None:
    return next((clause for clause in route.clauses if isinstance(clause, kind)), None)


def _attribute(attribute: syntax.Attribute) -> ir.Attribute:
    return ir.Attribute(attribute.name.text, tuple(sorted(value.text for value in attribute.values)))


def _budget(budget: syntax.BudgetRule) -> ir.Budget:
    unit, _, period = budget.limit.unit.partition("/")
    limit = money(budget.limit, period) if unit == "$" else tokens_per(budget.limit, period)
    words: dict[str, Any] = {"scope": budget.scope.text, "period": period}
    if budget.at_limit is not None:
        words["at_limit"] = budget.at_limit.text
    if budget.unreachable is not None:
        words["unreachable"] = budget.unreachable.text
    return ir.Budget(
        limit=sure(limit),
        unit="nanodollars" if unit == "$" else "tokens",
        name=budget.name.text if budget.name else None,
        warn_ppm=sure(share(budget.warn, "")) if budget.warn else None,
        degrade=budget.degrade.text if budget.degrade else None,
        **words,
    )


def _budget_key(budget: ir.Budget) -> tuple[str, ...]:
    return budget.scope, budget.name or "", budget.unit, budget.period


def _canary(canary: syntax.Canary) -> ir.Canary:
    unit: Any = canary.unit.text if canary.unit else "call"
    metric: Any = canary.metric.text if canary.metric else None
    drop = sure(share(canary.drop, "")) if canary.drop else None
    return ir.Canary(canary.policy.text, sure(share(canary.share, "")), unit, sure(day(canary.until)), metric, drop)


def _floor(floor: syntax.FloorClause) -> ir.Floor:
    proven = sure(share(floor.proven, "")) if floor.proven else None
    return ir.Floor(floor.metric.text, sure(share(floor.at_least, "")), proven)  # type: ignore[arg-type]  # checked: success, quality


def _explore(explore: syntax.ExploreClause) -> ir.Explore:
    rate, unproven, daily = 0, None, None
    for limit in explore.shares:
        if limit.amount.unit.startswith("$"):
            daily = sure(money(limit.amount, "day"))
        elif limit.unproven:
            unproven = sure(share(limit.amount, ""))
        else:
            rate = sure(share(limit.amount, ""))
    return ir.Explore(rate, unproven, daily)
