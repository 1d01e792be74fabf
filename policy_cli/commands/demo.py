"""`pointsman demo`: the whole system on a workload, decisions as they come, at the end whether the books balance."""

from __future__ import annotations

import gc
import json
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event
from typing import TYPE_CHECKING, Any

import click

from policy_cli.exits import FINDINGS, ToolError
from policy_lang.frozen import frozen

if TYPE_CHECKING:
    from policy_cli.demo.calls import Scenario

__all__ = ["demo"]

_File = click.Path(exists=True, dir_okay=False, path_type=Path)
_SYNTHETIC_DECISIONS, _OUTCOME_DECISIONS, _TRACE_DECISIONS = 2_000, 3_000, 2_000
_ACCIDENTS = ("lose-message", "corrupt-receipt")


@frozen
class _Options:
    outcomes: Path | None
    models: tuple[str, ...]
    trace: Path | None
    policies: tuple[Path, ...]
    decisions: int | None
    seed: int
    value_nanodollars: int
    snapshot_every: int
    style: str
    verbose: bool
    keep: Path | None
    accidents: tuple[str, ...]


@click.command()
@click.option("--outcomes", type=_File, help="Published outcomes (parquet) that models answer with.")
@click.option("--models", help="Comma-separated models of the outcomes file; all of them by default.")
@click.option("--trace", type=_File, help="Arrival times and token counts (parquet) to send calls by.")
@click.option("--policy", "policies", type=_File, multiple=True, help="Policy to use in place of the samples.")
@click.option(
    "--decisions",
    type=click.IntRange(1, 1_000_000),
    help="How many; 2,000 by default, 3,000 with --outcomes.",
)
@click.option(
    "--seed",
    type=int,
    default=4,
    show_default=True,
    help="Of the workload, of what models are good at, and of every draw.",
)
@click.option("--value", default="0.0133", show_default=True, help="With --outcomes: dollars a success is worth.")
@click.option(
    "--snapshot-every", type=click.IntRange(1), default=100, show_default=True, help="Decisions between snapshots."
)
@click.option("--format", "style", type=click.Choice(["text", "json"]), default="text", show_default=True)
@click.option("--verbose", is_flag=True, help="Show the policies and every decision.")
@click.option(
    "--keep",
    type=click.Path(file_okay=False, path_type=Path),
    help="Leave receipts, outcomes and policies in this new folder.",
)
@click.option(
    "--stage",
    "accidents",
    type=click.Choice(_ACCIDENTS),
    multiple=True,
    help="Stage an accident that the audit must notice.",
)
def demo(models: str | None, value: str, **given: Any) -> None:
    """Run the sample tenants through the whole system on a virtual clock and watch the decisions.

    Policies are published, calls routed and outcomes reported over HTTP; the functions of template.yaml learn and
    record as they would in AWS. At the end every receipt is replayed in a process without clock and sockets, and exit
    code 1 says that something does not add up. Ctrl-C stops early and loses nothing.
    """
    options = _Options(**given, models=_names(models), value_nanodollars=_nanodollars(value))
    if options.outcomes and options.trace:
        raise click.UsageError("--outcomes and --trace are two workloads; give one of them")
    if models and not options.outcomes:
        raise click.UsageError("--models names models of an --outcomes file")
    if options.keep and options.keep.exists() and any(options.keep.iterdir()):
        raise ToolError(f"`{options.keep}` is not empty; --keep needs a new folder")
    summary = _run(options)
    if summary["problems"]:
        sys.exit(FINDINGS)


def _run(options: _Options) -> Mapping[str, Any]:
    from policy_cli.demo.calls import ScenarioError
    from policy_cli.demo.report import report
    from policy_cli.dev.signals import stop_on_signals

    with stop_on_signals() as stop, TemporaryDirectory() as temporary:
        try:
            scenario = _scenario(options)
            if options.verbose and options.style == "text":
                click.echo("\n".join(f"# {text.origin}\n{text.source}" for text in scenario.policies))
            folder = options.keep or Path(temporary)
            summary = _driven(scenario, options, stop, folder)
        except ScenarioError as problem:
            raise ToolError(str(problem)) from None
    if options.style == "json":
        click.echo(json.dumps(summary))
    else:
        click.echo(f"\n{report(scenario, summary)}")
        if options.keep and summary["decisions"]:
            click.echo(f"\nkept: `pointsman replay {folder}`, `pointsman explain {folder} {summary['last_decision']}`")
    return summary


def _driven(scenario: Scenario, options: _Options, stop: Event, folder: Path) -> dict[str, Any]:
    from policy_cli.demo.audit import audit
    from policy_cli.demo.calls import START_MS
    from policy_cli.demo.drive import connected
    from policy_cli.demo.harvest import copy_records, corrupt_receipt, lose_message
    from policy_cli.demo.live import screen
    from policy_cli.demo.summary import summarise
    from policy_cli.dev.clocks import VirtualClock
    from policy_cli.dev.stack import LocalStack

    # moto keeps all it was ever given: searching that for garbage at the usual pace takes a sixth of a run.
    gc.set_threshold(50_000, 20, 50)
    clock = VirtualClock(START_MS)
    with ExitStack() as open_until_copied:
        stack = open_until_copied.enter_context(LocalStack(clock=clock, seed=options.seed))
        drive = open_until_copied.enter_context(connected(stack, clock, scenario))
        drive.before_pumping = lose_message if "lose-message" in options.accidents else None
        with screen(scenario.title, len(scenario.calls), options.style, everything=options.verbose) as shown:
            drive.run(snapshot_every=options.snapshot_every, stop=stop, screen=shown)
        if "corrupt-receipt" in options.accidents:
            corrupt_receipt(stack)
        copy_records(stack, folder)
        dead = stack.dead_letters()
    if options.style == "text":
        click.echo("\nreplaying every receipt ...")
    books = audit(folder, drive.ledger()).document()
    books["problems"] += [
        f"{count} messages of {queue} ended in its dead-letter queue" for queue, count in dead.items()
    ]
    served = drive.served
    return {
        "workload": scenario.title,
        "seed": options.seed,
        "complete": len(served) == len(scenario.calls),
        "last_decision": served[-1].decision_id if served else None,
        **summarise(scenario, served),
        **books,
    }


def _scenario(options: _Options) -> Scenario:
    from policy_cli.demo.outcomes import outcomes_scenario
    from policy_cli.demo.policies import policy_texts, sample_texts
    from policy_cli.demo.trace import trace_scenario
    from policy_cli.demo.workload import synthetic_scenario
    from policy_lang.catalog import default_catalog

    own = policy_texts(options.policies)
    if (options.outcomes or options.trace) and len(own) > 1:
        raise click.UsageError("a file of outcomes or a trace is routed by one --policy")
    policy, catalog, seed = own[0] if own else None, default_catalog(), options.seed
    if options.outcomes:
        decisions, value = options.decisions or _OUTCOME_DECISIONS, options.value_nanodollars
        return outcomes_scenario(options.outcomes, options.models, decisions, seed, value, policy)
    if options.trace:
        return trace_scenario(options.trace, catalog, options.decisions or _TRACE_DECISIONS, seed, policy)
    return synthetic_scenario(own or sample_texts(), catalog, options.decisions or _SYNTHETIC_DECISIONS, seed)


def _names(text: str | None) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name.strip() for name in (text or "").split(",") if name.strip()))


def _nanodollars(text: str) -> int:
    try:
        value = int(Decimal(text) * 10**9)
    except ArithmeticError:
        value = 0
    if value <= 0:
        raise click.UsageError(f"--value must be a positive number of dollars such as 0.0133, got `{text}`")
    return value
