"""`pointsman dev`: the whole system on a local port, in real time, until it is stopped."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from policy_cli.exits import ToolError

if TYPE_CHECKING:
    from policy_cli.demo.calls import PolicyText
    from policy_cli.dev.stack import LocalStack
    from policy_cli.dev.tenants import LocalTenant

__all__ = ["dev"]

_POLICY = click.Path(exists=True, dir_okay=False, path_type=Path)
_HOST = "127.0.0.1"
_TICK_S = 3600.0


@click.command()
@click.option("--port", type=click.IntRange(0, 65535), default=8787, show_default=True, help="0 takes any free port.")
@click.option("--aws-port", type=click.IntRange(0, 65535), default=0, help="Port for AWS tools. [any free one]")
@click.option("--policy", "policies", type=_POLICY, multiple=True, help="Policy to publish in place of the samples.")
@click.option("--verbose", is_flag=True, help="Print the log lines of the functions.")
def dev(port: int, aws_port: int, policies: tuple[Path, ...], verbose: bool) -> None:
    """Serve the functions of template.yaml on a local port, without an AWS account.

    Tables, queues and buckets are in memory and gone when it ends. Snapshots are made every minute, as in AWS. Ctrl-C
    or SIGTERM stops it: requests under way are answered and queues worked off first.
    """
    from policy_cli.demo.calls import ScenarioError
    from policy_cli.demo.onboarding import onboard
    from policy_cli.demo.policies import policy_texts, sample_texts
    from policy_cli.dev.signals import stop_on_signals
    from policy_cli.dev.stack import LocalStack

    _require_free(port)
    _require_free(aws_port)
    try:
        with stop_on_signals() as stop:
            texts = policy_texts(policies) or sample_texts()
            with LocalStack(background=True, port=port, aws_port=aws_port, verbose=verbose) as stack:
                click.echo("\n".join(_welcome(stack, texts, onboard(stack, texts))))
                while not stop.wait(_TICK_S):
                    pass
                click.echo("stopping: working off the queues")
            click.echo("stopped, nothing left in the queues")
    except ScenarioError as problem:
        raise ToolError(str(problem)) from None


def _require_free(port: int) -> None:
    """werkzeug ends the process over a port that is taken."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((_HOST, port))
        except OSError as problem:
            raise ToolError(f"port {port} cannot be had ({problem.strerror}); name another with --port") from None


def _welcome(stack: LocalStack, texts: Sequence[PolicyText], tenants: Sequence[LocalTenant]) -> Iterator[str]:
    yield f"Pointsman is at {stack.url}\n"
    yield "Tenants, for this machine only (the same at every start):"
    for tenant in tenants:
        names = ", ".join(text.name for text in texts if text.tenant == tenant.name)
        yield f"\n  {tenant.name}: {names}"
        yield f"    HMAC   POINTSMAN_KEY={tenant.key_id} POINTSMAN_SECRET={tenant.secret.hex()}"
        yield f"    SigV4  AWS_ACCESS_KEY_ID={tenant.identity.access_key_id}"
        yield f"           AWS_SECRET_ACCESS_KEY={tenant.identity.secret_access_key}"
    yield from _examples(stack, texts[0], tenants[0])


def _examples(stack: LocalStack, text: PolicyText, tenant: LocalTenant) -> Iterator[str]:
    from policy_cli.demo.workload import compiled
    from policy_cli.dev.template import REGION
    from policy_lang.catalog import default_catalog
    from policy_lang.vocabulary import OTHER_TASK

    tasks = compiled(text, default_catalog()).tasks
    task = next((each for each in tasks if each != OTHER_TASK), OTHER_TASK)
    url, user = stack.url, f"{tenant.identity.access_key_id}:{tenant.identity.secret_access_key}"
    envelope = (
        f'{{"task_type":"{task}","structure_type":"prose","context_length":"short","tools_used":"0",'
        '"time_sensitive":false,"estimated_tokens":"tiny"}'
    )
    yield "\nIn another terminal:\n"
    yield f"  export POINTSMAN_URL={url} POINTSMAN_KEY={tenant.key_id} POINTSMAN_SECRET={tenant.secret.hex()}"
    yield f"  pointsman route --policy {text.name} --task {task} --tokens 400\n"
    yield f"  curl {url}/v1/route --aws-sigv4 aws:amz:{REGION}:lambda --user {user} \\"
    yield f"""    -H 'Content-Type: application/json' -d '{{"policy":"{text.name}","envelope":{envelope}}}'\n"""
    yield f"  export AWS_ENDPOINT_URL={stack.aws_url} AWS_REGION={REGION}"
    yield "  export AWS_ACCESS_KEY_ID=local AWS_SECRET_ACCESS_KEY=local"
    yield "  pointsman doctor --wait 120\n"
    yield "Ctrl-C stops."
