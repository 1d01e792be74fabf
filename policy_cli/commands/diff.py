"""`pointsman diff`: what a new version of a policy changes, exactly, with a call that shows each change."""

from __future__ import annotations

import json
import sys
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from policy_cli.console import say
from policy_cli.exits import FINDINGS, ToolError
from policy_cli.sources import compile_file

if TYPE_CHECKING:
    from policy_lang.analysis.diff import Change, Diff
    from policy_lang.ir import Policy

__all__ = ["diff_command"]

_ASPECTS = {
    "may": "who could serve",
    "tier": "the first tier with a candidate",
    "order": "the order of candidates",
    "parameters": "floors, exploration, parameters and the rest",
}


@click.command("diff")
@click.argument("old")
@click.argument("new")
@click.option(
    "--histogram",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help='Past calls, {"cluster id": count} or rows of envelope and count: weighs the changes by traffic.',
)
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
def diff_command(old: str, new: str, histogram: Path | None, form: str) -> None:
    """Compare what policies OLD and NEW mean over every shape of call there is.

    Exits with 0 where they mean the same, with 1 where they differ or one does not compile.
    """
    from policy_lang.analysis.diff import diff
    from policy_lang.catalog import default_catalog

    before, after = _policy(old), _policy(new)
    counted = None
    if histogram:
        from policy_cli.traffic import read_histogram

        counted = read_histogram(histogram)
    try:
        found = diff(before, after, default_catalog(), counted)
    except ValueError as problem:
        raise ToolError(f"`{histogram}`: {problem}") from None
    if found.verdict == "not proved":
        raise ToolError("not proved: the two name too many values together; compare them in parts")
    if form == "json":
        click.echo(json.dumps(_document(found)))
    else:
        say("\n".join(_lines(found)))
    if found.verdict == "different":
        sys.exit(FINDINGS)


def _policy(file: str) -> Policy:
    compilation = compile_file(file)
    if compilation.policy is None:
        click.echo(compilation.render().rstrip("\n"), err=True)
        click.echo(f"`{file}` does not compile, so there is nothing to compare", err=True)
        sys.exit(FINDINGS)
    return compilation.policy


def _lines(found: Diff) -> list[str]:
    if found.verdict == "equal":
        return ["they mean the same for every call"]
    lines = [f"{_share(found.share, found.traffic)} change"]
    for change in found.changes:
        if change.witness is not None:
            lines += _change_lines(change)
    for word, moves in (("may serve now", found.gains), ("may serve no more", found.losses)):
        lines += [f"{arm} {word}: {_percent(share)} of shapes" for arm, share in moves.items()]
    return lines


def _change_lines(change: Change) -> list[str]:
    from policy_lang.analysis.words import call_text

    assert change.witness is not None
    lines = [f"{_ASPECTS[change.aspect]}: {_share(change.share, change.traffic)}"]
    lines.append(f"  for {call_text(change.witness.given)}")
    if change.before != change.after:
        lines += [f"  - {change.before}", f"  + {change.after}"]
    return lines


def _share(share: Fraction, traffic: Fraction | None) -> str:
    return f"{_percent(share)} of shapes" + (f", {_percent(traffic)} of the traffic" if traffic is not None else "")


def _percent(share: Fraction) -> str:
    # A change that exists is not shown as none, and one that leaves something out not as all.
    rounded = round(float(share) * 100, 1)
    if share and not rounded:
        return "under 0.1%"
    return "over 99.9%" if share != 1 and rounded == 100 else f"{rounded:g}%"


def _document(found: Diff) -> dict[str, Any]:
    return {
        "verdict": found.verdict,
        "share": _number(found.share),
        "traffic": _number(found.traffic),
        "changes": [_change(change) for change in found.changes if change.witness is not None],
        "gains": {arm: _number(share) for arm, share in found.gains.items()},
        "losses": {arm: _number(share) for arm, share in found.losses.items()},
    }


def _change(change: Change) -> dict[str, Any]:
    from policy_lang.envelope import envelope_to_wire

    assert change.witness is not None
    call = change.witness.call
    request: dict[str, Any] = {"envelope": envelope_to_wire(call.envelope)}
    request |= {name: value for name in ("org", "team", "product") if (value := getattr(call, name)) is not None}
    if call.attributes:
        request["attributes"] = dict(call.attributes)
    return {
        "aspect": change.aspect,
        "share": _number(change.share),
        "traffic": _number(change.traffic),
        "witness": request,
        "before": change.before,
        "after": change.after,
    }


def _number(share: Fraction | None) -> dict[str, Any] | None:
    """Exact as a fraction, and as a decimal for those who only look."""
    return None if share is None else {"exact": str(share), "about": round(float(share), 6)}
