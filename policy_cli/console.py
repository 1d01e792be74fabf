"""Human output: one text for everyone, coloured by rich where a terminal reads it."""

from __future__ import annotations

import sys

import click

__all__ = ["say"]

_STYLES = {
    "error": "bold red",
    "warning": "bold yellow",
    "good": "green",
    "mark": "red",
    "quoted": "cyan",
    "dim": "dim",
}
_PATTERNS = [
    r"(?m)^(?P<error>error [A-Z]\d+|error)(?=:| )",
    r"(?m)^(?P<warning>warning [A-Z]\d+)",
    r"(?m)^(?P<quoted>note [A-Z]\d+)",
    r"\b(?P<error>barred|failed|no_candidates|unequal|missing)\b",
    r"\b(?P<warning>unproven|explored|filtered|breaker_open)\b",
    r"\b(?P<good>cleared|served|byte-equal)\b",
    r"(?P<mark>\^+)",
    r"(?P<quoted>`[^`\n]+`)",
    r"(?m)(?P<dim>^ *\d* *\||^ *-->|^ += )",
]


def say(text: str) -> None:
    """Print `text`, which ends without a newline."""
    if not sys.stdout.isatty():
        click.echo(text)
        return
    from rich.console import Console
    from rich.highlighter import RegexHighlighter
    from rich.theme import Theme

    class Highlighter(RegexHighlighter):
        base_style = "pointsman."
        highlights = _PATTERNS

    theme = Theme({f"pointsman.{name}": style for name, style in _STYLES.items()})
    console = Console(theme=theme, highlighter=Highlighter())
    console.print(text, markup=False, emoji=False, soft_wrap=True)
