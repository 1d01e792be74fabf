"""`pointsman fmt`: one layout for every policy, comments kept."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from policy_cli.console import say
from policy_cli.exits import FINDINGS, ToolError
from policy_cli.sources import compile_file, read_policy

__all__ = ["fmt"]


@click.command()
@click.argument("files", nargs=-1, required=True)
@click.option("--check", is_flag=True, help="Write nothing; name the files that would change and exit with 1.")
@click.option("--diff", is_flag=True, help="Write nothing; print what would change and exit with 1.")
def fmt(files: tuple[str, ...], check: bool, diff: bool) -> None:
    """Lay out policy FILES in place; `-` reads standard input and prints.

    A file that cannot be read as a policy is left as it is, its findings are printed, and the exit code is 1.
    """
    verdicts = [_formatted(name, check, diff) for name in files]
    changed = verdicts.count("changed")
    if files != ("-",):
        word = "would change" if check or diff else "laid out"
        unreadable = verdicts.count("unreadable")
        left = f", {unreadable} with errors" if unreadable else ""
        click.echo(f"{changed} {word}, {verdicts.count('same')} as they should be{left}", err=True)
    if "unreadable" in verdicts or (changed and (check or diff)):
        sys.exit(FINDINGS)


def _formatted(name: str, check: bool, diff: bool) -> str:
    """changed, same or unreadable."""
    from policy_lang.diagnostics import render
    from policy_lang.text.formatter import format_policy
    from policy_lang.text.source import read_source

    source = read_policy(name)
    shown = "<stdin>" if name == "-" else name
    laid = format_policy(source)
    if laid.text is None:
        click.echo(render(laid.diagnostics, read_source(source).text, shown).rstrip("\n"), err=True)
        return "unreadable"
    if not laid.text:
        click.echo(compile_file(name).render().rstrip("\n"), err=True)
        return "unreadable"
    changed = laid.text.encode() != source
    if diff and changed:
        say(_difference(source.decode("utf-8-sig"), laid.text, shown))
    elif check and changed:
        say(f"would change {shown}")
    elif name == "-" and not (check or diff):
        click.echo(laid.text, nl=False)
    elif changed and not (check or diff):
        _write(Path(name), laid.text)
    return "changed" if changed else "same"


def _difference(before: str, after: str, name: str) -> str:
    from difflib import unified_diff

    lines = unified_diff(before.splitlines(), after.splitlines(), name, f"{name} (laid out)", lineterm="")
    return "\n".join(lines)


def _write(path: Path, text: str) -> None:
    try:
        path.write_bytes(text.encode())
    except OSError as problem:
        raise ToolError(f"cannot write `{path}`: {problem.strerror}") from None
