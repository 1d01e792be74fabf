"""Rows of a parquet file, with errors that say what the file lacks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from policy_cli.demo.calls import ScenarioError

__all__ = ["read_rows"]


def read_rows(
    path: Path,
    required: Sequence[str],
    optional: Sequence[str] = (),
    *,
    most: int | None = None,
    only: tuple[str, Sequence[str]] | None = None,
) -> list[dict[str, Any]]:
    """The named columns, optional ones where the file has them.

    most: the first so many rows. only: a column and the values of it to keep.
    """
    import pyarrow
    from pyarrow import parquet

    try:
        columns = parquet.read_schema(path).names
        if missing := [name for name in required if name not in columns]:
            raise ScenarioError(f"{path.name} has no column `{missing[0]}`; it needs {', '.join(required)}")
        wanted = [name for name in (*required, *optional) if name in columns]
        chosen = [(only[0], "in", list(only[1]))] if only else None
        rows: list[dict[str, Any]] = parquet.read_table(path, columns=wanted, filters=chosen).slice(0, most).to_pylist()
    except (OSError, pyarrow.ArrowException) as problem:
        raise ScenarioError(f"{path} cannot be read as parquet: {str(problem).splitlines()[0]}") from None
    return rows
