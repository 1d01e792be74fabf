"""`pointsman replay`: decide again, in a process without clock or network, and compare the bytes."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from policy_cli.console import say
from policy_cli.exits import FINDINGS, ToolError

__all__ = ["replay", "replay_sealed"]

_SHOWN = 20
_Existing = click.Path(exists=True, path_type=Path)
_File = click.Path(exists=True, dir_okay=False, path_type=Path)
_Folder = click.Path(exists=True, file_okay=False, path_type=Path)
_Program = click.Path(exists=True, dir_okay=False, executable=True, path_type=Path)


@click.command()
@click.argument("sources", nargs=-1, required=True, type=_Existing)
@click.option("--policies", type=_Folder, help="Folder of stored policies besides those found next to the receipts.")
@click.option("--expect", type=_File, help="File of decision ids, one a line, that must be among the receipts.")
@click.option("--python", type=_Program, help="Another interpreter to decide again with, 3.11 or newer.")
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
def replay(
    sources: tuple[Path, ...], policies: Path | None, expect: Path | None, python: Path | None, form: str
) -> None:
    """Replay the receipts in SOURCES: JSONL(.gz) files, or folders of them with `policies/` inside or beside.

    Exits with 1 if a receipt is not reproduced byte for byte, or if one that was expected is missing.
    """
    result = replay_sealed(list(sources), policies, expect, python)
    if not result["receipts"] and not result["missing"]:
        raise ToolError("no receipt in any of these; name JSONL(.gz) files of receipts or folders that hold some")
    if form == "json":
        click.echo(json.dumps(result))
    else:
        say("\n".join(_lines(result, python)))
    if result["unequal"] or result["missing"]:
        sys.exit(FINDINGS)


def replay_sealed(
    sources: list[Path], policies: Path | None = None, expect: Path | None = None, python: Path | None = None
) -> dict[str, Any]:
    """Replay in a sealed process; the summary as `replaying.Replayed` lays it out. ToolError when it could not run."""
    from policy_cli.sandbox import run_sealed

    options = ["--policies", str(policies.resolve())] if policies else []
    options += ["--expect", str(expect.resolve())] if expect else []
    arguments = [*options, *(str(source.resolve()) for source in sources)]
    done = run_sealed("policy_cli.replaying", arguments, str(python or sys.executable))
    if done.returncode:
        silent = f"`{python}` ended with {done.returncode} and said nothing; is it Python 3.11 or newer?"
        raise ToolError(done.stderr.strip() or silent)
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def _lines(result: dict[str, Any], python: Path | None) -> list[str]:
    lines = [f"{result['equal']} of {result['receipts']} receipts byte-equal, clock and sockets blocked"]
    if python is not None:
        lines[0] += f", Python {result['python']}"
    if result["repeated"]:
        lines.append(f"{result['repeated']} delivered more than once")
    differing = [
        f"unequal {found['decision_id']}  {found['difference']}  ({found['file']}:{found['line']})"
        for found in result["unequal"]
        if found["decision_id"]
    ]
    findings = differing, list(_unreadable(result["unequal"])), [f"missing {due}" for due in result["missing"]]
    hidden = sum(max(0, len(found) - _SHOWN) for found in findings)
    lines += [line for found in findings for line in found[:_SHOWN]]
    return lines + ([f"and {hidden} more; --format json lists all"] if hidden else [])


def _unreadable(unequal: list[dict[str, Any]]) -> Iterator[str]:
    """A line for every file with lines that are no receipts: a file of something else is said once."""
    files: dict[tuple[str, str], list[int]] = {}
    for found in unequal:
        if not found["decision_id"]:
            files.setdefault((found["file"], found["difference"]), []).append(found["line"])
    for (file, why), numbers in files.items():
        others = f", and so for {len(numbers) - 1} more of its lines" if numbers[1:] else ""
        yield f"unreadable {file}:{numbers[0]}  {why}{others}"
