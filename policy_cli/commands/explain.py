"""`pointsman explain`: why a decision came out as it did, or what a diagnostic code means."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import click

from policy_cli.console import say
from policy_cli.exits import ToolError

__all__ = ["explain"]

_CODE = re.compile(r"[Pp][0-9]{3}")


@click.command()
@click.argument("subject")
@click.argument("decision_id", required=False)
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
def explain(subject: str, decision_id: str | None, form: str) -> None:
    """Explain SUBJECT: a receipt file (with DECISION_ID, or its beginning, where it holds several) or a code like P308.

    The receipt's hash is checked first; one that was altered is not explained.
    """
    if _CODE.fullmatch(subject) and not Path(subject).exists():
        say(_page(subject.upper()))
        return
    receipt = _receipt(Path(subject), decision_id)
    if form == "json":
        click.echo(json.dumps(receipt, indent=2, sort_keys=True))
        return
    from policy_cli.explaining import explain_receipt

    say(explain_receipt(receipt))


def _receipt(path: Path, decision_id: str | None) -> dict[str, Any]:
    from policy_cli.receipts import ReceiptFileError, receipt_files, receipt_lines
    from policy_engine.receipt import ReceiptError, open_sealed

    wanted = (decision_id or "").lower()
    try:
        found = [line for file in receipt_files([path]) for line in receipt_lines(file) if _is_of(line, wanted)]
        distinct = list(dict.fromkeys(found))
        if len(distinct) != 1:
            asked = f"decisions beginning with `{decision_id}`" if decision_id else "receipts; name a decision id"
            raise ToolError(f"`{path}` holds {len(distinct)} {asked}")
        return open_sealed(distinct[0])
    except (ReceiptFileError, ReceiptError) as problem:
        raise ToolError(str(problem)) from None


def _is_of(line: str, beginning: str) -> bool:
    return f'"decision_id":"{beginning}' in line


def _page(code: str) -> str:
    from policy_lang.codes import PAGES

    if code not in PAGES:
        raise ToolError(f"there is no code `{code}`; known are {', '.join(sorted(PAGES))}")
    return PAGES[code]
