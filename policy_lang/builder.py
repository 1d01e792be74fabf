"""Builds the syntax tree while the parser reduces: one method per grammar rule, each given all tokens of its rule.

Nothing recurses here, so depth of nesting costs no stack.
"""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Any

from policy_lang import syntax
from policy_lang.diagnostics import Span

__all__ = ["TreeBuilder", "token_span"]

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

    def tasks(self, children: list[Any]) -> syntax.Tasks:
        return syntax.Tasks(_words(children), _span(children))

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
        shares = tuple(child for child in children if isinstance(child, syntax.Share))
        return syntax.ExploreClause(shares, _span(children))

    def share(self, children: list[Any]) -> syntax.Share:
        return syntax.Share(_amount(children[0]), len(children) > 1, _span(children))

    def fallback(self, children: list[Any]) -> syntax.Fallback:
        return syntax.Fallback(_words(children), _span(children))

    def baseline(self, children: list[Any]) -> syntax.Baseline:
        return syntax.Baseline(_word(children[1]), _span(children))

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
    if isinstance(child, list):
        return _edge(child, index)
    return token_span(child) if hasattr(child, "type") else child.span


def _clauses(body: list[Any]) -> tuple[syntax.Clause, ...]:
    return tuple(body[1:-1])


def _after_keywords(children: list[Any]) -> dict[str, Any]:
    """The conditions by the keyword in front of each."""
    pairs = pairwise(children)
    return {str(word): child for word, child in pairs if hasattr(word, "type") and not hasattr(child, "type")}


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
