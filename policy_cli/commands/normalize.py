"""`pointsman normalize`: what a policy means, in its one form, and what that form is called."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from policy_cli.exits import FINDINGS, ToolError
from policy_cli.sources import compile_file, read_policy

if TYPE_CHECKING:
    from policy_lang.ir import Policy

__all__ = ["normalize"]

# An IR within its limits, with its fingerprint around it and laid out for reading.
_MAX_BYTES = 1 << 20


@click.command()
@click.argument("file")
@click.option("--fingerprint", "only", is_flag=True, help="Print the fingerprint alone.")
def normalize(file: str, only: bool) -> None:
    """Print the canonical IR of FILE and its fingerprint, as one JSON object.

    FILE is a policy (`-` reads standard input) or, named *.json, an IR as a request may carry it. Two files that
    mean the same have the same fingerprint.
    """
    from policy_lang.canonical import canonical
    from policy_lang.fingerprint import ir_document, policy_fingerprint

    policy = _admitted(Path(file)) if file.endswith(".json") else _compiled(file)
    fingerprint = policy_fingerprint(policy)
    click.echo(fingerprint if only else canonical({"fingerprint": fingerprint, "ir": ir_document(policy)}))


def _compiled(file: str) -> Policy:
    compilation = compile_file(file)
    if compilation.policy is None:
        click.echo(compilation.render().rstrip("\n"), err=True)
        sys.exit(FINDINGS)
    return compilation.policy


def _admitted(path: Path) -> Policy:
    from policy_lang.admission import AdmissionError, admit
    from policy_lang.canonical import StrictJsonError, parse_strict

    try:
        document = parse_strict(read_policy(str(path)), max_bytes=_MAX_BYTES)
        return admit(document["ir"] if isinstance(document, dict) and "ir" in document else document)
    except (AdmissionError, StrictJsonError) as problem:
        raise ToolError(f"`{path}` is not admitted: {problem}") from None
