"""A checked syntax tree to the normalised IR: names resolved, units converted, commuting parts sorted."""

from __future__ import annotations

from typing import TypeVar

from policy_lang import ir, syntax
from policy_lang.constants import RELATIONS, constant, field_of
from policy_lang.diagnostics import Diagnostic
from policy_lang.normal import ALWAYS, conjunction, disjunction, membership, negation
from policy_lang.outline import Outline
from policy_lang.units import money, ratio, share
from policy_lang.vocabulary import FieldSpec

__all__ = ["lower"]

_T = TypeVar("_T")


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

    def _route(self, route: syntax.RouteRule) -> ir.Route:
        use, pick = _clause(route, syntax.UseClause), _clause(route, syntax.PickClause)
        assert use, "INVARIANT: the checker refuses a route without `use`"
        assert pick, "INVARIANT: the checker refuses a route without `pick`"
        where, until = _clause(route, syntax.WhereClause), _clause(route, syntax.UntilClause)
        explore = _clause(route, syntax.ExploreClause)
        floors = [_floor(clause) for clause in route.clauses if isinstance(clause, syntax.FloorClause)]
        return ir.Route(
            name=route.name.text,
            when=self._condition(route.when) if route.when else ALWAYS,
            use=tuple(name.text for name in use.tiers),
            pick=tuple(self._term(term) for term in pick.terms),
            where=self._condition(where.condition) if where else None,
            floors=tuple(sorted(floors, key=lambda floor: floor.metric)),
            until_proven=self._arm(until.model) if until else None,
            explore=_explore(explore) if explore else None,
        )

    def _term(self, term: syntax.Term) -> ir.PickTerm:
        within = _sure(share(term.within, "")) if term.within else 0
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
                return ir.PickTerm("best_value", within, value_nanodollars=_sure(money(term.value, "success")))

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
                constants = [constant(_sure(field_of(field)), value, self.outline.tasks) for value in values]
                return membership(field.text, [value for value in constants if isinstance(value, str)])
            case syntax.Comparison():
                return self._comparison(condition)

    def _comparison(self, test: syntax.Comparison) -> ir.Expr:
        value = constant(_sure(field_of(test.field)), test.value, self.outline.tasks)
        assert not isinstance(value, Diagnostic), "INVARIANT: as in _sure"
        relation = RELATIONS[test.relation]
        if not isinstance(value, FieldSpec):
            return ir.Compare(test.field.text, relation, value)
        factor = _sure(ratio(test.value.factor)) if isinstance(test.value, syntax.Scaled) else ir.PPM
        assert relation != "eq"
        assert relation != "ne"
        return ir.CompareFields(test.field.text, relation, factor, value.name)

    def _arms(self, models: tuple[syntax.Word, ...]) -> tuple[str, ...]:
        return tuple(self._arm(model) for model in models)

    def _arm(self, model: syntax.Word) -> str:
        arm = self.outline.catalog.resolve(model.text)
        assert arm is not None, "INVARIANT: the checker refuses unknown models"
        return arm


def _clause(route: syntax.RouteRule, kind: type[_T]) -> _T | None:
    return next((clause for clause in route.clauses if isinstance(clause, kind)), None)


def _floor(floor: syntax.FloorClause) -> ir.Floor:
    proven = _sure(share(floor.proven, "")) if floor.proven else None
    return ir.Floor(floor.metric.text, _sure(share(floor.at_least, "")), proven)  # type: ignore[arg-type]  # checked: success, quality


def _explore(explore: syntax.ExploreClause) -> ir.Explore:
    rate, unproven, daily = 0, None, None
    for limit in explore.shares:
        if limit.amount.unit.startswith("$"):
            daily = _sure(money(limit.amount, "day"))
        elif limit.unproven:
            unproven = _sure(share(limit.amount, ""))
        else:
            rate = _sure(share(limit.amount, ""))
    return ir.Explore(rate, unproven, daily)


def _sure(value: _T | Diagnostic) -> _T:
    assert not isinstance(value, Diagnostic), "INVARIANT: the checker reports what cannot be converted"
    return value
