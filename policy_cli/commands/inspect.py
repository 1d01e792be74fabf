"""`pointsman inspect`: a policy at a glance."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from typing import Any

import click

from policy_cli.console import say
from policy_cli.exits import FINDINGS
from policy_cli.sources import compile_file

__all__ = ["inspect_command"]

_WIDTH = 11
_LEFT = {"fallback": "a fallback alone", "until proven": "the `until proven` model alone"}


@click.command("inspect")
@click.argument("file")
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
def inspect_command(file: str, form: str) -> None:
    """Summarise a policy FILE: routes with their share of all shapes, who may serve, what a call costs, findings.

    Costs are list prices: typical, the dearest answer at once, and with every retry and fail-over billed besides.
    """
    from policy_cli.inspecting import summary
    from policy_lang.catalog import default_catalog

    compilation = compile_file(file)
    if not compilation.ok:
        click.echo(compilation.render().rstrip("\n"), err=True)
        sys.exit(FINDINGS)
    found = summary(compilation, default_catalog())
    if form == "json":
        click.echo(json.dumps(found))
    else:
        say("\n".join(_lines(found)))


def _lines(found: dict[str, Any]) -> Iterator[str]:
    yield _row("policy", f"{found['name']}, mode {found['mode']}" + (", audited" if found["audit"] == "on" else ""))
    yield _row("meaning", found["fingerprint"])
    yield _row("source", found["source"])
    yield _row("tasks", ", ".join(found["tasks"]))
    for number, (name, arms) in enumerate(found["tiers"].items()):
        yield _row("" if number else "tiers", f"{name}: {', '.join(arms)}")
    for number, gate in enumerate(found["gates"]):
        yield _row("" if number else "gates", f'"{gate["reason"]}" (line {gate["line"]})')
    for route in found["routes"]:
        yield from _route_lines(route)
    yield _row("fallback", ", ".join(found["fallback"]))
    if found["baseline"]:
        yield _row("baseline", found["baseline"])
    for reason, verdict in found["assertions"].items():
        yield _row("assert", f'"{reason}": {verdict}')
    if found["shapes"] is not None:
        yield _row("shapes", f"{found['shapes']:,} of calls, all of them considered")
    yield _row("tests", str(found["tests"]))
    yield _row("findings", _findings(found["findings"]))


def _route_lines(route: dict[str, Any]) -> Iterator[str]:
    when = f"when {route['when']}" if route["when"] else "for the rest"
    share = "" if route["share"] is None else f", {route['share']:.1%} of shapes"
    yield _row("route", f"{route['name']} (line {route['line']}) {when}{share}")
    order = f"cascade {' -> '.join(route['cascade'])}" if route["cascade"] else f"use {', '.join(route['use'])}"
    yield _row("", f"  {order}; pick {' then '.join(rule.replace('_', ' ') for rule in route['pick'])}")
    if route["floors"]:
        yield _row("", f"  floor {', '.join(map(_floor, route['floors']))}")
    if route["may"] is not None:
        yield _row("", f"  {len(route['may'])} models may serve: {', '.join(route['may'])}")
    if cost := route["cost_nanodollars"]:
        yield _row("", f"  {_cost(cost)}")
    for left, part in route["gaps"].items():
        yield _row("", f"  {part:.1%} of shapes are left with {_LEFT.get(left, left)}")


def _floor(floor: dict[str, Any]) -> str:
    from policy_lang.analysis.words import percent

    proven = f" proven {percent(floor['proven_ppm'])}" if "proven_ppm" in floor else ""
    return f"{floor['metric']} >= {percent(floor['at_least_ppm'])}{proven}"


def _cost(cost: dict[str, int | None]) -> str:
    from policy_cli.units import dollars

    names = {"typical": "a call costs typically", "once": "at most", "worst": "with every retry"}
    return ", ".join(f"{text} {dollars(value)}" for name, text in names.items() if (value := cost[name]) is not None)


def _findings(counted: dict[str, int]) -> str:
    listed = [f"{counted[kind]} {kind}{'s' if counted[kind] > 1 else ''}" for kind in counted]
    return ", ".join(listed) + "; `pointsman lint` shows them" if listed else "none"


def _row(name: str, text: str) -> str:
    return f"{name:{_WIDTH}}{text}".rstrip()
