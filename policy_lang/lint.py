"""Everything that can be said about a policy: what compiling finds, what is proved, what could be said straighter.

`mended` applies the fixes that are safe: they remove what has no effect, say the same otherwise, or correct a slip
that can only have meant one thing.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

from policy_lang.analysis.analyse import analyse
from policy_lang.analysis.findings import Finding
from policy_lang.analysis.traffic import Traffic
from policy_lang.catalog import Catalog
from policy_lang.checking.style import Edit, Fix, Subject, removal, style
from policy_lang.compiler import Compilation, compile_policy
from policy_lang.diagnostics import NOWHERE, Diagnostic, Span
from policy_lang.frozen import frozen
from policy_lang.text import syntax
from policy_lang.text.parser import parse

__all__ = ["Mended", "lint", "located", "mended"]

_MOST_ROUNDS = 25
#: Slips of the pen whose suggestion is the only thing they can have meant.
_CERTAIN = frozenset(("P004", "P102"))
_NAMING = frozenset(("P101", "P301", "P303", "P307", "P308", "P405"))
_LEAST_LETTERS = 4
#: The text at hand is then not the file's.
_UNREADABLE = frozenset(("P001", "P002", "P003"))


@frozen
class Mended:
    """A text after its safe fixes, and the findings that went with them."""

    text: str
    applied: tuple[Diagnostic, ...]


def lint(compilation: Compilation, catalog: Catalog, traffic: Traffic | None = None) -> tuple[Diagnostic, ...]:
    """All findings, in the order of the file; `traffic` adds what depends on how often which calls come."""
    return tuple(fix.finding for fix in _findings(compilation, catalog, traffic))


def mended(compilation: Compilation, catalog: Catalog) -> Mended:
    """Apply safe fixes until none is left. What would bring an error that was not there is left to its author."""
    applied: list[Diagnostic] = []
    left: set[tuple[str, str]] = set()
    if any(finding.code in _UNREADABLE for finding in compilation.diagnostics):
        return Mended(compilation.text, ())
    for _ in range(_MOST_ROUNDS):
        fixes = _apart(fix for fix in _findings(compilation, catalog, None) if _name_of(fix) not in left)
        if not fixes:
            break
        # What a slip of the pen kept from being read may have errors of its own; only their number counts then.
        certain = [fix for fix in fixes if fix.finding.code in _CERTAIN]
        fixes, worse = (certain, _more_errors) if certain else (fixes, _new_errors)
        after = _fixed(compilation, fixes, catalog)
        while worse(compilation, after) and len(fixes) > 1:
            fixes = fixes[: len(fixes) // 2]
            after = _fixed(compilation, fixes, catalog)
        if worse(compilation, after):
            left.add(_name_of(fixes[0]))
            continue
        applied += [fix.finding for fix in fixes]
        compilation = after
    return Mended(compilation.text, tuple(applied))


def located(finding: Finding, places: dict[str, Span]) -> Diagnostic:
    """A proof's finding as a diagnostic, at the rule it is about."""
    span = places.get(finding.rule) or places.get(finding.rule.partition("/")[0]) or NOWHERE
    return Diagnostic(finding.code, finding.severity, span, finding.message, finding.help)


def _findings(compilation: Compilation, catalog: Catalog, traffic: Traffic | None) -> list[Fix]:
    statements = parse(compilation.text).statements
    idle = _idle(compilation.text, statements) if compilation.ok else {}
    found = [_mending(finding, compilation.text, idle) for finding in compilation.diagnostics]
    if compilation.policy is not None:
        places = _places(statements, catalog)
        known = {(fix.finding.code, fix.finding.message) for fix in found}
        proved = [located(item, places) for item in analyse(compilation.policy, catalog, traffic).findings]
        found += [Fix(finding, None) for finding in proved if (finding.code, finding.message) not in known]
        found += style(Subject(compilation.text, statements, compilation.policy))
    return sorted(found, key=lambda fix: (fix.finding.span, fix.finding.code))


def _fixed(compilation: Compilation, fixes: Iterable[Fix], catalog: Catalog) -> Compilation:
    text = _edited(compilation.text, [fix.edit for fix in fixes if fix.edit])
    return compile_policy(text, catalog, compilation.filename)


def _new_errors(before: Compilation, after: Compilation) -> bool:
    """Whether `after` has an error that `before` did not, by code and message: where they stand may have moved."""
    return bool(_errors(after) - _errors(before))


def _more_errors(before: Compilation, after: Compilation) -> bool:
    return _errors(after).total() > _errors(before).total()


def _errors(compilation: Compilation) -> Counter[tuple[str, str]]:
    return Counter((found.code, found.message) for found in compilation.diagnostics if found.severity == "error")


def _name_of(fix: Fix) -> tuple[str, str]:
    return fix.finding.code, fix.finding.message


def _idle(text: str, statements: Iterable[syntax.Statement]) -> dict[tuple[str, Span], Edit | None]:
    """What takes a statement out that has no effect; only sure where nothing is misspelt."""
    return {
        (code, statement.name.span): removal(text, statement.span)
        for statement in statements
        for code, kind in (("P601", syntax.TierRule), ("P607", syntax.Statistics))
        if isinstance(statement, kind)
    }


def _mending(finding: Diagnostic, text: str, idle: Mapping[tuple[str, Span], Edit | None]) -> Fix:
    span = finding.span
    if finding.suggestion is not None and _meant(text[span.start : span.end], finding):
        return Fix(finding, Edit(span.start, span.end, finding.suggestion))
    return Fix(finding, idle.get((finding.code, span)))


def _meant(written: str, finding: Diagnostic) -> bool:
    """Whether the suggestion can only be what was meant: one letter off in a word of some length, digits untouched."""
    meant = finding.suggestion or ""
    if finding.code in _CERTAIN:
        return True
    if finding.code not in _NAMING or len(meant) < _LEAST_LETTERS:
        return False
    digits = re.compile(r"[^0-9]+")
    return digits.sub(" ", written).split() == digits.sub(" ", meant).split() and _one_off(written, meant)


def _one_off(left: str, right: str) -> bool:
    """One letter too many, missing, wrong, or two neighbours swapped."""
    short, long = sorted((left, right), key=len)
    if len(long) - len(short) > 1:
        return False
    start = next((at for at, (a, b) in enumerate(zip(short, long, strict=False)) if a != b), len(short))
    if len(short) < len(long):
        return short[start:] == long[start + 1 :]
    swapped = short[start : start + 2] == long[start : start + 2][::-1] and short[start + 2 :] == long[start + 2 :]
    return short[start + 1 :] == long[start + 1 :] or swapped


def _apart(fixes: Iterable[Fix]) -> list[Fix]:
    """Fixes whose edits do not touch each other; the layout of the whole file is for when nothing else is left."""
    able = [fix for fix in fixes if fix.edit is not None]
    chosen: list[Fix] = []
    for fix in [fix for fix in able if fix.finding.code != "P701"] or able:
        if fix.edit and all(fix.edit.start >= o.edit.end or fix.edit.end <= o.edit.start for o in chosen if o.edit):
            chosen.append(fix)
    return chosen


def _edited(text: str, edits: list[Edit]) -> str:
    for edit in sorted(edits, key=lambda edit: edit.start, reverse=True):
        text = text[: edit.start] + edit.text + text[edit.end :]
    return text


def _places(statements: Iterable[syntax.Statement], catalog: Catalog) -> dict[str, Span]:
    """Where a proof's rules stand, under the names that findings give them; the first of several."""
    found: dict[str, Span] = {}
    for name, span in _named(statements):
        found.setdefault(name, span)
        if name.startswith("model:"):
            found.setdefault(f"model:{catalog.resolve(name.removeprefix('model:'))}", span)
    return found


def _named(statements: Iterable[syntax.Statement]) -> Iterator[tuple[str, Span]]:
    for statement in statements:
        match statement:
            case syntax.ForbidRule() | syntax.RequireRule():
                yield statement.reason.text, statement.reason.span
            case syntax.RouteRule():
                yield f"route:{statement.name.text}", statement.name.span
            case syntax.TierRule():
                yield f"tier:{statement.name.text}", statement.name.span
                yield from ((f"model:{model.text}", model.span) for model in statement.models)
            case syntax.AssertRule():
                yield f"assert:{statement.reason.text}", statement.reason.span
            case syntax.BudgetRule():
                name = f":{statement.name.text}" if statement.name else ""
                yield f"budget:{statement.scope.text}{name}", statement.span
            case syntax.Canary():
                yield f"canary:{statement.policy.text}", statement.policy.span
            case syntax.Fallback():
                yield "fallback", statement.span
                yield from ((f"model:{model.text}", model.span) for model in statement.models)
            case syntax.GuardRule():
                yield "guard", statement.span
            case _:
                continue
