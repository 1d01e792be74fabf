"""How a command ends: 0 well, 1 findings, 2 usage or tool error, 3 no model passes the gates."""

from __future__ import annotations

import click

__all__ = ["FAILED", "FINDINGS", "INTERRUPTED", "NO_MODEL", "ToolError"]

FINDINGS = 1
FAILED = 2
NO_MODEL = 3
INTERRUPTED = 130


class ToolError(click.ClickException):
    """The tool could not do its work; the message says what it would accept."""

    exit_code = FAILED

    def show(self, file: object = None) -> None:  # noqa: ARG002
        click.echo(f"error: {self.message}", err=True)
