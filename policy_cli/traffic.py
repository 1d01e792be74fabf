"""What a tenant's past looks like in files: a histogram of calls, and raw logs."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import TYPE_CHECKING, Any

from policy_cli.asking import call_of
from policy_cli.exits import ToolError
from policy_cli.sources import parse_json, read_json

if TYPE_CHECKING:
    from policy_lang.analysis.advise import LogRow
    from policy_lang.analysis.space import Call
    from policy_lang.envelope import Envelope

    #: As the analysis takes it; files hold calls and cluster ids.
    Histogram = dict[Call | Envelope | tuple[str | bool, ...] | str, int]

__all__ = ["read_histogram", "read_log"]

#: Field -> the names that logs give it.
_NAMES = {
    "task": ("task", "task_type", "label"),
    "tokens_in": ("tokens_in", "input_tokens", "prompt_tokens"),
    "tokens_out": ("tokens_out", "output_tokens", "completion_tokens"),
    "model": ("model",),
    "cost": ("cost_usd", "cost", "response_cost"),
    "at": ("at", "timestamp", "created", "time"),
}
_NANO = 1_000_000_000
_DAY_S = 86_400


def read_histogram(path: Path) -> Histogram:
    """`{"<cluster id>": 12}`, or rows `{"envelope": {...}, "org": "x", "count": 12}`; at least one call."""
    document = read_json(path)
    rows = document.items() if isinstance(document, dict) else _rows(document, path)
    found: Histogram = {}
    for call, count in rows:
        if isinstance(count, bool) or not isinstance(count, int) or count < 0:
            raise ToolError(f"`{path}`: a count is a whole number, not {count!r}")
        found[call] = found.get(call, 0) + count
    if not sum(found.values()):
        raise ToolError(f"`{path}` counts no calls")
    return found


def _rows(document: Any, path: Path) -> Iterator[tuple[Call, Any]]:
    rows = document if isinstance(document, list) else []
    if not rows or not all(isinstance(row, dict) and {"envelope", "count"} <= row.keys() for row in rows):
        raise ToolError(f"`{path}` is neither an object of cluster ids nor rows with `envelope` and `count`")
    return ((call_of(row), row["count"]) for row in rows)


def read_log(path: Path) -> tuple[list[LogRow], int | None]:
    """The calls of a CSV or JSONL log, and the days between first and last where rows say when they were."""
    from policy_lang.analysis.advise import LogRow

    rows: list[LogRow] = []
    times: list[float] = []
    for number, row in enumerate(_records(path), 1):
        where = f"`{path}` row {number}"
        rows.append(
            LogRow(
                task=str(_field(row, "task", where)),
                tokens_in=_count(_field(row, "tokens_in", where), where),
                tokens_out=_count(_field(row, "tokens_out", where), where),
                model=_optional(row, "model"),
                cost_nanodollars=_money(_optional(row, "cost"), where),
            )
        )
        if (at := _optional(row, "at")) is not None:
            times.append(_seconds(at, where))
    days = max(1, round((max(times) - min(times)) / _DAY_S)) if times else None
    return rows, days


def _records(path: Path) -> Iterable[Mapping[str, Any]]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as problem:
        raise ToolError(f"cannot read `{path}`: {problem}") from None
    if path.suffix == ".csv":
        return csv.DictReader(text.splitlines())
    return [_record(line, f"`{path}` line {n}") for n, line in enumerate(text.splitlines(), 1) if line.strip()]


def _record(line: str, where: str) -> Mapping[str, Any]:
    try:
        found = parse_json(line)
    except ValueError as problem:
        raise ToolError(f"{where} is not JSON, and the file's name does not end in .csv: {problem}") from None
    if not isinstance(found, dict):
        raise ToolError(f"{where} must be an object with {_accepted('task')}, {_accepted('tokens_in')}, ...")
    return found


def _field(row: Mapping[str, Any], field: str, where: str) -> Any:
    found = _optional(row, field)
    if found is None:
        given = ", ".join(f"`{name}`" for name in row if name)
        raise ToolError(f"{where} lacks {_accepted(field)}; it has {given or 'no field'}")
    return found


def _optional(row: Mapping[str, Any], field: str) -> Any:
    return next((row[name] for name in _NAMES[field] if row.get(name) not in (None, "")), None)


def _accepted(field: str) -> str:
    return " or ".join(f"`{name}`" for name in _NAMES[field])


def _count(value: Any, where: str) -> int:
    try:
        count = int(value)
    except (TypeError, ValueError):
        count = -1
    if count < 0 or isinstance(value, bool):
        raise ToolError(f"{where}: {value!r} is no number of tokens")
    return count


def _money(value: Any, where: str) -> int | None:
    if value is None:
        return None
    try:
        return round(Decimal(str(value)) * _NANO)
    except (InvalidOperation, ValueError, OverflowError):
        raise ToolError(f"{where}: {value!r} is no amount of dollars") from None


def _seconds(value: Any, where: str) -> float:
    """Seconds since 1970, from such a number or from ISO 8601; without a zone it is UTC."""
    try:
        return float(value)
    except (TypeError, ValueError):
        pass
    try:
        moment = datetime.fromisoformat(str(value))
    except ValueError:
        raise ToolError(f"{where}: {value!r} is neither ISO 8601 nor seconds since 1970") from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
