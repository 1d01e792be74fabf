"""`pointsman price`: what stored decisions cost at the prices of another day."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from policy_cli.console import say
from policy_cli.exits import FINDINGS, ToolError
from policy_cli.sources import read_json
from policy_cli.units import dollars

if TYPE_CHECKING:
    from policy_cli.pricing import Priced, Sum
    from policy_lang.catalog import Model

__all__ = ["price"]

_SHOWN = 10
#: Another model's price has no recorded side.
_SAME_TOKENS = "  the baseline, same tokens"
_Existing = click.Path(exists=True, path_type=Path)
_File = click.Path(exists=True, dir_okay=False, path_type=Path)
_Folder = click.Path(exists=True, file_okay=False, path_type=Path)


@click.command()
@click.argument("sources", nargs=-1, required=True, type=_Existing)
@click.option("--as-of", "day", required=True, type=click.DateTime(["%Y-%m-%d"]), help="The day whose prices to use.")
@click.option("--policies", type=_Folder, help="Folder of stored policies besides those found next to the receipts.")
@click.option("--overlay", type=_File, help="The tenant's own catalog rows, a JSON array, laid over the shipped.")
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
def price(sources: tuple[Path, ...], day: datetime, policies: Path | None, overlay: Path | None, form: str) -> None:
    """Price the decisions in SOURCES, receipt files or folders of them, as of another day.

    What served and the tokens stay what they were; folders named `outcomes` add what the calls did cost. Exits with 1
    if an arm has no price on that day or a line cannot be read; both are left out of the sums and named. Arms of which
    only the list price is known are priced by it, and named.
    """
    from policy_cli.pricing import outcome_files, price_files, price_list, undated
    from policy_cli.receipts import ReceiptFileError, policies_beside, receipt_files
    from policy_lang.catalog import default_catalog

    names, date = list(sources), day.date().isoformat()
    catalog = default_catalog().overlaid(_rows(overlay)) if overlay else default_catalog()
    try:
        files, store = receipt_files(names), policies_beside(names, policies)
    except ReceiptFileError as problem:
        raise ToolError(str(problem)) from None
    result = price_files(files, outcome_files(names), store, price_list(catalog, date))
    if not result.decisions and not result.unreadable:
        raise ToolError(
            "no decision that served somebody in any of these; name receipt files or folders that hold some"
        )
    listed = undated(catalog, result.used, date)
    if form == "json":
        head = {"as_of": date, "catalog": catalog.fingerprint, "undated": listed}
        click.echo(json.dumps(head | asdict(result), sort_keys=True))
    else:
        lines = _lines(result, date)
        if listed:
            lines.append(f"no dated price, so priced by the list of {catalog.as_of}: {', '.join(listed)}")
        say("\n".join(lines))
    if result.unpriced or result.unreadable:
        sys.exit(FINDINGS)


def _rows(overlay: Path) -> list[Model]:
    from policy_lang.catalog import CatalogError, model_from_document

    rows = read_json(overlay)
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise ToolError(f"`{overlay}` must hold a JSON array of catalog rows, each with `arm`, prices and the like")
    try:
        return [model_from_document(row) for row in rows]
    except (CatalogError, TypeError) as problem:
        raise ToolError(f"`{overlay}`: {problem}") from None


def _lines(result: Priced, date: str) -> list[str]:
    rows = [("expected of what served", result.expected), ("expected of the baseline", result.baseline)]
    if result.spent.calls:
        rows += [("spent, as reported", result.spent), (_SAME_TOKENS, result.spent_baseline)]
    arms = [(f"  {arm}", sums) for arm, sums in sorted(result.arms.items())]
    width = max(len(name) for name, _ in rows + arms)
    lines = [f"{result.decisions} decisions at the prices of {date}", ""]
    lines.append(f"{'':{width}}{'calls':>8}{'recorded':>14}{date:>14}{'change':>9}")
    lines += [_row(name, sums, width) for name, sums in rows]
    if arms:
        lines += ["", "by arm", *(_row(name, sums, width) for name, sums in arms)]
    lines += [f"no price on {date}: {arm} ({count} left out)" for arm, count in sorted(result.unpriced.items())]
    if result.list_service:
        lines.append(f"{result.list_service} decisions priced at list: their policy is not at hand")
    lines += [f"unreadable {what}" for what in result.unreadable[:_SHOWN]]
    hidden = len(result.unreadable) - _SHOWN
    return lines + ([f"and {hidden} more; --format json lists all"] if hidden > 0 else [])


def _row(name: str, sums: Sum, width: int) -> str:
    recorded = "" if name == _SAME_TOKENS else dollars(sums.recorded)
    change = f"{(sums.repriced - sums.recorded) / sums.recorded:+.1%}" if recorded and sums.recorded else ""
    return f"{name:{width}}{sums.calls:>8}{recorded:>14}{dollars(sums.repriced):>14}{change:>9}".rstrip()
