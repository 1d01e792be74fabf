"""Findings of several files as one report: for people, for programs, for GitHub, for SARIF and JUnit readers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Literal, get_args

from policy_lang.diagnostics import Diagnostic, Span, render
from policy_lang.frozen import frozen

if TYPE_CHECKING:
    from policy_lang.reporting.junit import Case

__all__ = ["FORMATS", "Findings", "Format", "report"]

Format = Literal["full", "concise", "json", "github", "sarif", "junit"]
FORMATS: tuple[Format, ...] = get_args(Format)
_GITHUB_ESCAPES = {"%": "%25", "\r": "%0D", "\n": "%0A"}
_GITHUB_PROPERTY_ESCAPES = _GITHUB_ESCAPES | {":": "%3A", ",": "%2C"}


@frozen
class Findings:
    """The findings of one file and its text."""

    filename: str
    text: str
    diagnostics: tuple[Diagnostic, ...]


def report(files: Sequence[Findings], form: Format, tool: str = "check") -> str:
    """All findings; without any, an empty text except for sarif and junit, which are whole documents.

    full and concise are for people, json is an object a line, github a workflow command a line. `tool` is the command
    that found them.
    """
    match form:
        case "sarif":
            import json

            return json.dumps(_sarif(files), indent=2) + "\n"
        case "junit":
            from policy_lang.reporting.junit import junit

            return junit(f"pointsman {tool}", {found.filename: _cases(found, tool) for found in files})
        case "github":
            return "".join(_github(diagnostic, found) for found in files for diagnostic in found.diagnostics)
        case _:
            return "".join(render(found.diagnostics, found.text, found.filename, form) for found in files)


def _github(diagnostic: Diagnostic, found: Findings) -> str:
    end_line, end_column = _end(diagnostic.span, found.text)
    properties: dict[str, str | int] = {
        "title": f"pointsman ({diagnostic.code})",
        "file": found.filename,
        "line": diagnostic.span.line,
        "col": diagnostic.span.column,
        "endLine": end_line,
        "endColumn": end_column,
    }
    listed = ",".join(f"{name}={_escaped(value, _GITHUB_PROPERTY_ESCAPES)}" for name, value in properties.items())
    level = {"error": "error", "warning": "warning"}.get(diagnostic.severity, "notice")
    return f"::{level} {listed}::{_escaped(_sentence(diagnostic), _GITHUB_ESCAPES)}\n"


def _escaped(value: str | int, escapes: dict[str, str]) -> str:
    return "".join(escapes.get(char, char) for char in str(value))


def _sarif(files: Sequence[Findings]) -> dict[str, Any]:
    """SARIF 2.1.0, one run; rules are the codes that were found, with their pages."""
    from policy_lang.reporting.codes import PAGES

    codes = sorted({diagnostic.code for found in files for diagnostic in found.diagnostics})
    driver = {
        "name": "Pointsman",
        "rules": [_sarif_rule(code, PAGES.get(code, code)) for code in codes],
    }
    results = [_sarif_result(diagnostic, found, codes) for found in files for diagnostic in found.diagnostics]
    run = {"tool": {"driver": driver}, "columnKind": "unicodeCodePoints", "results": results}
    return {"$schema": "https://json.schemastore.org/sarif-2.1.0.json", "version": "2.1.0", "runs": [run]}


def _sarif_rule(code: str, page: str) -> dict[str, Any]:
    title, _, body = page.partition("\n")
    return {
        "id": code,
        "shortDescription": {"text": title.removeprefix(code).strip() or code},
        "help": {"text": body.strip() or title},
    }


def _sarif_result(diagnostic: Diagnostic, found: Findings, codes: list[str]) -> dict[str, Any]:
    from urllib.parse import quote

    artifact = {"uri": quote(found.filename)}
    region = _sarif_region(diagnostic.span, found.text)
    result: dict[str, Any] = {
        "ruleId": diagnostic.code,
        "ruleIndex": codes.index(diagnostic.code),
        "level": diagnostic.severity,
        "message": {"text": _sentence(diagnostic)},
        "locations": [{"physicalLocation": {"artifactLocation": artifact, "region": region}}],
    }
    if diagnostic.suggestion is not None:
        replacement = {"deletedRegion": region, "insertedContent": {"text": diagnostic.suggestion}}
        change = {"artifactLocation": artifact, "replacements": [replacement]}
        result["fixes"] = [
            {"description": {"text": f"write `{diagnostic.suggestion}`"}, "artifactChanges": [change]},
        ]
    return result


def _sarif_region(span: Span, text: str) -> dict[str, int]:
    end_line, end_column = _end(span, text)
    return {"startLine": span.line, "startColumn": span.column, "endLine": end_line, "endColumn": end_column}


def _end(span: Span, text: str) -> tuple[int, int]:
    """Line and column, from 1, behind the last character of a span."""
    inside = text[span.start : span.end]
    breaks = inside.count("\n")
    column = len(inside) - inside.rfind("\n") if breaks else span.column + span.end - span.start
    return span.line + breaks, column


def _cases(found: Findings, tool: str) -> Iterable[Case]:
    """One case a finding; a warning passes and is printed, a file without findings is one case that passes."""
    from policy_lang.reporting.junit import Case

    for diagnostic in found.diagnostics:
        text = render((diagnostic,), found.text, found.filename)
        name = f"{diagnostic.code} at {diagnostic.span.line}:{diagnostic.span.column}"
        failed = diagnostic.severity == "error"
        yield Case(tool, name, failure=(diagnostic.code, diagnostic.message, text) if failed else None, output=text)
    if not found.diagnostics:
        yield Case(tool, "no findings")


def _sentence(diagnostic: Diagnostic) -> str:
    notes = [f"help: {diagnostic.help}"] if diagnostic.help else []
    notes += [f"did you mean `{diagnostic.suggestion}`?"] if diagnostic.suggestion else []
    return "; ".join([diagnostic.message, *notes])
