"""`pointsman tenant`: who may use a deployed stack, with which credentials, and how much of it."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import click

from policy_cli.console import say
from policy_cli.deployment import Deployment, stack_options
from policy_cli.exits import ToolError

if TYPE_CHECKING:
    from functions.stores.registry import Credential, CredentialKind, Member, Registry
    from policy_engine.limits import Limits

__all__ = ["tenant"]

_SECRET_BYTES = 32
_KINDS = {"hmac": "key", "iam": "principal"}


@click.group()
def tenant() -> None:
    """Enrol tenants in a deployed stack and change their credentials, with your own AWS credentials.

    Takes effect at once for what is new, within five minutes for what is taken away.
    """


@tenant.command()
@click.argument("name")
@click.option("--principal", "principals", multiple=True, help="ARN of an IAM role or user that speaks for it.")
@click.option("--key-id", help="Id of an HMAC key to make for it; its secret is printed once.")
@click.option("--requests-per-minute", type=click.IntRange(1), help="Unlimited unless named.")
@click.option("--inline-dollars-per-day", type=click.IntRange(1), help="Of inline policies; unlimited unless named.")
@click.option("--policies", type=click.IntRange(1), help="Names it may publish.")
@click.option("--cells", type=click.IntRange(1), help="Shapes that are learned one by one.")
@stack_options
def add(
    name: str,
    principals: tuple[str, ...],
    key_id: str | None,
    deployment: Callable[[], Deployment],
    **limits: int | None,
) -> None:
    """Enrol the tenant NAME, or give an enrolled one more credentials or other limits.

    Named limits replace all that were named before. A principal that another tenant had moves to this one; a
    key id in use is refused, for its callers could sign no more.
    """
    stack = deployment()
    key = {key_id: secrets.token_bytes(_SECRET_BYTES)} if key_id else {}
    with stack.reaching("the state table of"):
        registry = _registry(stack)
        try:
            registry.enrol(name, principals=principals, keys=key, limits=_limits(limits))
        except ValueError as problem:
            raise ToolError(str(problem)) from None
        held = registry.credentials().values()
    say(f"{name} is enrolled in {stack.stack}")
    _tell(key)
    if not any(each.tenant == name and each.active for each in held):
        click.echo(
            "it has no credential yet, so nobody can sign for it: add `--key-id ID` or `--principal ARN`", err=True
        )


@tenant.command()
@click.argument("name")
@click.option("--key-id", required=True, help="Id of the new key.")
@stack_options
def rotate(name: str, key_id: str, deployment: Callable[[], Deployment]) -> None:
    """Make a new HMAC key for the tenant NAME beside those it has.

    Both sign until the old one is retired: `pointsman tenant retire NAME --key-id OLD`.
    """
    stack = deployment()
    with stack.reaching("the state table of"):
        secret = secrets.token_bytes(_SECRET_BYTES)
        try:
            _registry(stack).add_key(name, key_id, secret)
        except ValueError as problem:
            raise ToolError(str(problem)) from None
    _tell({key_id: secret})


@tenant.command()
@click.argument("name")
@click.option("--key-id", help="The HMAC key that signs no more.")
@click.option("--principal", help="The IAM role or user that speaks for it no more.")
@stack_options
def retire(name: str, key_id: str | None, principal: str | None, deployment: Callable[[], Deployment]) -> None:
    """Take one credential of the tenant NAME away; environments that have just read it accept it for five minutes."""
    from functions.stores.registry import iam_principal

    if (key_id is None) == (principal is None):
        raise ToolError("name one credential: `--key-id ID` or `--principal ARN`")
    stack = deployment()
    with stack.reaching("the state table of"):
        try:
            if key_id is not None:
                _registry(stack).suspend(name, "hmac", key_id)
            else:
                _registry(stack).suspend(name, "iam", iam_principal(principal or ""))
        except ValueError as problem:
            raise ToolError(str(problem)) from None
    say(f"{key_id or principal} speaks for {name} no more")


@tenant.command()
@click.argument("name")
@click.option("--yes/--no", "shares", default=True, show_default=True, help="Take part, or do so no more.")
@stack_options
def share(name: str, deployment: Callable[[], Deployment], *, shares: bool) -> None:
    """Let the tenant NAME take part in the shared priors.

    It then tells the others the success rate of each public model, and starts new models from what they told. The
    priors are made anew every hour: from the next one on they hold what it tells, or no longer do.
    """
    stack = deployment()
    with stack.reaching("the state table of"):
        try:
            _registry(stack).share_priors(name, shares=shares)
        except ValueError as problem:
            raise ToolError(f"{problem} in {stack.stack}") from None
    say(f"{name} {'takes part' if shares else 'takes no part'} in the shared priors of {stack.stack}")


@tenant.command("list")
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
@stack_options
def list_tenants(form: str, deployment: Callable[[], Deployment]) -> None:
    """Name every tenant with its limits, its credentials, and whether it takes part in the shared priors."""
    stack = deployment()
    with stack.reaching("the state table of"):
        registry = _registry(stack)
        rows = _rows(registry.members(), registry.credentials())
    if form == "json":
        click.echo(json.dumps(rows))
    elif rows:
        say("\n".join(line for row in rows for line in _lines(row)))
    else:
        click.echo(
            f"no tenant is enrolled in {stack.stack}; `pointsman tenant add NAME --key-id ID` enrols one", err=True
        )


def _rows(members: list[Member], credentials: Mapping[tuple[CredentialKind, str], Credential]) -> list[dict[str, Any]]:
    """A tenant each, as JSON values; secrets are not among them."""
    from policy_engine.limits import limits_document

    held: dict[str, list[dict[str, Any]]] = {}
    for (kind, name), credential in sorted(credentials.items()):
        held.setdefault(credential.tenant, []).append({"kind": kind, "name": name, "active": credential.active})
    return [
        {
            "tenant": member.tenant,
            "limits": limits_document(member.limits),
            "shares_priors": member.shares_priors,
            "credentials": held.get(member.tenant, []),
        }
        for member in members
    ]


def _lines(row: dict[str, Any]) -> Iterator[str]:
    limits = ", ".join(f"{name} {value}" for name, value in row["limits"].items())
    yield f"{row['tenant']}: {limits}{', shares priors' if row['shares_priors'] else ''}"
    for each in row["credentials"]:
        yield f"  {_KINDS[each['kind']]} {each['name']}{'' if each['active'] else ', retired'}"


def _registry(stack: Deployment) -> Registry:
    from functions.stores.registry import Registry

    return Registry(stack.client("dynamodb"), stack.name("StateTable"))


def _limits(named: dict[str, int | None]) -> Limits | None:
    from policy_engine.limits import limits_from_document

    given = {name: value for name, value in named.items() if value is not None}
    return limits_from_document(given) if given else None


def _tell(keys: dict[str, bytes]) -> None:
    for key_id, secret in keys.items():
        say(f"POINTSMAN_KEY={key_id}")
        say(f"POINTSMAN_SECRET={secret.hex()}")
