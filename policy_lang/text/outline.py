"""A policy's statements by kind, with the catalog and the names they declare: what every check looks at."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

from policy_lang.catalog import Catalog
from policy_lang.text import syntax
from policy_lang.vocabulary import FIELDS, OTHER_TASK, STANDARD_TASKS, FieldSpec, attribute_spec

__all__ = ["Outline"]


@dataclass(frozen=True)
class Outline:
    """`whole` is False after syntax errors: then what seems missing may only be unreadable."""

    statements: tuple[syntax.Statement, ...]
    catalog: Catalog
    whole: bool = True

    @cached_property
    def headers(self) -> list[syntax.Header]:
        return [item for item in self.statements if isinstance(item, syntax.Header)]

    @cached_property
    def task_lists(self) -> list[syntax.Tasks]:
        return [item for item in self.statements if isinstance(item, syntax.Tasks)]

    @cached_property
    def tiers(self) -> list[syntax.TierRule]:
        return [item for item in self.statements if isinstance(item, syntax.TierRule)]

    @cached_property
    def rules(self) -> list[syntax.Rule]:
        return [item for item in self.statements if isinstance(item, syntax.ForbidRule | syntax.RequireRule)]

    @cached_property
    def all_routes(self) -> list[syntax.RouteRule]:
        return [item for item in self.statements if isinstance(item, syntax.RouteRule)]

    @cached_property
    def routes(self) -> list[syntax.RouteRule]:
        return [route for route in self.all_routes if route.when is not None]

    @cached_property
    def defaults(self) -> list[syntax.RouteRule]:
        return [route for route in self.all_routes if route.when is None]

    @cached_property
    def fallbacks(self) -> list[syntax.Fallback]:
        return [item for item in self.statements if isinstance(item, syntax.Fallback)]

    @cached_property
    def baselines(self) -> list[syntax.Baseline]:
        return [item for item in self.statements if isinstance(item, syntax.Baseline)]

    @cached_property
    def task_items(self) -> list[syntax.Task]:
        return [task for tasks in self.task_lists for task in tasks.tasks]

    @cached_property
    def modes(self) -> list[syntax.Mode]:
        return [item for item in self.statements if isinstance(item, syntax.Mode)]

    @cached_property
    def audits(self) -> list[syntax.Audit]:
        return [item for item in self.statements if isinstance(item, syntax.Audit)]

    @cached_property
    def attributes(self) -> list[syntax.Attribute]:
        return [item for item in self.statements if isinstance(item, syntax.Attribute)]

    @cached_property
    def budgets(self) -> list[syntax.BudgetRule]:
        return [item for item in self.statements if isinstance(item, syntax.BudgetRule)]

    @cached_property
    def canaries(self) -> list[syntax.Canary]:
        return [item for item in self.statements if isinstance(item, syntax.Canary)]

    @cached_property
    def guards(self) -> list[syntax.GuardRule]:
        return [item for item in self.statements if isinstance(item, syntax.GuardRule)]

    @cached_property
    def guard_rules(self) -> list[syntax.Rule]:
        """The gates inside guards."""
        bounds = (bound for guard in self.guards for bound in guard.bounds)
        return [bound for bound in bounds if isinstance(bound, syntax.ForbidRule | syntax.RequireRule)]

    @cached_property
    def assertions(self) -> list[syntax.AssertRule]:
        return [item for item in self.statements if isinstance(item, syntax.AssertRule)]

    @cached_property
    def statistics(self) -> list[syntax.Statistics]:
        return [item for item in self.statements if isinstance(item, syntax.Statistics)]

    @cached_property
    def tests(self) -> list[syntax.TestRule]:
        return [item for item in self.statements if isinstance(item, syntax.TestRule)]

    @cached_property
    def fields(self) -> Mapping[str, FieldSpec]:
        """The vocabulary with this policy's tasks and attributes in it."""
        task = replace(FIELDS["task"], values=tuple(sorted(self.tasks)))
        declared = (
            attribute_spec(item.name.text, tuple(value.text for value in item.values)) for item in self.attributes
        )
        return {**FIELDS, "task": task, **{spec.name: spec for spec in declared}}

    @cached_property
    def tasks(self) -> frozenset[str]:
        """The closed vocabulary of `task`: what the policy declares, else the standard taxonomy; `other` always."""
        declared = [task.name.text for task in self.task_items]
        return frozenset(declared or STANDARD_TASKS) | {OTHER_TASK}

    @cached_property
    def tier_names(self) -> frozenset[str]:
        return frozenset(tier.name.text for tier in self.tiers)

    @cached_property
    def model_names(self) -> frozenset[str]:
        return frozenset(self.catalog.models) | frozenset(self.catalog.aliases)

    @cached_property
    def providers(self) -> frozenset[str]:
        return frozenset(model.provider for model in self.catalog.models.values())

    def model_lists(self) -> Iterator[tuple[str, tuple[syntax.Word, ...]]]:
        """Every list of models with what the language calls it."""
        for tier in self.tiers:
            yield f"tier `{tier.name.text}`", tier.models
        for fallback in self.fallbacks:
            yield "`fallback`", fallback.models
        for baseline in self.baselines:
            yield "`baseline`", (baseline.model,)
        for statistics in self.statistics:
            yield from ((f"statistics `{statistics.name.text}`", (item.model,)) for item in statistics.evidence)
        for route in self.all_routes:
            for clause in route.clauses:
                if isinstance(clause, syntax.UntilClause):
                    yield "`until proven serve`", (clause.model,)
                elif isinstance(clause, syntax.PickClause):
                    yield from (("`prefer`", term.models) for term in clause.terms if term.order == "prefer")
