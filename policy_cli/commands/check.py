"""`pointsman check`: every finding of every file at once."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from policy_cli.console import say
from policy_cli.exits import FINDINGS
from policy_cli.sources import compile_file

if TYPE_CHECKING:
    from policy_lang.reporting.formats import Findings, Format

__all__ = ["check", "format_option", "tell"]

#: As `reporting.FORMATS`; spelt out so that `--help` imports nothing of the language.
_FORMATS = ("full", "concise", "json", "github", "sarif", "junit")
format_option = click.option(
    "--format",
    "form",
    type=click.Choice(_FORMATS),
    default="full",
    show_default=True,
    help="full and concise for people; json, github, sarif and junit for programs.",
)


@click.command()
@click.argument("files", nargs=-1, required=True)
@format_option
def check(files: tuple[str, ...], form: Format) -> None:
    """Report every finding in policy FILES (`-` reads standard input).

    Exits with 1 if a file has an error; warnings alone leave 0. `--format json` prints one object per finding.
    """
    from policy_lang.reporting.formats import Findings

    compiled = [compile_file(name) for name in files]
    tell([Findings(found.filename, found.text, found.diagnostics) for found in compiled], form, "check")
    if not all(compilation.ok for compilation in compiled):
        sys.exit(FINDINGS)


def tell(files: Sequence[Findings], form: Format, tool: str) -> None:
    """Print the findings, and for people how many there are."""
    from policy_lang.reporting.formats import report

    if found := report(files, form, tool).rstrip("\n"):
        say(found) if form in ("full", "concise") else click.echo(found)
    if form in ("full", "concise", "github"):
        _summarise([finding.severity for file in files for finding in file.diagnostics], len(files))


def _summarise(severities: list[str], files: int) -> None:
    counted = ((severities.count(kind), kind) for kind in ("error", "warning", "note"))
    found = ", ".join(f"{n} {kind}{'s' if n > 1 else ''}" for n, kind in counted if n) or "no findings"
    click.echo(f"{found} in {files} file{'s' if files > 1 else ''}", err=True)
