"""`pointsman advise`: from past logs, before a line of code changes, whether routing is worth it at all."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from policy_cli.console import say
from policy_cli.exits import FINDINGS
from policy_cli.sources import compile_file

if TYPE_CHECKING:
    from policy_lang.analysis.advise import Advice
    from policy_lang.ir import Policy

__all__ = ["advise_command"]

_PRESET = "three-tier"
_AGAINST = {
    "too_few_calls": "there are too few calls to tell; collect some hundred",
    "one_task": "nearly all calls are of one task: choose its model by hand",
    "one_capability": "every call would go to one model: use it, without a router",
    "little_spend": "the saving is below $100 a month: a router costs more attention than it saves",
    "little_saving": "the saving is below 10%, within the error of list prices and token estimates",
}


@click.command("advise")
@click.option("--logs", required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--policy", help=f"Price the calls under this policy; else under the preset {_PRESET}.")
@click.option("--days", type=click.IntRange(1), help="How long the log is, where its rows do not say when they were.")
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
def advise_command(logs: Path, policy: str | None, days: int | None, form: str) -> None:
    """Price the calls in a log (.csv, else JSONL): task mix, cost on each tier and as routed, and a verdict.

    A row holds `task`, `tokens_in`, `tokens_out` and, if known, `model`, `cost_usd` and `timestamp`.
    """
    from policy_cli.traffic import read_log
    from policy_lang.analysis.advise import advise
    from policy_lang.catalog import default_catalog

    rows, spanned = read_log(logs)
    try:
        advice = advise(rows, _policy(policy), default_catalog(), days=days or spanned)
    except ValueError as problem:
        raise click.UsageError(f"`{logs}`: {problem}") from None
    if form == "json":
        click.echo(json.dumps(asdict(advice) | {"worth_it": advice.worth_it}))
    else:
        say("\n".join(_lines(advice, days or spanned)))


def _policy(file: str | None) -> Policy:
    from policy_cli.commands.new import preset_file

    compilation = compile_file(file or str(preset_file(_PRESET)))
    if compilation.policy is None:
        click.echo(compilation.render().rstrip("\n"), err=True)
        sys.exit(FINDINGS)
    return compilation.policy


def _lines(advice: Advice, days: int | None) -> list[str]:
    from policy_lang.analysis.words import dollars, percent

    width = max(len(share.task) for share in advice.mix)
    lines = [f"{advice.calls:,} calls" + (f" in {days} days" if days else "")]
    for share in advice.mix:
        note = "" if share.known else "; the policy does not declare it, so it counts as `other`"
        part = percent(share.calls * 1_000_000 // advice.calls // 1000 * 1000)
        tokens = f"{share.tokens_in:,} tokens in, {share.tokens_out:,} out"
        lines.append(f"  {share.task:{width}}  {share.calls:>8,}  {part:>6}  {tokens}{note}")
    lines.append("all of them on")
    for tier in advice.tiers:
        cheapest, dearest = dollars(tier.cheapest_nanodollars), dollars(tier.dearest_nanodollars)
        lines.append(f"  {tier.tier}: {cheapest} ({tier.cheapest}) to {dearest} ({tier.dearest})")
    lines.append(f"  the baseline {advice.baseline}: {dollars(advice.baseline_nanodollars)}")
    if advice.spent_nanodollars is not None:
        lines.append(f"they did cost {dollars(advice.spent_nanodollars)}")
    saving = percent(advice.saving_ppm // 1000 * 1000)
    lines.append(f"as routed {dollars(advice.routed_nanodollars)}, {saving} less than the baseline")
    if advice.worth_it:
        return [*lines, "worth it: route, with floors that models must prove"]
    return [*lines, "not worth it:", *(f"  {_AGAINST[reason]}" for reason in advice.reasons)]
