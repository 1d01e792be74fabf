"""`pointsman eval`: what a policy file makes of one call, every candidate with its verdict."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from policy_cli.asking import call_options, request_of, tell_task
from policy_cli.console import say
from policy_cli.exits import FINDINGS, NO_MODEL, ToolError
from policy_cli.sources import compile_file, read_json

if TYPE_CHECKING:
    from policy_engine.snapshot import Snapshot
    from policy_lang.compiler import Compilation

__all__ = ["eval_command"]

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command("eval")
@click.argument("policy")
@click.argument("envelope", required=False)
@click.option("--statistics", help="What was learned before: a `statistics` block of the policy, by name.")
@click.option("--snapshot", type=_FILE, help="What was learned before: a snapshot as the service makes it.")
@click.option("--history", type=_FILE, help="What was learned before: outcomes by shape and arm, as in samples/.")
@click.option("--draw", help="Explore as the service would for this idempotency key; else nothing is explored.")
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
@call_options
def eval_command(
    policy: str,
    envelope: str | None,
    statistics: str | None,
    snapshot: Path | None,
    history: Path | None,
    draw: str | None,
    form: str,
    call: dict[str, Any],
) -> None:
    """Evaluate a POLICY file on one call: its route, a verdict for every candidate, the plan.

    The call is ENVELOPE (JSON, a file of it, or `-`) or the options. Exits with 3 when no model passes the gates.
    """
    if sum(source is not None for source in (statistics, snapshot, history)) > 1:
        raise click.UsageError("give one of `--statistics`, `--snapshot` and `--history`")
    request = request_of(call, envelope)
    compilation = compile_file(policy)
    if compilation.policy is None:
        click.echo(compilation.render().rstrip("\n"), err=True)
        sys.exit(FINDINGS)
    tell_task(request, compilation.policy)
    learned = _learned(compilation, request, statistics, snapshot, history)
    reply = _decided(compilation, request, learned, draw)
    if form == "json":
        click.echo(json.dumps(reply))
    else:
        from policy_cli.explaining import explain_reply

        say(explain_reply(reply))
    if reply["status"] == "no_candidates":
        sys.exit(NO_MODEL)


def _learned(
    compilation: Compilation,
    request: dict[str, Any],
    statistics: str | None,
    snapshot: Path | None,
    history: Path | None,
) -> Snapshot:
    from policy_engine.snapshot import EMPTY, snapshot_from_document

    if statistics is not None:
        return _named(compilation, request, statistics)
    if history:
        from policy_cli.history import HistoryError, snapshot_of_history
        from policy_cli.local import NOW_MS

        try:
            return snapshot_of_history(read_json(history), NOW_MS)
        except HistoryError as problem:
            raise ToolError(f"`{history}`: {problem}") from None
    if not snapshot:
        return EMPTY
    try:
        return snapshot_from_document(read_json(snapshot))
    except (KeyError, TypeError, AttributeError, ValueError):
        raise ToolError(f"`{snapshot}` is not a snapshot as the service makes it; `--history` takes counts") from None


def _named(compilation: Compilation, request: dict[str, Any], name: str) -> Snapshot:
    from policy_cli.rehearsal import snapshot_of_evidence
    from policy_lang.envelope import EnvelopeError, envelope_from_wire

    if name not in compilation.statistics:
        known = ", ".join(f'"{known}"' for known in compilation.statistics) or "none"
        raise ToolError(f'the policy has no statistics "{name}"; it has {known}')
    try:
        return snapshot_of_evidence(compilation.statistics[name], envelope_from_wire(request["envelope"]))
    except EnvelopeError as problem:
        raise ToolError(str(problem)) from None


def _decided(compilation: Compilation, request: dict[str, Any], learned: Snapshot, draw: str | None) -> dict[str, Any]:
    from policy_cli.local import decide_locally
    from policy_engine.wire import RequestError
    from policy_lang.catalog import default_catalog

    asked = request | ({"idempotency_key": draw} if draw is not None else {})
    try:
        return decide_locally(compilation, default_catalog(), asked, learned, drawn=draw is not None)
    except RequestError as problem:
        raise ToolError(str(problem)) from None
