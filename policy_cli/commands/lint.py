"""`pointsman lint`: errors, proofs and style in one list; `--fix` mends what is safe."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from policy_cli.commands.check import format_option, tell
from policy_cli.exits import FINDINGS, ToolError
from policy_cli.sources import compile_file

if TYPE_CHECKING:
    from policy_lang.analysis.traffic import Traffic
    from policy_lang.compiler import Compilation
    from policy_lang.reporting.formats import Format

__all__ = ["lint"]


@click.command()
@click.argument("files", nargs=-1, required=True)
@click.option("--fix", is_flag=True, help="Mend what is safe to mend, in place; `-` prints the mended policy.")
@click.option("--daily", type=click.IntRange(1), help="Decisions a day: floors that so few can never prove are found.")
@click.option(
    "--histogram",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="How often which calls come, as `diff` reads it; goes with --daily.",
)
@format_option
def lint(files: tuple[str, ...], fix: bool, daily: int | None, histogram: Path | None, form: Format) -> None:
    """Report what is wrong, idle, unprovable or roundabout in policy FILES.

    Exits with 1 if there is a finding. --fix removes what has no effect, corrects slips that can only have meant one
    thing, and lays the file out; it applies nothing that would bring an error.
    """
    from policy_lang.catalog import default_catalog
    from policy_lang.lint import lint as findings_of
    from policy_lang.reporting.formats import Findings

    compiled = [compile_file(name) for name in files]
    if fix:
        compiled = [_mended(name, compilation) for name, compilation in zip(files, compiled, strict=True)]
    found = [
        Findings(c.filename, c.text, findings_of(c, default_catalog(), _traffic(c, daily, histogram))) for c in compiled
    ]
    if files != ("-",) or not fix:
        tell(found, form, "lint")
    if any(finding.severity != "note" for file in found for finding in file.diagnostics):
        sys.exit(FINDINGS)


def _traffic(compilation: Compilation, daily: int | None, histogram: Path | None) -> Traffic | None:
    from policy_cli.traffic import read_histogram
    from policy_lang.analysis.traffic import Traffic, traffic_from_histogram

    if histogram is None or compilation.policy is None:
        return None if daily is None else Traffic(daily=daily)
    try:
        return traffic_from_histogram(read_histogram(histogram), compilation.policy.tasks, daily)
    except ValueError as problem:
        raise ToolError(f"`{histogram}`: {problem}") from None


def _mended(name: str, compilation: Compilation) -> Compilation:
    from policy_lang.catalog import default_catalog
    from policy_lang.compiler import compile_policy
    from policy_lang.lint import mended

    after = mended(compilation, default_catalog())
    if not after.applied and name != "-":
        return compilation
    if name == "-":
        click.echo(after.text, nl=False)
    else:
        try:
            Path(name).write_bytes(after.text.encode())
        except OSError as problem:
            raise ToolError(f"cannot write `{name}`: {problem.strerror}") from None
    for finding in after.applied:
        click.echo(f"mended {finding.code}: {finding.message}", err=True)
    return compile_policy(after.text, default_catalog(), compilation.filename)
