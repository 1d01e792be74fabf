"""Builds the syntax tree while the parser reduces: one method per grammar rule, each given all tokens of its rule.

Nothing recurses here, so depth of nesting costs no stack.
"""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import pairwise
from typing import Any, TypeVar

from policy_lang.diagnostics import Span
from policy_lang.text import syntax

__all__ = ["TreeBuilder", "token_span"]

_Node = TypeVar("_Node")
_AMOUNT = re.compile(r"(\$?)([0-9][0-9_]*(?:\.[0-9]+)?)(.*)")


def token_span(token: Any) -> Span:
    """Where a token of the parser stands."""
    return Span(token.start_pos, token.end_pos, token.line, token.column)


class TreeBuilder:
    """Callbacks by rule name; a child is a token (it has a `type`) or a node already built."""

    def start(self, children: list[Any]) -> tuple[syntax.Statement, ...]:
        return tuple(children)

    def header(self, children: list[Any]) -> syntax.Header:
        return syntax.Header(_word(children[1]), _amount(children[3]), _span(children))

    def mode(self, children: list[Any]) -> syntax.Mode:
        return syntax.Mode(_word(children[1]), _span(children))

    def audit(self, children: list[Any]) -> syntax.Audit:
        return syntax.Audit(_word(children[1]), _span(children))

    def tasks(self, children: list[Any]) -> syntax.Tasks:
        return syntax.Tasks(_nodes(children, syntax.Task), _span(children))

    def task(self, children: list[Any]) -> syntax.Task:
        text = _word(children[1]) if len(children) > 1 else None
        return syntax.Task(_word(children[0]), text, _span(children))

    def attribute(self, children: list[Any]) -> syntax.Attribute:
        return syntax.Attribute(_word(children[1]), _words(children[3:]), _span(children))

    def tier(self, children: list[Any]) -> syntax.TierRule:
        return syntax.TierRule(_word(children[1]), _words(children[3]), _span(children))

    def models(self, children: list[Any]) -> list[Any]:
        return children

    def forbid(self, children: list[Any]) -> syntax.ForbidRule:
        parts = _after_keywords(children)
        return syntax.ForbidRule(_word(children[1]), parts["when"], parts.get("unless"), _span(children))

    def require(self, children: list[Any]) -> syntax.RequireRule:
        parts = _after_keywords(children[3:])
        return syntax.RequireRule(
            _word(children[1]), children[2], parts.get("when"), parts.get("unless"), _span(children)
        )

    def route(self, children: list[Any]) -> syntax.RouteRule:
        return syntax.RouteRule(_word(children[1]), children[3], _clauses(children[4]), _span(children))

    def default(self, children: list[Any]) -> syntax.RouteRule:
        return syntax.RouteRule(_word(children[2]), None, _clauses(children[3]), _span(children))

    def body(self, children: list[Any]) -> list[Any]:
        return children

    def use(self, children: list[Any]) -> syntax.UseClause:
        return syntax.UseClause(_words(children), _span(children))

    def cascade(self, children: list[Any]) -> syntax.CascadeClause:
        return syntax.CascadeClause(_words(children), _nodes(children, syntax.Check), _span(children))

    def check(self, children: list[Any]) -> syntax.Check:
        if children[0].type == "NOT":
            argument = _word(children[2]) if len(children) > 2 else None
            return syntax.Check(_word(children[1]), None, None, argument, _span(children))
        rule, relation, limit = children
        return syntax.Check(_word(rule), _word(relation), _amount(limit), None, _span(children))

    def where(self, children: list[Any]) -> syntax.WhereClause:
        return syntax.WhereClause(children[1], _span(children))

    def floor(self, children: list[Any]) -> syntax.FloorClause:
        _, metric, relation, at_least, *proven = children
        confidence = _amount(proven[1]) if proven else None
        return syntax.FloorClause(_word(metric), _word(relation), _amount(at_least), confidence, _span(children))

    def until(self, children: list[Any]) -> syntax.UntilClause:
        return syntax.UntilClause(_word(children[3]), _span(children))

    def pick(self, children: list[Any]) -> syntax.PickClause:
        terms = tuple(_term(child) for child in children if isinstance(child, list))
        return syntax.PickClause(terms, _span(children))

    def term(self, children: list[Any]) -> list[Any]:
        return children

    def cheapest(self, children: list[Any]) -> list[Any]:
        return children

    fastest = best = prefer = cheapest

    def explore(self, children: list[Any]) -> syntax.ExploreClause:
        return syntax.ExploreClause(_nodes(children, syntax.Share), _span(children))

    def share(self, children: list[Any]) -> syntax.Share:
        return syntax.Share(_amount(children[0]), len(children) > 1, _span(children))

    def pin(self, children: list[Any]) -> syntax.PinClause:
        return syntax.PinClause(_word(children[1]), _amount(children[2]), _span(children))

    def set(self, children: list[Any]) -> syntax.SetClause:
        _, parameter, (rule, value) = children
        return syntax.SetClause(_word(parameter), rule, value, token_span(children[0]).to(value.span))

    def exactly(self, children: list[Any]) -> tuple[str, syntax.Amount]:
        return "set", _signed(children)

    def at_least(self, children: list[Any]) -> tuple[str, syntax.Amount]:
        return "at_least", _signed(children[2:])

    def at_most(self, children: list[Any]) -> tuple[str, syntax.Amount]:
        return "at_most", _signed(children[2:])

    def worded(self, children: list[Any]) -> tuple[str, syntax.Word]:
        return "set", _word(children[0])

    def derived(self, children: list[Any]) -> tuple[str, syntax.Word]:
        return "by", _word(children[1])

    def on(self, children: list[Any]) -> syntax.OnClause:
        outcomes = tuple(_word(child) for child in children if getattr(child, "type", "") in ("NAME", "TIMEOUT"))
        return syntax.OnClause(outcomes, _nodes(children, syntax.Step), _span(children))

    def step(self, children: list[Any]) -> syntax.Step:
        amounts = [_amount(child) for child in children if child.type == "NUMBER"]
        count, backoff = [*amounts, None, None][:2]
        breaker = children[-1].type == "BREAKER"
        return syntax.Step(_word(children[0]), count, backoff, breaker, _span(children))

    def timeout(self, children: list[Any]) -> syntax.TimeoutClause:
        return syntax.TimeoutClause(_amount(children[1]), _span(children))

    def stream(self, children: list[Any]) -> syntax.StreamClause:
        return syntax.StreamClause(_word(children[1]), _span(children))

    def batch(self, children: list[Any]) -> syntax.BatchClause:
        return syntax.BatchClause(_word(children[1]), _span(children))

    def fallback(self, children: list[Any]) -> syntax.Fallback:
        return syntax.Fallback(_words(children), _span(children))

    def baseline(self, children: list[Any]) -> syntax.Baseline:
        return syntax.Baseline(_word(children[1]), _span(children))

    def budget(self, children: list[Any]) -> syntax.BudgetRule:
        parts = _by_keyword(children)
        name = children[2] if getattr(children[2], "type", "") in ("NAME", "STRING") else None
        warn, degrade = next((child for child in children if isinstance(child, tuple)), (None, None))
        return syntax.BudgetRule(
            scope=_word(children[1]),
            name=None if name is None else _word(name),
            limit=next(child for child in children if isinstance(child, syntax.Amount)),
            warn=warn,
            degrade=degrade,
            at_limit=_optional(parts.get("limit")),
            unreachable=_optional(parts.get("unreachable")),
            span=_span(children),
        )

    def limit(self, children: list[Any]) -> syntax.Amount:
        return _amount(children[0])

    def warn(self, children: list[Any]) -> tuple[syntax.Amount, syntax.Word | None]:
        return _amount(children[1]), _word(children[4]) if len(children) > 2 else None

    def canary(self, children: list[Any]) -> syntax.Canary:
        parts = _by_keyword(children)
        metric, drop = children[-1] if isinstance(children[-1], tuple) else (None, None)
        span = token_span(children[0]).to(_word(parts["until"]).span if drop is None else drop.span)
        unit, until = _optional(parts.get("by")), _word(parts["until"])
        return syntax.Canary(_word(children[1]), _amount(children[2]), unit, until, metric, drop, span)

    def stop(self, children: list[Any]) -> tuple[syntax.Word, syntax.Amount]:
        return _word(children[2]), _amount(children[4])

    def guard(self, children: list[Any]) -> syntax.GuardRule:
        return syntax.GuardRule(tuple(children[2:-1]), _span(children))

    def bound_canary(self, children: list[Any]) -> syntax.BoundCanary:
        return syntax.BoundCanary(_amount(children[3]), _span(children))

    def bound_parameters(self, children: list[Any]) -> syntax.BoundParameters:
        return syntax.BoundParameters(_words(children), _span(children))

    def bound_cost(self, children: list[Any]) -> syntax.BoundCost:
        return syntax.BoundCost(_amount(children[3]), _span(children))

    def assertion(self, children: list[Any]) -> syntax.AssertRule:
        _, reason, quantifier, claim, *rest = children
        parts = _after_keywords(rest)
        when, unless = parts.get("when"), parts.get("unless")
        return syntax.AssertRule(_word(reason), _word(quantifier), claim, when, unless, _span(children))

    def statistics(self, children: list[Any]) -> syntax.Statistics:
        return syntax.Statistics(_word(children[1]), _nodes(children, syntax.Evidence), _span(children))

    def evidence(self, children: list[Any]) -> syntax.Evidence:
        return syntax.Evidence(
            _word(children[0]), _word(children[2]), _nodes(children, syntax.Measure), _span(children)
        )

    def measure(self, children: list[Any]) -> syntax.Measure:
        counted = children[0].type == "NUMBER"
        amount, name = children if counted else reversed(children)
        return syntax.Measure(_word(name), _amount(amount), counted, _span(children))

    def test(self, children: list[Any]) -> syntax.TestRule:
        return syntax.TestRule(_word(children[1]), children[3][1], children[4][1], _span(children))

    def given(self, children: list[Any]) -> tuple[str, tuple[syntax.Fact, ...]]:
        return "given", _nodes(children, syntax.Fact)

    def fact(self, children: list[Any]) -> syntax.Fact:
        if children[0].type == "STATISTICS":
            return syntax.Fact(_word(children[1]), None, _span(children))
        value = children[2] if len(children) > 1 else None
        return syntax.Fact(_word(children[0]), value, _span(children))

    def expect(self, children: list[Any]) -> tuple[str, tuple[syntax.Claim, ...]]:
        return "expect", _nodes(children, syntax.Claim)

    def claim(self, children: list[Any]) -> syntax.Claim:
        values = tuple(child for child in children[2:] if not hasattr(child, "type"))
        return syntax.Claim(_word(children[0]), str(children[1]), values, _span(children))

    def either(self, children: list[Any]) -> syntax.Either:
        return syntax.Either(tuple(children[::2]), _span(children))

    def both(self, children: list[Any]) -> syntax.Both:
        return syntax.Both(tuple(children[::2]), _span(children))

    def negated(self, children: list[Any]) -> syntax.Negated:
        return syntax.Negated(children[1], _span(children))

    def group(self, children: list[Any]) -> Any:
        return children[1]

    def flag(self, children: list[Any]) -> syntax.FlagTest:
        return syntax.FlagTest(_word(children[0]), _span(children))

    def comparison(self, children: list[Any]) -> syntax.Comparison:
        field, relation, value = children
        return syntax.Comparison(_word(field), str(relation), value, _span(children))

    def membership(self, children: list[Any]) -> syntax.Membership:
        values = tuple(child for child in children[2:] if not hasattr(child, "type"))
        return syntax.Membership(_word(children[0]), values, _span(children))

    def value(self, children: list[Any]) -> syntax.Value:
        first = children[0]
        if len(children) > 1:
            return syntax.Scaled(_amount(first), _word(children[2]), _span(children))
        return _amount(first) if first.type in ("NUMBER", "MONEY") else _word(first)


def _term(children: list[Any]) -> syntax.Term:
    """`[order tokens, "within", NUMBER]`, the last two optional."""
    order, *within = children
    keyword, *rest = order
    words = [child for child in rest if getattr(child, "type", "") == "NAME"]
    money = [child for child in rest if getattr(child, "type", "") == "MONEY"]
    models = [child for child in rest if isinstance(child, list)]
    last = within[-1] if within else order[-1][-1] if models else order[-1]
    return syntax.Term(
        keyword.value,
        token_span(keyword).to(token_span(last)),
        subject=_word(words[0]) if words else None,
        value=_amount(money[0]) if money else None,
        models=_words(models[0]) if models else (),
        within=_amount(within[1]) if within else None,
    )


def _span(children: list[Any]) -> Span:
    first, last = _edge(children, 0), _edge(children, -1)
    return first if len(children) == 1 else first.to(last)


def _edge(children: list[Any], index: int) -> Span:
    child = children[index]
    if isinstance(child, list | tuple):
        return _edge([part for part in child if part is not None], index)
    return token_span(child) if hasattr(child, "type") else child.span


def _clauses(body: list[Any]) -> tuple[syntax.Clause, ...]:
    return tuple(body[1:-1])


def _after_keywords(children: list[Any]) -> dict[str, Any]:
    """The conditions by the keyword in front of each."""
    pairs = pairwise(children)
    return {str(word): child for word, child in pairs if hasattr(word, "type") and not hasattr(child, "type")}


def _nodes(children: list[Any], kind: type[_Node]) -> tuple[_Node, ...]:
    return tuple(child for child in children if isinstance(child, kind))


def _by_keyword(children: list[Any]) -> dict[str, Any]:
    """The token behind each token."""
    return {str(word): child for word, child in pairwise(children) if hasattr(word, "type") and hasattr(child, "type")}


def _optional(token: Any) -> syntax.Word | None:
    return None if token is None else _word(token)


def _signed(tokens: list[Any]) -> syntax.Amount:
    amount = _amount(tokens[-1])
    if len(tokens) == 1:
        return amount
    return replace(
        amount, digits="-" + amount.digits, text="-" + amount.text, span=token_span(tokens[0]).to(amount.span)
    )


def _words(children: list[Any]) -> tuple[syntax.Word, ...]:
    return tuple(_word(child) for child in children if getattr(child, "type", "") in ("NAME", "STRING"))


def _word(token: Any) -> syntax.Word:
    if token.type == "STRING":
        return syntax.Word(str(token)[1:-1], token_span(token), quoted=True)
    return syntax.Word(str(token), token_span(token))


def _amount(token: Any) -> syntax.Amount:
    match = _AMOUNT.fullmatch(str(token))
    assert match is not None, "INVARIANT: the terminals NUMBER and MONEY are written so that this matches"
    dollar, digits, unit = match.groups()
    return syntax.Amount(digits.replace("_", ""), dollar + unit.strip(), str(token), token_span(token))
