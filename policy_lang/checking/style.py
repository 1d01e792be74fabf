"""What a policy says in a roundabout way, each finding with the edit that says it straight and means the same."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import fields, is_dataclass
from decimal import Decimal
from typing import Any

from policy_lang.diagnostics import Diagnostic, Span, warning
from policy_lang.frozen import frozen
from policy_lang.ir import Gate, Policy
from policy_lang.text import syntax

__all__ = ["STYLE", "Edit", "Fix", "Subject", "removal", "style"]

_OPPOSITE = {"==": "!=", "!=": "==", "<": ">=", ">=": "<", ">": "<=", "<=": ">"}
_TOKENS_PER_UNIT = {"$/tok": 1_000_000, "$/Ktok": 1_000}


@frozen
class Edit:
    """`text` instead of the characters of the source from `start` up to `end`."""

    start: int
    end: int
    text: str


@frozen
class Fix:
    """A finding and, where it is safe, what mends it."""

    finding: Diagnostic
    edit: Edit | None


@frozen
class Subject:
    """A policy without errors: its text, its tree, and what it means."""

    text: str
    statements: tuple[syntax.Statement, ...]
    policy: Policy

    def cut(self, span: Span) -> str:
        return self.text[span.start : span.end]


def style(subject: Subject) -> list[Fix]:
    """The findings of every rule, in the order of the file."""
    found = [fix for rule in STYLE for fix in rule(subject)]
    return sorted(found, key=lambda fix: (fix.finding.span, fix.finding.code))


def laid_out(subject: Subject) -> Iterator[Fix]:
    from policy_lang.text.formatter import format_policy

    text = format_policy(subject.text).text
    if text is None or text == subject.text:
        return
    pairs = zip(subject.text.splitlines(), [*text.splitlines(), ""], strict=False)
    line = next((number for number, (old, new) in enumerate(pairs) if old != new), 0)
    lines = subject.text.splitlines(keepends=True) or [""]
    start = sum(map(len, lines[:line]))
    span = Span(start, start + len(lines[line].rstrip("\r\n")), line + 1, 1)
    finding = warning("P701", span, "the file is not laid out from here on", "run `pointsman fmt`")
    yield Fix(finding, Edit(0, len(subject.text), text))


def negations(subject: Subject) -> Iterator[Fix]:
    doubled: set[Span] = set()
    for node in _nodes(subject.statements, syntax.Negated):
        inner = node.item
        if isinstance(inner, syntax.Negated):
            doubled.add(inner.span)
            edit = _without_two(subject, node.span)
            yield Fix(warning("P703", node.span, "two `not` mean nothing"), edit)
        elif isinstance(inner, syntax.Comparison) and node.span not in doubled:
            relation = _OPPOSITE[inner.relation]
            straight = f"{subject.cut(inner.field.span)} {relation} {subject.cut(inner.value.span)}"
            edit = _unwrapped(subject, node.span, inner.span, straight)
            yield Fix(warning("P702", node.span, f"this is `{straight}`"), edit)


def lists_of_one(subject: Subject) -> Iterator[Fix]:
    for node in _nodes(subject.statements, syntax.Membership):
        if len(node.values) == 1:
            straight = f"{subject.cut(node.field.span)} == {subject.cut(node.values[0].span)}"
            yield _fix(subject, "P704", node.span, f"this is `{straight}`", straight)


def fractions(subject: Subject) -> Iterator[Fix]:
    for amount in _shares(subject.statements):
        if amount.unit == "" and "." in amount.digits:
            straight = f"{(Decimal(amount.digits) * 100).normalize():f}%"
            yield _fix(subject, "P705", amount.span, f"a share is easier to read as `{straight}`", straight)


def price_units(subject: Subject) -> Iterator[Fix]:
    for amount in _nodes(subject.statements, syntax.Amount):
        if amount.unit in _TOKENS_PER_UNIT:
            dollars = (Decimal(amount.digits) * _TOKENS_PER_UNIT[amount.unit]).normalize()
            straight = f"${dollars:f}/Mtok"
            yield _fix(subject, "P706", amount.span, f"prices are listed per million tokens: `{straight}`", straight)


def repeated_gates(subject: Subject) -> Iterator[Fix]:
    gates: dict[str, Gate] = {gate.reason: gate for gate in subject.policy.gates}
    first: dict[Any, str] = {}
    for rule in subject.statements:
        if isinstance(rule, (syntax.ForbidRule, syntax.RequireRule)):
            earlier = first.setdefault(gates[rule.reason.text].violation, rule.reason.text)
            if earlier != rule.reason.text:
                finding = warning(
                    "P707", rule.reason.span, f'this gate says the same as "{earlier}"', "keep one of them"
                )
                yield Fix(finding, removal(subject.text, rule.span))


STYLE: tuple[Callable[[Subject], Iterator[Fix]], ...] = (
    laid_out,
    negations,
    lists_of_one,
    fractions,
    price_units,
    repeated_gates,
)


def removal(text: str, span: Span) -> Edit | None:
    """Takes a statement out, and its line where nothing else stands there; None where a comment would go with it."""
    if "#" in text[span.start : span.end]:
        return None
    start = text.rfind("\n", 0, span.start) + 1
    end = text.find("\n", span.end) + 1 or len(text)
    alone = not (text[start : span.start] + text[span.end : end]).strip()
    return Edit(start, end, "") if alone else Edit(span.start, span.end, "")


def _fix(subject: Subject, code: str, span: Span, message: str, straight: str | None) -> Fix:
    safe = straight is not None and "#" not in subject.cut(span)
    return Fix(warning(code, span, message), Edit(span.start, span.end, straight or "") if safe else None)


def _without_two(subject: Subject, span: Span) -> Edit | None:
    found = re.compile(r"not\s+not\s*").match(subject.text, span.start)
    return Edit(span.start, found.end(), "") if found else None


def _unwrapped(subject: Subject, outer: Span, inner: Span, straight: str) -> Edit | None:
    """`straight` for `not` and what it negates, brackets around that included."""
    gap = subject.text[outer.start : inner.start]
    closing = re.compile(rf"(?:\s*\)){{{gap.count('(')}}}").match(subject.text, inner.end)
    if closing is None or "#" in subject.text[outer.start : closing.end()]:
        return None
    return Edit(outer.start, closing.end(), straight)


def _shares(statements: tuple[syntax.Statement, ...]) -> Iterator[syntax.Amount]:
    for floor in _nodes(statements, syntax.FloorClause):
        yield floor.at_least
        if floor.proven:
            yield floor.proven
    yield from (share.amount for share in _nodes(statements, syntax.Share))
    yield from (check.limit for check in _nodes(statements, syntax.Check) if check.limit)


def _nodes(node: Any, kind: type[Any]) -> Iterator[Any]:
    """Every node of a kind, in the order of the tree; depth is bounded by the language."""
    if isinstance(node, kind):
        yield node
    if isinstance(node, tuple):
        for item in node:
            yield from _nodes(item, kind)
    elif is_dataclass(node) and not isinstance(node, Span):
        for part in fields(node):
            yield from _nodes(getattr(node, part.name), kind)
