"""`pointsman route`: one decision from the service, with its reasons."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from policy_cli.asking import call_options, request_of, tell_task
from policy_cli.console import say
from policy_cli.exits import FINDINGS, NO_MODEL, ToolError
from policy_cli.service import Service, refusal, service_options
from policy_cli.sources import compile_file, read_json

__all__ = ["route"]

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command()
@click.option("--policy", help="Name of a published policy.")
@click.option("--ir", type=_FILE, help="IR file sent with the call.")
@click.option("--file", type=_FILE, help="Decide here and now by this policy file, without a service.")
@click.option("--history", type=_FILE, help="With --file: JSON of outcomes to have seen; else none.")
@call_options
@click.option("--idempotency-key", help="The same key draws the same; with --file another key draws anew.")
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
@service_options
def route(
    service: Callable[[], Service],
    policy: str | None,
    ir: Path | None,
    file: Path | None,
    history: Path | None,
    idempotency_key: str | None,
    form: str,
    call: dict[str, Any],
) -> None:
    """Ask which model serves a call of this shape: a service by --policy or --ir, or right here by --file.

    Exits with 3 when no model passes the policy's gates.
    """
    if sum(source is not None for source in (policy, ir, file)) != 1:
        raise click.UsageError("give exactly one of `--policy`, `--ir` and `--file`")
    if history and not file:
        raise click.UsageError("`--history` goes with `--file`: a service decides by what it has learned itself")
    request = request_of(call) | ({"idempotency_key": idempotency_key} if idempotency_key else {})
    if file:
        reply = _decided_here(file, history, request)
    else:
        asked = {"ir": read_json(ir)} if ir else {"policy": policy}
        reply = _asked(service(), asked | request)
    if form == "json":
        click.echo(json.dumps(reply))
    else:
        from policy_cli.explaining import explain_reply

        say(explain_reply(reply))
    if reply["status"] == "no_candidates":
        sys.exit(NO_MODEL)


def _asked(service: Service, request: dict[str, Any]) -> dict[str, Any]:
    status, reply = service.post("/v1/route", request)
    if "status" in reply:
        return reply
    problem = reply.get("error", {})
    if problem.get("code") == "no_candidates":
        return {**problem, "status": "no_candidates"}
    raise refusal(status, reply)


def _decided_here(file: Path, history: Path | None, request: dict[str, Any]) -> dict[str, Any]:
    from policy_cli.history import HistoryError, snapshot_of_history
    from policy_cli.local import NOW_MS, decide_locally
    from policy_engine.wire import RequestError
    from policy_lang.catalog import default_catalog

    compilation = compile_file(str(file))
    if compilation.policy is None:
        click.echo(compilation.render().rstrip("\n"), err=True)
        sys.exit(FINDINGS)
    tell_task(request, compilation.policy)
    try:
        snapshot = snapshot_of_history(read_json(history) if history else [], NOW_MS)
        return decide_locally(compilation, default_catalog(), request, snapshot)
    except HistoryError as problem:
        raise ToolError(f"`{history}`: {problem}") from None
    except RequestError as problem:
        raise ToolError(str(problem)) from None
