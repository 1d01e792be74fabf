"""`pointsman check`: every finding of every file at once."""

from __future__ import annotations

import sys
from typing import Literal

import click

from policy_cli.console import say
from policy_cli.exits import FINDINGS
from policy_cli.sources import compile_file

__all__ = ["check"]


@click.command()
@click.argument("files", nargs=-1, required=True)
@click.option("--format", "style", type=click.Choice(["full", "concise", "json"]), default="full", show_default=True)
def check(files: tuple[str, ...], style: Literal["full", "concise", "json"]) -> None:
    """Report every finding in policy FILES (`-` reads standard input).

    Exits with 1 if a file has an error; warnings alone leave 0. `--format json` prints one object per finding.
    """
    compiled = [compile_file(name) for name in files]
    for compilation in compiled:
        if findings := compilation.render(style).rstrip("\n"):
            say(findings)
    if style != "json":
        _summarise([d.severity for compilation in compiled for d in compilation.diagnostics], len(files))
    if not all(compilation.ok for compilation in compiled):
        sys.exit(FINDINGS)


def _summarise(severities: list[str], files: int) -> None:
    counted = ((severities.count(kind), kind) for kind in ("error", "warning"))
    found = ", ".join(f"{n} {kind}{'s' if n > 1 else ''}" for n, kind in counted if n) or "no findings"
    click.echo(f"{found} in {files} file{'s' if files > 1 else ''}", err=True)
