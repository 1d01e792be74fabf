"""`pointsman route`: one decision from the service, with its reasons."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import click

from policy_cli.console import say
from policy_cli.exits import NO_MODEL, ToolError
from policy_cli.service import Service, service_options
from policy_lang.vocabulary import STRUCTURES

__all__ = ["route"]

_SIZE = click.IntRange(0)


@click.command()
@click.option("--policy", help="Name of a published policy.")
@click.option("--ir", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="IR file sent with the call.")
@click.option("--task", required=True, help="Task type, such as label or qa-simple.")
@click.option("--structure", type=click.Choice(STRUCTURES), default="prose", show_default=True)
@click.option("--context-tokens", type=_SIZE, default=0, help="Size of the prompt, in tokens.")
@click.option("--tokens", type=_SIZE, default=0, help="Expected total of the call, in tokens.")
@click.option("--tools", type=_SIZE, default=0, help="Number of tools offered.")
@click.option("--time-sensitive", is_flag=True, help="Someone waits for the answer.")
@click.option("--org")
@click.option("--team")
@click.option("--product")
@click.option("--candidate", "candidates", multiple=True, help="Choose among these arms only; repeat it.")
@click.option("--idempotency-key")
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
@service_options
def route(service: Service, form: str, **asked: Any) -> None:
    """Ask the service which model serves a call of this shape.

    Exits with 3 when no model passes the policy's gates.
    """
    status, reply = service.post("/v1/route", _request(**asked))
    nothing = isinstance(reply, dict) and reply.get("status") == "no_candidates"
    if status >= 300 and not nothing:
        problem = reply.get("error", {}) if isinstance(reply, dict) else {}
        raise ToolError(f"{problem.get('code', status)}: {problem.get('message', reply)}")
    if form == "json":
        click.echo(json.dumps(reply))
    else:
        from policy_cli.explaining import explain_reply

        say(explain_reply(reply))
    if nothing:
        sys.exit(NO_MODEL)


def _request(
    *,
    policy: str | None,
    ir: Path | None,
    task: str,
    structure: str,
    context_tokens: int,
    tokens: int,
    tools: int,
    time_sensitive: bool,
    candidates: tuple[str, ...],
    **attributes: str | None,
) -> dict[str, Any]:
    from policy_lang.envelope import EnvelopeError, build_envelope, envelope_to_wire

    if (policy is None) == (ir is None):
        raise click.UsageError("give exactly one of `--policy` and `--ir`")
    try:
        envelope = build_envelope(
            task_type=task,
            structure_type=structure,
            context_tokens=context_tokens,
            tools_used=tools,
            time_sensitive=time_sensitive,
            estimated_tokens=tokens,
        )
    except EnvelopeError as problem:
        raise click.UsageError(str(problem)) from None
    found: dict[str, Any] = {name: value for name, value in attributes.items() if value is not None}
    found |= {"policy": policy} if policy else {"ir": _document(ir)}
    if candidates:
        found["candidates"] = list(candidates)
    return found | {"envelope": envelope_to_wire(envelope)}


def _document(path: Path | None) -> Any:
    assert path is not None
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError) as problem:
        raise ToolError(f"`{path}` is not an IR document: {problem}") from None
