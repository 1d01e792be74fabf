"""The checks on a parsed policy. RULES is the whole list, one function per rule, each yielding its findings."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import get_args

from policy_lang import ir
from policy_lang.checking.calls import CALL_RULES
from policy_lang.checking.conditions import check_condition
from policy_lang.checking.routes import ROUTE_RULES
from policy_lang.checking.statements import STATEMENT_RULES
from policy_lang.checking.tests import TEST_RULES
from policy_lang.diagnostics import NOWHERE, Diagnostic, did_you_mean, error, warning
from policy_lang.text import syntax
from policy_lang.text.outline import Outline

__all__ = ["FUTURE_WORDS", "MOST_FINDINGS", "RULES", "check"]

#: Words later versions will need; as names they would stop working, so they are taken now.
FUTURE_WORDS = frozenset(("clamp", "flow", "import", "include", "let", "seed", "session"))
MOST_FINDINGS = 100
_MAX_MODELS = 64


def check(outline: Outline) -> list[Diagnostic]:
    """The findings of every rule, in the order of the file: at most a hundred errors, and as many warnings.

    INVARIANT: a file with an error in it yields an error, however many warnings stand before it.
    """
    found: dict[Diagnostic, None] = {}
    counts = {"error": 0, "warning": 0}
    for finding in (finding for rule in RULES for finding in rule(outline)):
        if finding not in found and counts[finding.severity] < MOST_FINDINGS:
            found[finding] = None
            counts[finding.severity] += 1
        if counts["error"] == MOST_FINDINGS:
            break
    return sorted(found, key=lambda diagnostic: (diagnostic.span, diagnostic.code))


def header_stands_first(outline: Outline) -> Iterator[Diagnostic]:
    for repeated in outline.headers[1:]:
        yield error("P202", repeated.span, "a file holds one policy")
    if not outline.headers:
        if outline.whole:
            yield error("P201", NOWHERE, "the header is missing", 'a file begins with `policy "team/name" language 1`')
        return
    header = outline.headers[0]
    if outline.statements[0] is not header:
        yield error("P202", header.span, "the header stands first in a file")


def header_is_understood(outline: Outline) -> Iterator[Diagnostic]:
    pattern = get_args(ir.PolicyName)[1]
    for header in outline.headers:
        if header.version.text != "1":
            yield error(
                "P203", header.version.span, f"unknown language version `{header.version.text}`", "write `language 1`"
            )
        if not re.fullmatch(pattern.pattern, header.name.text) or len(header.name.text) > pattern.longest:
            accepted = f"lower-case letters, digits, `-` and `_`, parted by `/`, at most {pattern.longest} in all"
            yield error("P207", header.name.span, "a policy's name cannot be written so", accepted)


def mandatory_statements(outline: Outline) -> Iterator[Diagnostic]:
    if not outline.whole:
        return
    end = outline.statements[-1].span if outline.statements else NOWHERE
    if not outline.defaults:
        yield error("P204", end, "`default route` is missing", "write `default route general { use … pick … }`")
    if not outline.fallbacks:
        yield error(
            "P206", end, "`fallback` is missing", "write `fallback` and the models to serve when nothing else can"
        )


def single_statements(outline: Outline) -> Iterator[Diagnostic]:
    groups: tuple[tuple[str, Iterable[syntax.Statement]], ...] = (
        ("mode", outline.modes),
        ("audit", outline.audits),
        ("tasks", outline.task_lists),
        ("guard", outline.guards),
        ("default route", outline.defaults),
        ("fallback", outline.fallbacks),
        ("baseline", outline.baselines),
    )
    for keyword, statements in groups:
        for repeated in list(statements)[1:]:
            yield error("P205", repeated.span, f"`{keyword}` stands twice", "keep one of them")


def well_formed_names(outline: Outline) -> Iterator[Diagnostic]:
    pattern = get_args(ir.Name)[1]
    for what, name in _declared(outline):
        if name.text in FUTURE_WORDS:
            yield error("P103", name.span, f"`{name.text}` is a reserved word", "choose another name")
        elif not re.fullmatch(pattern.pattern, name.text) or len(name.text) > pattern.longest:
            lower = name.text.lower() if re.fullmatch(pattern.pattern, name.text.lower()) else None
            accepted = f"lower-case letters, digits, `-` and `_`, at most {pattern.longest}"
            yield error("P207", name.span, f"a {what}'s name cannot be written so", accepted, lower)


def unique_names(outline: Outline) -> Iterator[Diagnostic]:
    seen: set[tuple[str, str]] = set()
    for what, name in [*_declared(outline), *_titled(outline)]:
        if (what, name.text) in seen:
            help_text = "a reason names its gate, so each needs its own" if what == "gate" else None
            verb = "are" if what == "statistics" else "is"
            yield error("P208", name.span, f"the {what} `{name.text}` {verb} declared twice", help_text)
        seen.add((what, name.text))


def well_formed_reasons(outline: Outline) -> Iterator[Diagnostic]:
    pattern = get_args(ir.Reason)[1]
    for what, title in _titled(outline):
        if not re.fullmatch(pattern.pattern, title.text) or len(title.text) > pattern.longest:
            named = "a reason" if what in ("gate", "assertion") else "a name"
            yield error("P207", title.span, f"{named} has 1 to {pattern.longest} printable characters")


def known_models(outline: Outline) -> Iterator[Diagnostic]:
    for _, models in outline.model_lists():
        for model in models:
            if outline.catalog.resolve(model.text) is None:
                near = did_you_mean(model.text, outline.model_names)
                help_text = None if near else "names are those of the catalog, bare or as `provider/model`"
                yield error("P308", model.span, f"unknown model `{model.text[:80]}`", help_text, near)


def listed_models(outline: Outline) -> Iterator[Diagnostic]:
    for what, models in outline.model_lists():
        arms = [outline.catalog.resolve(model.text) or model.text for model in models]
        for index, (model, arm) in enumerate(zip(models, arms, strict=True)):
            if arm in arms[:index]:
                yield error("P208", model.span, f"`{model.text}` stands twice in {what}")
        if len(models) > _MAX_MODELS:
            yield error(
                "P210", models[_MAX_MODELS].span, f"{what} lists {len(models)} models, at most {_MAX_MODELS} fit"
            )


def tiers_hold_models(outline: Outline) -> Iterator[Diagnostic]:
    for tier in outline.tiers:
        if not tier.models:
            yield error("P209", tier.span, f"tier `{tier.name.text}` is empty", "list at least one model")


def tiers_are_used(outline: Outline) -> Iterator[Diagnostic]:
    kinds = (syntax.UseClause, syntax.CascadeClause)
    uses = [clause for route in outline.all_routes for clause in route.clauses if isinstance(clause, kinds)]
    used = {name.text for use in uses for name in use.tiers}
    used |= {budget.degrade.text for budget in outline.budgets if budget.degrade}
    for tier in outline.tiers:
        if tier.name.text not in used and outline.whole and outline.defaults:
            yield warning("P601", tier.name.span, f"no route uses tier `{tier.name.text}`")


def sound_conditions(outline: Outline) -> Iterator[Diagnostic]:
    for rule in (*outline.rules, *outline.guard_rules):
        main = rule.condition if isinstance(rule, syntax.RequireRule) else None
        for condition in (main, rule.when, rule.unless):
            if condition is not None:
                yield from check_condition(condition, outline)
    for route in outline.routes:
        assert route.when is not None
        yield from check_condition(route.when, outline, model_advice="filter models with `where` inside the route")


def within_limits(outline: Outline) -> Iterator[Diagnostic]:
    counted: tuple[tuple[str, int, Sequence[syntax.Statement | syntax.Task]], ...] = (
        ("gates", ir.MAX_RULES, outline.rules),
        ("gates in its guard", ir.MAX_RULES, outline.guard_rules),
        ("routes", ir.MAX_RULES, outline.routes),
        ("tasks", ir.MAX_RULES - 1, outline.task_items),
        ("tiers", 64, outline.tiers),
        ("budgets", ir.MAX_BUDGETS, outline.budgets),
        ("assertions", 64, outline.assertions),
        ("attributes", 16, outline.attributes),
        ("canaries", 8, outline.canaries),
        ("tests", ir.MAX_RULES, outline.tests),
        ("statistics", ir.MAX_RULES, outline.statistics),
    )
    for what, most, items in counted:
        if len(items) > most:
            yield error("P210", items[most].span, f"{len(items)} {what}, a policy holds at most {most}")


def _declared(outline: Outline) -> Iterator[tuple[str, syntax.Word]]:
    yield from (("task", task.name) for task in outline.task_items)
    yield from (("attribute", attribute.name) for attribute in outline.attributes)
    yield from (("tier", tier.name) for tier in outline.tiers)
    yield from (("route", route.name) for route in outline.all_routes)


def _titled(outline: Outline) -> Iterator[tuple[str, syntax.Word]]:
    """What is named by a quoted text."""
    yield from (("gate", rule.reason) for rule in (*outline.rules, *outline.guard_rules))
    yield from (("assertion", rule.reason) for rule in outline.assertions)
    yield from (("test", test.name) for test in outline.tests)
    yield from (("statistics", statistics.name) for statistics in outline.statistics)


RULES: tuple[Callable[[Outline], Iterator[Diagnostic]], ...] = (
    header_stands_first,
    header_is_understood,
    mandatory_statements,
    single_statements,
    well_formed_names,
    unique_names,
    well_formed_reasons,
    known_models,
    listed_models,
    tiers_hold_models,
    tiers_are_used,
    sound_conditions,
    within_limits,
    *ROUTE_RULES,
    *CALL_RULES,
    *STATEMENT_RULES,
    *TEST_RULES,
)
