"""`pointsman catalog`: compile the shipped catalog from its sources, and read it."""

from __future__ import annotations

import json
import sys
from collections import Counter
from datetime import datetime
from pathlib import Path

import click

from policy_cli.catalog.document import compile_catalog, render
from policy_cli.catalog.joining import Joined
from policy_cli.catalog.sources import SourceError, read_capabilities, read_prices
from policy_lang.catalog import default_catalog, model_document

__all__ = ["catalog"]

_SHIPPED = Path(__file__).resolve().parents[2] / "policy_lang" / "catalog.json"


@click.group()
def catalog() -> None:
    """Compile and inspect the model catalog."""


@catalog.command()
@click.option(
    "--litellm-wheel",
    "wheel",
    required=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="LiteLLM wheel whose capability table is read; the package is not installed.",
)
@click.option("--as-of", required=True, type=click.DateTime(["%Y-%m-%d"]), help="Day whose prices and stages hold.")
@click.option("--output", default=_SHIPPED, show_default=False, type=click.Path(dir_okay=False, path_type=Path))
@click.option("--check", is_flag=True, help="Write nothing; exit 1 if the file differs from what would be written.")
def build(wheel: Path, as_of: datetime, output: Path, check: bool) -> None:
    """Compile catalog.json. The same inputs give the same bytes."""
    day = as_of.date()
    try:
        table = read_capabilities(wheel)
        find_price, prices = read_prices(day)
    except SourceError as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(2)
    joined, document = compile_catalog(table, find_price, prices, day)
    text = render(document)
    if not check:
        output.write_text(text, encoding="utf-8")
    elif not output.exists() or output.read_text(encoding="utf-8") != text:
        click.echo(f"{output} differs from its sources: run the command without --check", err=True)
        sys.exit(1)
    _summarise(joined)


@catalog.command()
@click.argument("name", required=False)
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text")
def show(name: str | None, form: str) -> None:
    """Print one model (by arm or alias), or a line for each."""
    known = default_catalog()
    arm = known.resolve(name) if name else None
    if name and arm is None:
        click.echo(f"error: the catalog knows no model or alias `{name}`", err=True)
        sys.exit(1)
    models = [known.models[arm]] if arm else list(known.models.values())
    if form == "json":
        click.echo(json.dumps([model_document(model) for model in models], indent=2))
        return
    for model in models:
        place = model.region or "-"
        prices = f"${model.price_in / 1_000_000:g} in, ${model.price_out / 1_000_000:g} out per Mtok"
        click.echo(f"{model.arm:58} {model.stage or '-':10} {place:6} {prices}")


def _summarise(joined: Joined) -> None:
    providers = Counter(row.model.provider for row in joined.rows)
    click.echo(f"{len(joined.rows)} arms: " + ", ".join(f"{name} {n}" for name, n in sorted(providers.items())))
    for arm, reason in sorted(joined.left_out.items()):
        click.echo(f"left out {arm}: {reason}")
