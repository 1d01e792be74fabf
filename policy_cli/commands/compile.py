"""`pointsman compile`: what a policy means, as canonical IR with its fingerprint."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from policy_cli.console import say
from policy_cli.exits import FINDINGS, ToolError
from policy_cli.sources import compile_file

__all__ = ["compile_command"]


@click.command("compile")
@click.argument("file")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="Write the IR document to this file.")
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
def compile_command(file: str, out: Path | None, form: str) -> None:
    """Compile a policy FILE (`-` reads standard input) to canonical IR.

    text prints name, fingerprint and counts; json prints the IR, which `route` takes as an inline policy.
    """
    from policy_lang.canonical import canonical
    from policy_lang.fingerprint import ir_document

    compilation = compile_file(file)
    policy = compilation.policy
    if policy is None:
        click.echo(compilation.render().rstrip("\n"), err=True)
        sys.exit(FINDINGS)
    document = canonical(ir_document(policy))
    if out:
        try:
            out.write_bytes(document + b"\n")
        except OSError as problem:
            raise ToolError(f"cannot write `{out}`: {problem.strerror}") from None
    if form == "json":
        click.echo(document)
        return
    counted = f"{len(policy.gates)} gates, {len(policy.routes) + 1} routes, {len(policy.tiers)} tiers"
    say(f"{policy.name}\nfingerprint {compilation.fingerprint}\nsource      {compilation.source_hash}\n{counted}")
