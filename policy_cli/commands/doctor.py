"""`pointsman doctor`: do the books of a deployed stack, or of the local server, balance?"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from policy_cli.console import say
from policy_cli.deployment import Deployment, stack_options
from policy_cli.exits import FINDINGS

if TYPE_CHECKING:
    from policy_cli.doctor import Ailment, Asked, Examination, Patient
    from policy_engine.accounting import Identity

__all__ = ["doctor"]

_SHOWN = 20
_PAUSE_S = 5
_Ids = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command()
@click.option("--tenant", "tenants", multiple=True, help="Examine this tenant alone; may be repeated. [all enrolled]")
@click.option("--since", type=click.DateTime(), help="Only what came since then (UTC); leaves out the cells.")
@click.option("--decisions", type=_Ids, help="File of decision ids the caller was given, in place of route's log.")
@click.option("--accepted", type=_Ids, help="File of ids of accepted records, in place of ingest's log.")
@click.option("--queued", is_flag=True, help="Look into the source queues; each look is one of a message's receives.")
@click.option("--markers", is_flag=True, help="Hold the markers against the outcome records; reads the whole table.")
@click.option("--wait", type=click.IntRange(0), default=0, help="Seconds to wait for the stack to be quiet.")
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
@stack_options
def doctor(
    tenants: tuple[str, ...],
    since: datetime | None,
    decisions: Path | None,
    accepted: Path | None,
    queued: bool,
    markers: bool,
    wait: int,
    form: str,
    deployment: Callable[[], Deployment],
) -> None:
    """Check the accounting identities of a stack: name what is missing or double, and the command that mends it.

    I1 decided = receipts, I2 accepted = applied + duplicate + late + rejected + waiting, I3 every outcome has its pull,
    I4 cells = outcome records, I5 cost rolled up = recorded = at the receipts' prices, I6 replay = receipt.
    What was decided and accepted is known from the logs of route and ingest. All records of a tenant are read, dead
    letters are looked at without being taken. Exits with 1 if something is wrong that no message under way explains.
    """
    from policy_cli.doctor import Asked

    if (decisions or accepted) and len(tenants) != 1:
        raise click.UsageError("`--decisions` and `--accepted` hold the ids of one tenant: name it with `--tenant`")
    asked = Asked(_ms(since), queued, markers, decisions, accepted)
    found = _examined(deployment(), tenants, asked, wait)
    if form == "json":
        click.echo(json.dumps(found.document()))
    else:
        say("\n".join(_lines(found)))
    if found.findings:
        sys.exit(FINDINGS)


def _examined(deployment: Deployment, tenants: tuple[str, ...], asked: Asked, wait_s: int) -> Examination:
    from policy_cli.doctor import examine

    deadline = time.monotonic() + wait_s
    while True:
        found = examine(deployment, tenants, asked, time.time_ns() // 1_000_000)
        left = deadline - time.monotonic()
        if not found.restless or left <= 0:
            return found
        time.sleep(min(_PAUSE_S, left))


def _ms(moment: datetime | None) -> int:
    return 0 if moment is None else round(moment.replace(tzinfo=UTC).timestamp() * 1000)


def _lines(found: Examination) -> Iterator[str]:
    for patient in found.patients:
        yield from _patient(patient)
    for queue, counts in found.dead.items():
        if any(counts.values()):
            yield f"{queue}: {counts['given_up']} dead letters given up, {counts['poison']} poisonous"
    yield from _ailments(found.ailments)
    for why in found.restless:
        yield f"not quiet: {why}"
    wrong = len(found.findings)
    unsettled = sum(not each.settled for patient in found.patients for each in patient.ailments)
    if unsettled:
        yield f"{unsettled} unsettled; examine again when the stack is quiet, or `--wait 120`"
    yield (
        f"{wrong} finding{'s' if wrong > 1 else ''}"
        if wrong
        else "the books balance"
        if not unsettled
        else "no findings"
    )


def _patient(patient: Patient) -> Iterator[str]:
    if not any(map(_stirs, patient.identities)):
        yield f"{patient.tenant}: nothing in its books"
        return
    yield patient.tenant
    settled = {each.finding.identity for each in patient.ailments if each.settled}
    for identity in patient.identities:
        yield f"  {identity.name}  {_verdict(identity, settled):9}  {_sides(identity)}"
    yield from _ailments(patient.ailments)


def _stirs(identity: Identity) -> bool:
    """Whether there is anything to say of it: a difference, something unchecked, or a count that is not 0."""
    counts = (count for side in (identity.left, identity.right) for count in side.values())
    return bool(identity.findings or identity.unchecked or any(counts))


def _verdict(identity: Identity, settled: set[str]) -> str:
    if identity.findings:
        return "differs" if identity.name in settled else "unsettled"
    return "unchecked" if identity.unchecked else "balanced"


def _sides(identity: Identity) -> str:
    if identity.unchecked:
        return identity.unchecked
    return " | ".join(
        ", ".join(f"{name} {count:,}" for name, count in side.items()) or "nothing"
        for side in (identity.left, identity.right)
    )


def _ailments(ailments: tuple[Ailment, ...]) -> Iterator[str]:
    for each in ailments[:_SHOWN]:
        finding = each.finding
        unsettled = "" if each.settled else " (unsettled)"
        yield f"  {finding.identity} {finding.code} {finding.subject}: {finding.why}{unsettled}"
        yield f"     {each.command}"
    if len(ailments) > _SHOWN:
        yield f"  and {len(ailments) - _SHOWN} more; --format json lists all"
