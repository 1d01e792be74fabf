"""`pointsman publish`: hand a policy to the service, which compiles it against the tenant's own catalog."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import click

from policy_cli.console import say
from policy_cli.exits import FINDINGS, ToolError
from policy_cli.service import Service, refusal, service_options
from policy_cli.sources import read_policy

__all__ = ["publish"]


@click.command()
@click.argument("file")
@click.option("--dry-run", is_flag=True, help="Let the service check the policy and store nothing.")
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
@service_options
def publish(file: str, dry_run: bool, form: str, service: Callable[[], Service]) -> None:
    """Publish a policy FILE under the name in its header.

    Exits with 1, and stores nothing, if the service finds an error in it.
    """
    import json

    source = _text(read_policy(file))
    asked = {"source": source, "dry_run": True} if dry_run else {"source": source}
    path = f"/v1/policies/{_name(source, file)}"
    status, reply = service().post(path, asked)
    problem = {} if status < 300 else reply.get("error", reply)
    findings = problem.get("diagnostics") or reply.get("warnings") or []
    if form == "json":
        click.echo(json.dumps(reply))
    else:
        _print_findings(findings, source, file)
    if status < 300:
        if form == "text":
            say(f"{reply['name']} {'would be' if dry_run else 'is'} {reply['fingerprint']}")
            if not dry_run:
                click.echo("decisions follow within 15 seconds", err=True)
        return
    if not findings:
        raise refusal(status, reply)
    sys.exit(FINDINGS)


def _text(source: bytes) -> str:
    try:
        return source.decode()
    except UnicodeDecodeError:
        raise ToolError("the policy is not UTF-8; `pointsman check` shows where") from None


def _name(source: str, file: str) -> str:
    from policy_lang.text.parser import parse
    from policy_lang.text.syntax import Header

    headers = [item for item in parse(source).statements if isinstance(item, Header)]
    if not headers:
        raise ToolError(f'`{file}` has no header such as `policy "team/name" language 1`; run `pointsman check`')
    return headers[0].name.text


def _print_findings(findings: list[dict[str, Any]], source: str, file: str) -> None:
    from policy_lang.diagnostics import Diagnostic, Span, render

    names = Diagnostic.__match_args__
    read = [Diagnostic(**{n: row.get(n) for n in names} | {"span": Span(**row["span"])}) for row in findings]  # type: ignore[arg-type]
    if read:
        say(render(read, source, file).rstrip("\n"))
