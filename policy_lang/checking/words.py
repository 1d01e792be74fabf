"""What the rule modules share: one clause kind over all routes, a word out of a few, a conversion that may fail."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeVar

from policy_lang.diagnostics import Diagnostic, did_you_mean, error
from policy_lang.text import syntax
from policy_lang.text.outline import Outline

__all__ = ["known_tier", "listed", "one_of", "own_clauses", "reported", "unknown_word"]

_Kind = TypeVar("_Kind", bound=syntax.Clause)


def own_clauses(outline: Outline, kind: type[_Kind]) -> Iterator[tuple[syntax.RouteRule, _Kind]]:
    """Each clause of a kind with its route."""
    for route in outline.all_routes:
        for clause in route.clauses:
            if isinstance(clause, kind):
                yield route, clause


def one_of(word: syntax.Word, what: str, known: Iterable[str]) -> Iterator[Diagnostic]:
    """A finding unless `word` is `known`; `what` begins the sentence that lists them."""
    accepted = tuple(known)
    if word.text not in accepted:
        yield unknown_word(word, what, accepted)


def unknown_word(word: syntax.Word, what: str, known: Iterable[str]) -> Diagnostic:
    """P405: only `known` words fit here."""
    accepted = tuple(known)
    near = did_you_mean(word.text, frozenset(accepted))
    return error("P405", word.span, f"{what} {listed(accepted)}, not `{word.text[:60]}`", None, near)


def known_tier(word: syntax.Word, outline: Outline) -> Iterator[Diagnostic]:
    """P307 unless a tier of this name is declared, or may stand where the file cannot be read."""
    names = outline.tier_names
    if word.text not in names and outline.whole:
        near = did_you_mean(word.text, names)
        known = f"tiers are {', '.join(sorted(names)[:24]) or 'declared with `tier name = […]`'}"
        yield error("P307", word.span, f"unknown tier `{word.text}`", None if near else known, near)


def listed(words: Iterable[str]) -> str:
    """Each in backticks, the last after `or`."""
    *most, last = (f"`{word}`" for word in words)
    return f"{', '.join(most)} or {last}" if most else last


def reported(value: object) -> Iterator[Diagnostic]:
    """The finding, where a conversion gave one instead of a value."""
    if isinstance(value, Diagnostic):
        yield value
