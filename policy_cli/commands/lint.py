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
    from policy_lang.compiler import Compilation
    from policy_lang.reporting import Format

__all__ = ["lint"]


@click.command()
@click.argument("files", nargs=-1, required=True)
@click.option("--fix", is_flag=True, help="Mend what is safe to mend, in place; `-` prints the mended policy.")
@format_option
def lint(files: tuple[str, ...], fix: bool, form: Format) -> None:
    """Report what is wrong, idle, unprovable or roundabout in policy FILES.

    Exits with 1 if there is a finding. --fix removes what has no effect, corrects slips that can only have meant one
    thing, and lays the file out; it never leaves more errors than there were.
    """
    from policy_lang.catalog import default_catalog
    from policy_lang.lint import lint as findings_of
    from policy_lang.reporting import Findings

    compiled = [compile_file(name) for name in files]
    if fix:
        compiled = [_mended(name, compilation) for name, compilation in zip(files, compiled, strict=True)]
    found = [Findings(c.filename, c.text, findings_of(c, default_catalog())) for c in compiled]
    if files != ("-",) or not fix:
        tell(found, form, "lint")
    if any(finding.severity != "note" for file in found for finding in file.diagnostics):
        sys.exit(FINDINGS)


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
