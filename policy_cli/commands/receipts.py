"""`pointsman receipts`: what a stack decided, and what came of it, as files to replay, price and explain."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import click

from policy_cli.console import say
from policy_cli.deployment import Deployment, stack_options
from policy_cli.exits import ToolError

__all__ = ["receipts"]

#: Each a folder of a tenant's, as `replay` and `price` look for them.
_KINDS = ("receipts", "outcomes", "policies")


@click.command()
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@click.option("--tenant", "tenants", multiple=True, help="Copy this tenant's alone; may be repeated. [all enrolled]")
@click.option("--since", type=click.DateTime(), help="Only receipts and outcomes of that hour (UTC) and later.")
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
@stack_options
def receipts(
    folder: Path,
    tenants: tuple[str, ...],
    since: datetime | None,
    form: str,
    deployment: Callable[[], Deployment],
) -> None:
    """Copy the receipts, outcomes and policies of a stack into FOLDER, one folder a tenant.

    Stored files never change, so those that are there already are left alone: run it again to fetch what is new. A
    receipt is stored within about a minute of its decision.
    """
    stack = deployment()
    since_ms = round(since.replace(tzinfo=UTC).timestamp() * 1000) if since else 0
    copied = {tenant: _copied(stack, tenant, folder, since_ms) for tenant in stack.tenants(tenants)}
    if form == "json":
        click.echo(json.dumps(copied))
        return
    for tenant, files in copied.items():
        say(f"{tenant}: files of {', '.join(f'{kind} {files[kind]}' for kind in _KINDS)}; new {files['new']}")
        if files["receipts"]:
            click.echo(f"`pointsman replay {folder / tenant}` decides again on them", err=True)


def _copied(stack: Deployment, tenant: str, folder: Path, since_ms: int) -> dict[str, int]:
    """How many files there are of each kind now, and how many of them were fetched."""
    from functions.stores.records import RecordFiles
    from functions.stores.state import StateStore

    counts = dict.fromkeys((*_KINDS, "new"), 0)
    with stack.reaching("the records of"):
        s3 = stack.client("s3")
        files = RecordFiles(s3, stack.name("RecordsBucket"))
        for kind in ("receipts", "outcomes"):
            for key in files.keys(tenant, kind, since_ms):
                counts[kind] += 1
                if not (folder / key).exists():
                    counts["new"] += _written(folder / key, files.body(key))
        state = StateStore(stack.client("dynamodb"), s3, stack.name("StateTable"), stack.name("StateBucket"))
        for fingerprint, body in state.policy_documents(tenant):
            path = folder / tenant / "policies" / f"{fingerprint}.json"
            counts["policies"] += 1
            if not path.exists():
                counts["new"] += _written(path, body)
    return counts


def _written(path: Path, body: bytes) -> bool:
    """Write a file whole or not at all."""
    part = path.with_name(f"{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_bytes(body)
        part.rename(path)
    except OSError as problem:
        raise ToolError(f"cannot write `{path}`: {problem.strerror}") from None
    return True
