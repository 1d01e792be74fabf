"""`pointsman redrive`: dead letters back into the queue they came from."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import click

from policy_cli.console import say
from policy_cli.deployment import Deployment, stack_options
from policy_cli.exits import FINDINGS

if TYPE_CHECKING:
    from functions.stores.backlog import Letter

__all__ = ["redrive", "redriven"]


@click.command()
@click.argument("queue", type=click.Choice(["telemetry", "records"]))
@click.option("--dry-run", is_flag=True, help="Say what would be moved, and move nothing.")
@click.option("--limit", type=click.IntRange(1), help="Move at most so many.")
@click.option("--include-poison", is_flag=True, help="Move those too that a function set aside with a reason.")
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
@stack_options
def redrive(
    queue: str,
    dry_run: bool,
    limit: int | None,
    include_poison: bool,
    form: str,
    deployment: Callable[[], Deployment],
) -> None:
    """Move the dead letters of QUEUE back to where they were given up.

    Each is sent first and deleted after, one by one: stopped at any moment, the command can be run again, and what is
    then delivered twice counts once. Poison would come back with the same reason until that is mended, so it is shown
    and stays; so does telemetry so old that the markers which keep it from counting twice may be gone. Exits with 1 if
    either was left.
    """
    found, now_ms = deployment(), time.time_ns() // 1_000_000
    with found.reaching("a queue of"):
        moved, left = redriven(found, queue, now_ms, limit, include_poison=include_poison, dry_run=dry_run)
    poison = {letter.message_id: letter.reason for letter in left if letter.reason is not None}
    if form == "json":
        ids = [letter.message_id for letter in moved]
        click.echo(json.dumps({"queue": queue, "dry_run": dry_run, "moved": ids, "left": len(left), "poison": poison}))
    else:
        say("\n".join(_lines(moved, left, dry_run=dry_run)))
    if poison:
        sys.exit(FINDINGS)


def redriven(
    deployment: Deployment,
    queue: str,
    now_ms: int,
    limit: int | None = None,
    *,
    include_poison: bool = False,
    dry_run: bool = False,
    wait_s: int = 1,
) -> tuple[list[Letter], list[Letter]]:
    """What was moved, or would be, and what was left. wait_s: as for `Backlog`."""
    from functions.stores.backlog import Backlog
    from functions.stores.queues import Queue

    sqs, kind = deployment.client("sqs"), queue.capitalize()
    dead = Backlog(sqs, deployment.name(f"{kind}DeadLetterQueue"), wait_s=wait_s)
    source = Queue(sqs, deployment.name(f"{kind}Queue"), f"{queue}_unavailable")
    moved: list[Letter] = []
    shown: list[Letter] = []
    try:
        for letter in dead.taken():
            if why := _outdated(letter, queue, now_ms):
                shown.append(replace(letter, reason=why))
            elif (letter.reason is None or include_poison) and (limit is None or len(moved) < limit):
                if dry_run:
                    shown.append(letter)
                else:
                    dead.move(letter, source)
                moved.append(letter)
            else:
                shown.append(letter)
            if limit is not None and len(moved) >= limit:
                break
    finally:
        dead.show(shown)
    going = {letter.message_id for letter in moved}
    return moved, [letter for letter in shown if letter.message_id not in going]


def _outdated(letter: Letter, queue: str, now_ms: int) -> str | None:
    """Why a letter must not go back: what it says may have counted, and the marker that would tell be gone by then."""
    from functions.stores.messages import MessageError, unpack_telemetry
    from policy_engine.settlement import DAY_MS, REDRIVE_LIMIT_MS

    if queue != "telemetry":
        return None
    try:
        age_ms = now_ms - min(told.received_ms for told in unpack_telemetry(letter.body))
    except MessageError:
        return None
    if age_ms <= REDRIVE_LIMIT_MS:
        return None
    return f"accepted {age_ms // DAY_MS} days ago; after {REDRIVE_LIMIT_MS // DAY_MS} it might count twice"


def _lines(moved: list[Letter], left: list[Letter], *, dry_run: bool) -> Iterator[str]:
    for letter in moved:
        yield f"{'would move' if dry_run else 'moved'} {letter.message_id}{_reason(letter)}"
    for letter in left:
        yield f"left {letter.message_id}{_reason(letter)}"
    yield f"{len(moved)} {'would be moved' if dry_run else 'moved'}, {len(left)} left"


def _reason(letter: Letter) -> str:
    return f": {letter.reason}" if letter.reason is not None else ""
