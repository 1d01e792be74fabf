"""Diagnostics are data: a stable code, a span, a message, a help line and a replacement; one renderer per format.

Style: lower case, no full stop, the user's text in backticks, the language's words. Codes by hundred: P0 text, P1
syntax, P2 statements, P3 names and types, P4 numbers and clauses, P5 proofs, P6 warnings.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any, Literal

from policy_lang.frozen import frozen

__all__ = ["NOWHERE", "Diagnostic", "Severity", "Span", "Style", "did_you_mean", "error", "render", "warning"]

Severity = Literal["error", "warning", "note"]
Style = Literal["full", "concise", "json"]
_MAX_SHOWN = 100
_LONGEST_LINE = 160


@dataclass(frozen=True, slots=True, order=True)
class Span:
    """Characters `start` up to `end` of the source (from 0); `line` and `column` of `start`, both from 1."""

    start: int
    end: int
    line: int
    column: int

    def to(self, last: Span) -> Span:
        """From the start of this span to the end of `last`."""
        return Span(self.start, last.end, self.line, self.column)


NOWHERE = Span(0, 0, 1, 1)


@frozen
class Diagnostic:
    """One finding. `suggestion` is text that could stand in place of the span."""

    code: str
    severity: Severity
    span: Span
    message: str
    help: str | None = None
    suggestion: str | None = None


def error(code: str, span: Span, message: str, advice: str | None = None, suggestion: str | None = None) -> Diagnostic:
    """A finding that keeps the policy from compiling."""
    return Diagnostic(code, "error", span, message, advice, suggestion)


def warning(code: str, span: Span, message: str, advice: str | None = None) -> Diagnostic:
    """A finding that does not."""
    return Diagnostic(code, "warning", span, message, advice)


@lru_cache(maxsize=512)
def did_you_mean(word: str, options: frozenset[str]) -> str | None:
    """The option nearest to `word`, or None where none is near."""
    from difflib import get_close_matches

    near = {option.lower(): option for option in sorted(options) if abs(len(option) - len(word)) <= 4}
    found = get_close_matches(word[:_LONGEST_LINE].lower(), near, n=1, cutoff=0.6)
    return near[found[0]] if found else None


def render(diagnostics: Iterable[Diagnostic], source: str, filename: str = "<policy>", style: Style = "full") -> str:
    """All `diagnostics` as text, in their order, each ending in a newline (json: one object a line)."""
    lines = source.split("\n")
    one: Callable[[Diagnostic, list[str], str], str] = {"full": _full, "concise": _concise, "json": _json}[style]
    listed = list(diagnostics)
    shown = "".join(one(diagnostic, lines, filename) for diagnostic in listed[:_MAX_SHOWN])
    hidden = len(listed) - _MAX_SHOWN
    return shown + (f"and {hidden} more\n" if hidden > 0 and style != "json" else "")


def as_document(diagnostic: Diagnostic, filename: str) -> dict[str, Any]:
    """A diagnostic as JSON values."""
    return {"file": filename, **asdict(diagnostic)}


def _full(diagnostic: Diagnostic, lines: list[str], filename: str) -> str:
    span = diagnostic.span
    text, column = _excerpt(lines[span.line - 1].rstrip("\r") if span.line <= len(lines) else "", span.column)
    width = max(1, min(span.end - span.start, len(text) - column + 1))
    gutter = " " * len(str(span.line))
    rows = [
        f"{diagnostic.severity} {diagnostic.code}: {diagnostic.message}",
        f"{gutter}--> {filename}:{span.line}:{span.column}",
        f"{gutter} |",
        f"{span.line} | {text}".rstrip(),
        f"{gutter} | {' ' * (column - 1)}{'^' * width}",
    ]
    rows += [f"{gutter} = {note}" for note in _notes(diagnostic)]
    return "\n".join(rows) + "\n"


def _excerpt(text: str, column: int) -> tuple[str, int]:
    # One column per character: what a terminal would not print as one column is shown as a replacement.
    start = max(0, column - _LONGEST_LINE // 2) if len(text) > _LONGEST_LINE else 0
    shown = text[start : start + _LONGEST_LINE]
    return "".join(c if c.isprintable() else " " if c == "\t" else "\ufffd" for c in shown), column - start


def _concise(diagnostic: Diagnostic, _lines: list[str], filename: str) -> str:
    span = diagnostic.span
    notes = "".join(f"; {note}" for note in _notes(diagnostic))
    return f"{filename}:{span.line}:{span.column}: {diagnostic.code} {diagnostic.message}{notes}\n"


def _json(diagnostic: Diagnostic, _lines: list[str], filename: str) -> str:
    import json

    return json.dumps(as_document(diagnostic, filename), sort_keys=True) + "\n"


def _notes(diagnostic: Diagnostic) -> list[str]:
    notes = [f"help: {diagnostic.help}"] if diagnostic.help else []
    return notes + ([f"did you mean `{diagnostic.suggestion}`?"] if diagnostic.suggestion else [])
