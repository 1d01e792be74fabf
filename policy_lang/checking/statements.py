"""The checks on modes, tasks, attributes, budgets, canaries and guards, one function per rule."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import get_args

from policy_lang import ir
from policy_lang.checking.descriptions import overlapping, topical
from policy_lang.checking.routes import check_floor
from policy_lang.checking.words import known_tier, one_of, reported
from policy_lang.diagnostics import Diagnostic, error, warning
from policy_lang.lowering.units import day, money, share, tokens_per
from policy_lang.parameters import PARAMETERS
from policy_lang.text import syntax
from policy_lang.text.outline import Outline

__all__ = ["STATEMENT_RULES"]

_PERIODS = ("day", "month")
_SCOPES = ("tenant", "org", "team", "product")
_METRICS = ("success", "quality")
_MOST_VALUES = 64


def known_modes(outline: Outline) -> Iterator[Diagnostic]:
    for mode in outline.modes:
        yield from one_of(mode.value, "`mode` is", ("live", "shadow"))
    for audit in outline.audits:
        yield from one_of(audit.value, "`audit` is", ("on", "off"))


def described_tasks(outline: Outline) -> Iterator[Diagnostic]:
    """A description says what comes out: enough words, not the topic, and not another task's words."""
    pattern, longest = get_args(ir.Sentence)[1].pattern, get_args(ir.Sentence)[1].longest
    texts = [(task.name.text, task.text) for task in outline.task_items if task.text is not None]
    for _, text in texts:
        if not re.fullmatch(pattern, text.text) or len(text.text) > longest:
            yield error("P207", text.span, f"a description has 1 to {longest} printable characters")
        elif sign := topical(text.text):
            advice = "say what comes out, as in `one word from a closed list`"
            yield warning("P605", text.span, f"`{sign}` tells what the input is about, not what comes out", advice)
    for index, (name, text) in enumerate(texts[: ir.MAX_RULES]):
        for other, earlier in texts[:index]:
            if overlapping(text.text, earlier.text):
                advice = "name what sets their outputs apart"
                yield warning("P604", text.span, f"`{name}` and `{other}` are described in the same words", advice)


def sound_attributes(outline: Outline) -> Iterator[Diagnostic]:
    pattern, longest = get_args(ir.Name)[1].pattern, get_args(ir.Name)[1].longest
    for attribute in outline.attributes:
        name, seen = attribute.name.text, set[str]()
        if not attribute.values:
            yield error("P209", attribute.span, f"attribute `{name}` has no values", "list what it may be")
        for value in attribute.values:
            if not re.fullmatch(pattern, value.text) or len(value.text) > longest:
                accepted = f"lower-case letters, digits, `-` and `_`, at most {longest}"
                yield error("P207", value.span, "a value cannot be written so", accepted)
            if value.text in seen:
                yield error("P208", value.span, f"`{value.text}` stands twice in attribute `{name}`")
            seen.add(value.text)
        if len(attribute.values) > _MOST_VALUES:
            yield error("P210", attribute.values[_MOST_VALUES].span, f"an attribute has at most {_MOST_VALUES} values")


def sound_budgets(outline: Outline) -> Iterator[Diagnostic]:
    seen: set[tuple[str, str, str]] = set()
    for budget in outline.budgets:
        scope, name = budget.scope.text, budget.name
        yield from _check_scope(budget)
        yield from _check_limit(budget.limit)
        yield from _check_warning(budget, outline)
        if budget.at_limit is not None:
            yield from one_of(budget.at_limit, "at its limit a budget may", ("deny", "warn"))
        if budget.unreachable is not None:
            yield from one_of(budget.unreachable, "an unreachable ledger leaves the way", ("open", "closed"))
        key = (scope, name.text if name else "", budget.limit.unit)
        if key in seen:
            yield error("P208", budget.span, "this budget is declared twice", "one for each scope, unit and period")
        seen.add(key)


def _check_scope(budget: syntax.BudgetRule) -> Iterator[Diagnostic]:
    yield from one_of(budget.scope, "a budget is of a", _SCOPES)
    pattern, longest = get_args(ir.Word)[1].pattern, get_args(ir.Word)[1].longest
    if budget.scope.text == "tenant" and budget.name is not None:
        yield error("P413", budget.name.span, "the tenant has no name here", "as in `budget tenant $400/month`")
    elif budget.scope.text in _SCOPES[1:] and budget.name is None:
        scope = budget.scope.text
        yield error("P413", budget.span, f"which {scope}?", f"as in `budget {scope} growth $400/month`")
    elif budget.name and (not re.fullmatch(pattern, budget.name.text) or len(budget.name.text) > longest):
        yield error("P207", budget.name.span, "a name has letters, digits and `._:/-`")


def _check_limit(limit: syntax.Amount) -> Iterator[Diagnostic]:
    unit, _, per = limit.unit.partition("/")
    if unit not in ("$", "tokens") or per not in _PERIODS:
        yield error(
            "P305", limit.span, f"`{limit.text}` is no budget", "as in `$400/month`, `$9/day` or `2_000_000 tokens/day`"
        )
        return
    value = money(limit, per) if unit == "$" else tokens_per(limit, per)
    yield from reported(value)
    if value == 0:
        yield error("P401", limit.span, "a budget is more than nothing", "to stop a scope, `forbid` it")


def _check_warning(budget: syntax.BudgetRule, outline: Outline) -> Iterator[Diagnostic]:
    if budget.warn is not None:
        value = share(budget.warn, "a warning")
        yield from reported(value)
        if value == 0:
            yield error("P401", budget.warn.span, "a warning at nothing would always stand")
    if budget.degrade is not None:
        yield from known_tier(budget.degrade, outline)


def sound_canaries(outline: Outline) -> Iterator[Diagnostic]:
    pattern, longest = get_args(ir.PolicyName)[1].pattern, get_args(ir.PolicyName)[1].longest
    total, seen = 0, set[str]()
    own = outline.headers[0].name.text if outline.headers else None
    for canary in outline.canaries:
        name, value = canary.policy.text, share(canary.share, "a canary")
        if not re.fullmatch(pattern, name) or len(name) > longest:
            yield error("P207", canary.policy.span, "a policy's name cannot be written so")
        if name == own or name in seen:
            what = "this policy" if name == own else f"`{name}`"
            yield error("P208", canary.policy.span, f"{what} has its share already")
        seen.add(name)
        yield from reported(value)
        total += value if isinstance(value, int) else 0
        yield from _check_canary_end(canary)
        if canary.unit is not None:
            yield from one_of(canary.unit, "a canary is drawn by", ("call", "session", "org"))
        if isinstance(value, int) and total > ir.PPM:
            yield error("P401", canary.share.span, "the canaries take more than 100% in all")


def _check_canary_end(canary: syntax.Canary) -> Iterator[Diagnostic]:
    yield from reported(day(canary.until))
    if canary.metric is not None and canary.drop is not None:
        yield from one_of(canary.metric, "a canary stops when", _METRICS)
        drop = share(canary.drop, "a drop")
        yield from reported(drop)
        if drop == 0:
            yield error("P401", canary.drop.span, "a drop is more than nothing")


def sound_guards(outline: Outline) -> Iterator[Diagnostic]:
    for guard in outline.guards:
        seen: set[str] = set()
        for bound in guard.bounds:
            if isinstance(bound, syntax.ForbidRule | syntax.RequireRule):
                continue
            name = _bound_name(bound)
            if name in seen:
                yield error("P212", bound.span, f"`{name}` stands twice in the guard")
            seen.add(name)
            yield from _check_bound(bound)


def _bound_name(bound: syntax.Bound) -> str:
    match bound:
        case syntax.FloorClause(metric):
            return f"floor {metric.text}"
        case syntax.ExploreClause():
            return "explore"
        case syntax.BoundCanary():
            return "canary"
        case syntax.BoundParameters():
            return "parameters"
        case _:
            return "cost"


def _check_bound(bound: syntax.Bound) -> Iterator[Diagnostic]:
    match bound:
        case syntax.FloorClause():
            yield from check_floor(bound)
        case syntax.ExploreClause(shares):
            for limit in shares:
                if limit.unproven or limit.amount.unit.startswith("$") or limit is not shares[0]:
                    yield error("P414", limit.span, "a guard bounds one rate", "as in `explore at most 5%`")
                else:
                    yield from reported(share(limit.amount, "a rate"))
        case syntax.BoundCanary(amount):
            yield from reported(share(amount, "a canary"))
        case syntax.BoundCost(amount):
            yield from reported(money(amount, "call"))
        case syntax.BoundParameters(names):
            for index, name in enumerate(names):
                yield from one_of(name, "a policy may set", PARAMETERS)
                if name.text in [earlier.text for earlier in names[:index]]:
                    yield error("P208", name.span, f"`{name.text}` stands twice in `parameters`")


def audit_leaves_nothing_to_chance(outline: Outline) -> Iterator[Diagnostic]:
    if not any(audit.value.text == "on" for audit in outline.audits):
        return
    explores = [c for route in outline.all_routes for c in route.clauses if isinstance(c, syntax.ExploreClause)]
    chancy: list[syntax.ExploreClause | syntax.Canary] = [*explores, *outline.canaries]
    for statement in chancy:
        keyword = "canary" if isinstance(statement, syntax.Canary) else "explore"
        yield warning("P606", statement.span, f"`{keyword}` does nothing while `audit on` holds")


STATEMENT_RULES: tuple[Callable[[Outline], Iterator[Diagnostic]], ...] = (
    known_modes,
    described_tasks,
    sound_attributes,
    sound_budgets,
    sound_canaries,
    sound_guards,
    audit_leaves_nothing_to_chance,
)
