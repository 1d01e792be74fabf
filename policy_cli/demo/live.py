"""Decisions as they come: a table that scrolls on a terminal, aligned lines elsewhere, JSON lines for machines."""

from __future__ import annotations

import json
import sys
from collections import deque
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Protocol

import click

from policy_cli.demo.calls import START_MS, Call
from policy_client import RouteReply

__all__ = ["Screen", "screen"]

_COLUMNS = (
    ("#", 6), ("at", 8), ("tenant", 10), ("shape", 44), ("model", 30), ("", 12), ("floor", 9), ("conf.", 6),
    ("cost", 10), ("baseline", 10),
)  # fmt: skip
# A log is not a screen: the beginning in full, then samples.
_IN_FULL, _SAMPLED = 20, 50


class Screen(Protocol):
    """Where decisions are shown. `reply` is None where no model could serve."""

    def decided(self, call: Call, reply: RouteReply | None) -> None: ...


def screen(title: str, decisions: int, style: str, *, everything: bool) -> AbstractContextManager[Screen]:
    """The screen for an output style, `text` or `json`."""
    if style == "json":
        return _json_lines(everything)
    if sys.stdout.isatty() and not everything:
        return _terminal(title, decisions)
    return _plain(title, everything)


class _JsonLines:
    def __init__(self, everything: bool) -> None:
        self._everything = everything

    def decided(self, call: Call, reply: RouteReply | None) -> None:
        if self._everything:
            document: dict[str, Any] = {"number": call.number, "tenant": call.tenant, "at_ms": call.at_ms}
            click.echo(json.dumps(document | {"decision": dict(reply.document) if reply else None}))


class _Plain:
    def __init__(self, everything: bool) -> None:
        self._everything = everything

    def decided(self, call: Call, reply: RouteReply | None) -> None:
        if self._everything or call.number < _IN_FULL or call.number % _SAMPLED == 0:
            click.echo(_aligned(_cells(call, reply)))
            sys.stdout.flush()


class _Terminal:
    def __init__(self, title: str, decisions: int, live: Any, height: int) -> None:
        self._title, self._decisions, self._live = title, decisions, live
        self._rows: deque[tuple[str, ...]] = deque(maxlen=max(5, height - 7))
        self.shown = 0

    def decided(self, call: Call, reply: RouteReply | None) -> None:
        self._rows.append(_cells(call, reply))
        self.shown = call.number + 1
        if self.shown == 1:
            self._live.refresh()

    def __rich__(self) -> Any:
        from rich.table import Table

        caption = f"{self.shown:,} of {self._decisions:,} decisions"
        table = Table(title=self._title, caption=caption, expand=True, pad_edge=False)
        for name, width in _COLUMNS:
            table.add_column(name, no_wrap=True, max_width=width, justify="right" if _is_number(name) else "left")
        for row in self._rows:
            table.add_row(*row, style="yellow" if row[5] == "explored" else None)
        return table


@contextmanager
def _json_lines(everything: bool) -> Iterator[Screen]:
    yield _JsonLines(everything)


@contextmanager
def _plain(title: str, everything: bool) -> Iterator[Screen]:
    click.echo(f"{title}\n\n{_aligned(tuple(name for name, _ in _COLUMNS))}")
    yield _Plain(everything)
    if not everything:
        click.echo(f"(the first {_IN_FULL} decisions and every {_SAMPLED}th; all of them with --verbose)")


@contextmanager
def _terminal(title: str, decisions: int) -> Iterator[Screen]:
    from rich.console import Console
    from rich.live import Live

    console = Console()
    with Live(console=console, refresh_per_second=8) as live:
        shown = _Terminal(title, decisions, live, console.height)
        live.update(shown)
        yield shown


def _cells(call: Call, reply: RouteReply | None) -> tuple[str, ...]:
    seconds = (call.at_ms - START_MS) // 1000
    shape = call.envelope
    words = [shape.task_type, shape.structure_type, shape.context_length, f"{shape.tools_used} tools"]
    words += [shape.estimated_tokens, *(["urgent"] if shape.time_sensitive else [])]
    at = f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"
    head = (f"{call.number + 1}", at, call.tenant, " ".join(words))
    if reply is None:
        return (*head, "no candidates", "refused", "-", "-", "-", "-")
    return (
        *head,
        reply.model,
        "explored" if reply.explored else reply.plan[0].role.replace("_", " "),
        reply.floor,
        "-" if reply.floor == "none" else f"{reply.confidence_ppm / 10_000:.0f} %",
        f"${reply.expected_cost_nanodollars / 1e9:.6f}",
        f"${reply.baseline_cost_nanodollars / 1e9:.6f}",
    )


def _aligned(cells: tuple[str, ...]) -> str:
    parts = []
    for (name, width), cell in zip(_COLUMNS, cells, strict=True):
        cut = cell if len(cell) <= width else cell[: width - 2] + ".."
        parts.append(cut.rjust(width) if _is_number(name) else cut.ljust(width))
    return "  ".join(parts).rstrip()


def _is_number(column: str) -> bool:
    return column in ("#", "conf.", "cost", "baseline")
