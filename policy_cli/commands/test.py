"""`pointsman test`: the tests that policies carry, run against the real compiler and the real decision."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from policy_cli.console import say
from policy_cli.exits import FINDINGS, ToolError
from policy_cli.sources import compile_file
from policy_lang.frozen import frozen

if TYPE_CHECKING:
    from policy_cli.rehearsal import Rehearsed
    from policy_lang.analysis.testcoverage import Coverage
    from policy_lang.compiler import Compilation

__all__ = ["test_command"]

Form = Literal["text", "json", "github", "sarif", "junit"]
_LOOK_AGAIN = 0.3


@frozen
class _Run:
    """One file: its tests, none where it does not compile."""

    compilation: Compilation
    tests: tuple[Rehearsed, ...]
    coverage: Coverage | None = None

    @property
    def passed(self) -> bool:
        return self.compilation.ok and not any(test.failures for test in self.tests)


@click.command("test")
@click.argument("files", nargs=-1, required=True)
@click.option("--coverage", is_flag=True, help="Say which rules the tests exercise, in both outcomes.")
@click.option("--watch", is_flag=True, help="Run again whenever a file changes, until interrupted.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "json", "github", "sarif", "junit"]),
    default="text",
    show_default=True,
    help="text for people; json, github, sarif and junit for programs.",
)
def test_command(files: tuple[str, ...], coverage: bool, watch: bool, form: Form) -> None:
    """Run the `test` blocks of policy FILES.

    Exits with 1 if one fails or a file has an error, and with 2 if a file has no test.
    """
    if watch and "-" in files:
        raise click.UsageError("`--watch` needs files, standard input does not change")
    while watch:
        before = _stamps(files)
        try:
            _round(files, coverage, form)
        except ToolError as problem:  # an editor replaces a file in two steps, a test is yet to be written
            problem.show()
        click.echo("watching; Ctrl-C ends", err=True)
        while _stamps(files) == before:
            time.sleep(_LOOK_AGAIN)
    if not _round(files, coverage, form):
        sys.exit(FINDINGS)


def _round(files: Sequence[str], coverage: bool, form: Form) -> bool:
    runs = [_run(name, coverage) for name in files]
    untested = [run.compilation.filename for run in runs if run.compilation.ok and not run.tests]
    if untested:
        missing = 'write `test "labels go small" { given task = label  expect tier == small }`'
        raise ToolError(f"no test in {', '.join(f'`{name}`' for name in untested)}; {missing}")
    if form == "text":
        say(_text(runs))
    elif printed := _json(runs) if form == "json" else _junit(runs) if form == "junit" else _reported(runs, form):
        click.echo(printed)
    return all(run.passed for run in runs)


def _run(name: str, coverage: bool) -> _Run:
    from policy_cli.rehearsal import rehearse
    from policy_lang.catalog import default_catalog

    compilation = compile_file(name)
    if not compilation.ok:
        return _Run(compilation, ())
    tests = tuple(rehearse(compilation, default_catalog()))
    return _Run(compilation, tests, _covered(compilation) if coverage else None)


def _covered(compilation: Compilation) -> Coverage:
    from policy_lang.analysis.space import Call
    from policy_lang.analysis.testcoverage import coverage
    from policy_lang.catalog import default_catalog

    calls = [
        Call(test.envelope, test.org, test.team, test.product, tuple(sorted(test.attributes.items())))
        for test in compilation.tests
    ]
    assert compilation.policy is not None
    found = coverage(compilation.policy, default_catalog(), calls)
    if found is None:
        raise ToolError("coverage is not proved: gates and routes together name too many values")
    return found


def _text(runs: Sequence[_Run]) -> str:
    lines: list[str] = []
    for run in runs:
        if not run.compilation.ok:
            lines.append(run.compilation.render().rstrip("\n"))
        lines += [f"{'failed' if found.failures else 'passed'}  {found.test.name}" for found in run.tests]
        lines += [_rendered(run, found).rstrip("\n") for found in run.tests if found.failures]
        lines += _coverage_lines(run)
    every = [found for run in runs for found in run.tests]
    failed = sum(bool(found.failures) for found in every)
    broken = sum(not run.compilation.ok for run in runs)
    unread = f", {broken} file{'s' if broken > 1 else ''} with errors" if broken else ""
    return "\n".join([*lines, f"{len(every) - failed} passed, {failed} failed{unread}"])


def _rendered(run: _Run, found: Rehearsed) -> str:
    from policy_lang.diagnostics import render

    return render(found.failures, run.compilation.text, run.compilation.filename)


def _coverage_lines(run: _Run) -> list[str]:
    if run.coverage is None:
        return []
    from policy_lang.analysis.words import call_text

    lines = [f"coverage {float(run.coverage.share):.0%} of what rules can do"]
    for rule in run.coverage.rules:
        if rule.missing is None:
            continue
        does = ("takes a call", "takes none") if rule.rule.startswith("route:") else ("removes a model", "removes none")
        lacking = " nor where it ".join(
            text for text, seen in zip(does, (rule.fired, rule.spared), strict=True) if seen == "no"
        )
        line = run.compilation.lines.get(rule.rule)
        where = f" (line {line})" if line else ""
        lines.append(
            f"  {_rule_name(rule.rule)}{where}: no test where it {lacking}; try {call_text(rule.missing.given)}"
        )
    return lines


def _rule_name(rule: str) -> str:
    return f"route `{rule.removeprefix('route:')}`" if rule.startswith("route:") else f'"{rule}"'


def _json(runs: Sequence[_Run]) -> str:
    import json

    return json.dumps([_document(run) for run in runs])


def _document(run: _Run) -> dict[str, Any]:
    from policy_lang.diagnostics import as_document

    name = run.compilation.filename
    found: dict[str, Any] = {
        "file": name,
        "diagnostics": [as_document(finding, name) for finding in run.compilation.diagnostics],
        "tests": [
            {"name": row.test.name, "line": row.test.span.line, "passed": not row.failures}
            | {"failures": [as_document(failure, name) for failure in row.failures]}
            for row in run.tests
        ],
    }
    if run.coverage is not None:
        rows = [{"rule": rule.rule, "fired": rule.fired, "spared": rule.spared} for rule in run.coverage.rules]
        found["coverage"] = {"share": round(float(run.coverage.share), 4), "rules": rows}
    return found


def _reported(runs: Sequence[_Run], form: Literal["github", "sarif"]) -> str:
    """Failures as the findings of `check` are told, besides those of the compiler."""
    from policy_lang.reporting.formats import Findings, report

    files = [
        Findings(
            run.compilation.filename,
            run.compilation.text,
            (*run.compilation.diagnostics, *(failure for row in run.tests for failure in row.failures)),
        )
        for run in runs
    ]
    return report(files, form, "test").rstrip("\n")


def _junit(runs: Sequence[_Run]) -> str:
    from policy_lang.reporting.junit import Case, junit

    suites: dict[str, list[Case]] = {}
    for run in runs:
        cases = suites.setdefault(run.compilation.filename, [])
        if not run.compilation.ok:
            cases.append(Case("compile", "compiles", ("error", "does not compile", run.compilation.render())))
        for found in run.tests:
            message = "; ".join(failure.message for failure in found.failures)
            failure = ("P801", message, _rendered(run, found)) if found.failures else None
            cases.append(Case(run.compilation.policy.name if run.compilation.policy else "", found.test.name, failure))
    return junit("pointsman test", suites).rstrip("\n")


def _stamps(files: Sequence[str]) -> list[int | None]:
    return [Path(name).stat().st_mtime_ns if Path(name).exists() else None for name in files]
