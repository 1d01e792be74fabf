"""`pointsman alias` and `pointsman rollback`: which versions of a policy its name leads to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any

import click

from policy_cli.console import say
from policy_cli.exits import ToolError
from policy_cli.service import Service, policy_name, refusal, service_options

__all__ = ["alias", "rollback"]

_PPM_PER_PERCENT = 10_000
_force = click.option("--force", is_flag=True, help="In an incident: also to a version that breaks its asserts.")


@click.command()
@click.argument("name", callback=policy_name)
@click.argument("shares", nargs=-1, metavar="[FINGERPRINT=SHARE%]...")
@_force
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
@service_options
def alias(name: str, shares: Sequence[str], form: str, service: Callable[[], Service], *, force: bool) -> None:
    """Lead a policy NAME to published versions by weight, as in `0870e724=95% 31cd20fa=5%`.

    Without shares: where it leads and led before. The first eight digits do for versions in that list. What a version
    asserts is proved again by today's catalog.
    """
    asked = {"shares": [_share(share) for share in shares]} if shares else {}
    _print(_asked(service(), name, asked, force), form)


@click.command()
@click.argument("name", callback=policy_name)
@click.option(
    "--to",
    metavar="FINGERPRINT",
    help="A version ever published, short if `pointsman alias NAME` lists it; else the one before.",
)
@_force
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
@service_options
def rollback(name: str, to: str | None, form: str, service: Callable[[], Service], *, force: bool) -> None:
    """Lead a policy NAME back to where it led before. Decisions follow within 15 seconds.

    What that version asserts is proved again by today's catalog.
    """
    asked = {"rollback": True, "to": to} if to else {"rollback": True}
    _print(_asked(service(), name, asked, force), form)


def _share(text: str) -> list[Any]:
    fingerprint, _, percent = text.partition("=")
    try:
        ppm = Decimal(percent.removesuffix("%")) * _PPM_PER_PERCENT
    except InvalidOperation:
        ppm = Decimal("NaN")
    if not fingerprint or not percent.endswith("%") or not ppm.is_finite() or ppm != int(ppm):
        raise ToolError(f"`{text}` is no share; write FINGERPRINT=SHARE%, as in 0870e724=95% or 0870e724=0.5%")
    return [fingerprint, int(ppm)]


def _asked(service: Service, name: str, asked: dict[str, Any], force: bool) -> dict[str, Any]:
    status, reply = service.post(f"/v1/aliases/{name}", asked | ({"force": True} if force else {}))
    if status >= 300:
        raise refusal(status, reply)
    return reply


def _print(reply: dict[str, Any], form: str) -> None:
    import json

    if form == "json":
        click.echo(json.dumps(reply))
        return
    say(f"{reply['name']} leads to {_led(reply['alias'])} since {_moment(reply['at_ms'])}")
    for entry in reply["history"]:
        say(f"  before  {_led(entry['alias'])} since {_moment(entry['at_ms'])}")


def _led(shares: Sequence[Sequence[Any]]) -> str:
    if len(shares) == 1:
        return str(shares[0][0])
    return ", ".join(f"{fingerprint} ({ppm / _PPM_PER_PERCENT:g}%)" for fingerprint, ppm in shares)


def _moment(at_ms: int) -> str:
    return f"{datetime.fromtimestamp(at_ms // 1000, UTC):%Y-%m-%d %H:%M:%SZ}"
