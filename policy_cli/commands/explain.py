"""`pointsman explain`: why a decision came out as it did, why it did not another way, or what a code means."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import click

from policy_cli.asking import call_of, call_options, request_of, tell_task
from policy_cli.console import say
from policy_cli.exits import FINDINGS, ToolError
from policy_cli.sources import compile_file
from policy_lang.diagnostics import did_you_mean

__all__ = ["explain"]

_CODE = re.compile(r"[Pp][0-9]{3}")


@click.command()
@click.argument("subject", required=False)
@click.argument("decision_id", required=False)
@click.option("--why-not", "model", metavar="MODEL", help="Say what keeps this model from a call, by --policy.")
@click.option("--policy", help="With --why-not: the policy file; the call is given by --task and its like.")
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
@call_options
def explain(
    subject: str | None,
    decision_id: str | None,
    model: str | None,
    policy: str | None,
    form: str,
    call: dict[str, Any],
) -> None:
    """Explain SUBJECT: a receipt file (with DECISION_ID, or its beginning, where it holds several) or a code like P308.

    The receipt's hash is checked first; one that was altered is not explained. With --why-not, explain instead what
    keeps a model from serving a call, and the nearest change of the policy that would admit it.
    """
    if (subject is None) == (model is None) or (model is None) != (policy is None):
        raise click.UsageError("give a SUBJECT, or `--why-not MODEL --policy FILE` and the call")
    if model is not None and policy is not None:
        _explain_absence(model, policy, form, request_of(call))
        return
    assert subject is not None
    if _CODE.fullmatch(subject) and not Path(subject).exists():
        code, page = subject.upper(), _page(subject.upper())
        if form == "json":
            title, _, text = page.partition("\n")
            click.echo(json.dumps({"code": code, "title": title.removeprefix(code).strip(), "text": text.strip()}))
        else:
            say(page)
        return
    receipt = _receipt(Path(subject), decision_id)
    if form == "json":
        click.echo(json.dumps(receipt, indent=2, sort_keys=True))
        return
    from policy_cli.explaining import explain_receipt

    say(explain_receipt(receipt))


def _explain_absence(model: str, policy: str, form: str, request: dict[str, Any]) -> None:
    from policy_cli.local import admitted
    from policy_engine.wire import RequestError
    from policy_lang.analysis.nearest import why_not
    from policy_lang.catalog import default_catalog

    if "candidates" in request:
        raise click.UsageError("`--candidate` narrows a call to some arms; ask why a model may not serve without it")
    compilation = compile_file(policy)
    if compilation.policy is None:
        click.echo(compilation.render().rstrip("\n"), err=True)
        sys.exit(FINDINGS)
    tell_task(request, compilation.policy)
    try:
        admitted(compilation.policy, request)
        found = why_not(compilation.policy, default_catalog(), model, call_of(request))
    except RequestError as problem:
        raise ToolError(str(problem)) from None
    except KeyError:
        near = did_you_mean(model, frozenset(default_catalog().aliases) | frozenset(default_catalog().models))
        raise ToolError(f"no model `{model}`" + (f"; did you mean `{near}`?" if near else "")) from None
    rows: list[dict[str, Any]] = [
        {"rule": o.rule, "line": compilation.lines.get(o.rule), "kind": o.kind}
        | {"unknown": list(o.unknown), "change": [str(edit) for edit in o.edits], "help": o.help}
        for o in found.obstacles
    ]
    if form == "json":
        click.echo(json.dumps({"arm": found.arm, "route": found.route, "obstacles": rows}))
        return
    from policy_cli.explaining import explain_absence

    say(explain_absence(found.arm, found.route, rows))


def _receipt(path: Path, decision_id: str | None) -> dict[str, Any]:
    from policy_cli.receipts import ReceiptFileError, receipt_files, receipt_lines
    from policy_engine.receipt import ReceiptError, open_sealed

    wanted = (decision_id or "").lower()
    try:
        found = [line for file in receipt_files([path]) for line in receipt_lines(file) if _is_of(line, wanted)]
        distinct = list(dict.fromkeys(found))
        if len(distinct) == 1:
            return open_sealed(distinct[0])
        if not distinct:
            asked = f"receipt of a decision that begins with `{decision_id}`" if decision_id else "receipt"
            raise ToolError(f"`{path}` holds no {asked}")
        more = f" that begin with `{decision_id}`; name more digits" if decision_id else "; name the id of a decision"
        raise ToolError(f"`{path}` holds {len(distinct)} receipts{more}")
    except (ReceiptFileError, ReceiptError) as problem:
        raise ToolError(str(problem)) from None


def _is_of(line: str, beginning: str) -> bool:
    return f'"decision_id":"{beginning}' in line


def _page(code: str) -> str:
    from policy_lang.reporting.codes import PAGES

    if code not in PAGES:
        raise ToolError(f"there is no code `{code}`; known are {', '.join(sorted(PAGES))}")
    return PAGES[code].rstrip("\n")
