"""`pointsman new`: a policy to start from, which compiles without a warning and carries tests that pass."""

from __future__ import annotations

import datetime
from pathlib import Path

import click

from policy_cli.exits import ToolError

__all__ = ["PRESETS", "new", "preset", "preset_file"]

#: The files of `presets/`, in the order of `--help`.
PRESETS = ("cheapest-acceptable", "fastest-interactive", "cascade", "three-tier", "eu-only", "canary")
_FOLDER = Path(__file__).parents[1] / "presets"
_SOME_DAY = "2099-12-31"
_DAYS = 30


@click.command()
@click.argument("preset_name", metavar="PRESET", type=click.Choice(PRESETS))
@click.option("--name", default="my/policy", show_default=True, help="Name of the policy, as in team/name.")
@click.option(
    "--out", type=click.Path(dir_okay=False, path_type=Path), help="Write to this file, which must not exist."
)
def new(preset_name: str, name: str, out: Path | None) -> None:
    """Print a policy made from PRESET, or write it with --out.

    A canary in it ends in 30 days.
    """
    from policy_lang.catalog import default_catalog
    from policy_lang.compiler import compile_policy

    until = datetime.datetime.now(datetime.UTC).date() + datetime.timedelta(days=_DAYS)
    text = preset(preset_name, name, until)
    if findings := compile_policy(text, default_catalog(), preset_name).diagnostics:
        raise ToolError(f"`--name {name}`: {findings[0].message}; {findings[0].help}")
    if out is None:
        click.echo(text, nl=False)
        return
    try:
        with out.open("x", encoding="utf-8", newline="") as file:
            file.write(text)
    except OSError as problem:
        raise ToolError(f"cannot write `{out}`: {problem.strerror}") from None
    click.echo(f"wrote {out}; `pointsman test {out}` runs its tests", err=True)


def preset(which: str, name: str, until: datetime.date) -> str:
    """The text of a preset under another name, its canaries ending on `until`."""
    text = preset_file(which).read_text(encoding="utf-8")
    return text.replace(f"example/{which}", name).replace(_SOME_DAY, until.isoformat())


def preset_file(which: str) -> Path:
    """Where a preset stands, a policy in its own right."""
    return _FOLDER / f"{which}.policy"
