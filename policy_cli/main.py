"""The `pointsman` command. A command's module is imported when it runs, so `--help` costs little more than click."""

from __future__ import annotations

import errno
import gc
import os
import sys
from importlib import import_module
from importlib.util import find_spec

import click

from policy_cli.exits import FAILED, INTERRUPTED, ToolError

__all__ = ["COMMANDS", "cli", "main"]

#: Name -> module, attribute, one line of help; in the order of `--help`.
COMMANDS = {
    "new": ("policy_cli.commands.new", "new", "Print a policy to start from, with tests that pass."),
    "check": ("policy_cli.commands.check", "check", "Report every finding in policy files."),
    "fmt": ("policy_cli.commands.fmt", "fmt", "Lay out policy files, comments kept."),
    "lint": ("policy_cli.commands.lint", "lint", "Report what a policy means to no end, and mend what is safe."),
    "test": ("policy_cli.commands.test", "test_command", "Run the tests that policy files carry."),
    "eval": ("policy_cli.commands.eval", "eval_command", "Evaluate a policy file on one call."),
    "explain": (
        "policy_cli.commands.explain",
        "explain",
        "Say why a decision came out as it did, why not another, or what a code means.",
    ),
    "inspect": ("policy_cli.commands.inspect", "inspect_command", "Summarise a policy: routes, models, costs."),
    "diff": ("policy_cli.commands.diff", "diff_command", "Say which calls two policies treat differently."),
    "normalize": ("policy_cli.commands.normalize", "normalize", "Print the canonical IR and its fingerprint."),
    "compile": ("policy_cli.commands.compile", "compile_command", "Compile a policy to its IR and fingerprint."),
    "advise": ("policy_cli.commands.advise", "advise_command", "Say from past logs whether routing is worth it."),
    "publish": ("policy_cli.commands.publish", "publish", "Send a policy to the service and move its alias."),
    "alias": ("policy_cli.commands.alias", "alias", "Lead a policy's name to published versions by weight."),
    "rollback": ("policy_cli.commands.alias", "rollback", "Lead a policy's name back to where it led before."),
    "route": ("policy_cli.commands.route", "route", "Ask the service which model serves a call."),
    "receipts": ("policy_cli.commands.receipts", "receipts", "Copy what a stack decided into a folder of files."),
    "replay": ("policy_cli.commands.replay", "replay", "Decide again on stored receipts and compare the bytes."),
    "price": ("policy_cli.commands.price", "price", "Say what stored decisions cost at the prices of another day."),
    "doctor": (
        "policy_cli.commands.doctor",
        "doctor",
        "Check that the books of a stack balance.",
    ),
    "tenant": ("policy_cli.commands.tenant", "tenant", "Enrol tenants, change their keys and limits."),
    "redrive": ("policy_cli.commands.redrive", "redrive", "Move dead letters back to the queue they came from."),
    "dev": ("policy_cli.commands.dev", "dev", "Serve the whole system on a local port, without an AWS account."),
    "demo": ("policy_cli.commands.demo", "demo", "Run the sample tenants and watch the decisions."),
    "catalog": ("policy_cli.catalog.command", "catalog", "Compile and inspect the model catalog."),
}


class LazyGroup(click.Group):
    """Finds its commands in COMMANDS; one whose module is not there does not exist."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return [name for name, (module, _, _) in COMMANDS.items() if find_spec(module)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in COMMANDS or not find_spec(COMMANDS[cmd_name][0]):
            return None
        module, attribute, _ = COMMANDS[cmd_name]
        try:
            return getattr(import_module(module), attribute)  # type: ignore[no-any-return]
        except ModuleNotFoundError as missing:
            advice = "install the tools with `pip install 'pointsman[dev]'`"
            raise ToolError(f"`pointsman {cmd_name}` needs the package `{missing.name}`: {advice}") from missing

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError:
            from difflib import get_close_matches

            near = get_close_matches(args[0], COMMANDS, n=1)
            hint = f"did you mean `{near[0]}`?" if near else "`pointsman --help` lists the commands"
            ctx.fail(f"no command `{args[0]}`; {hint}")

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, COMMANDS[name][2]) for name in self.list_commands(ctx)])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="pointsman", message="%(prog)s %(version)s")
def cli() -> None:
    """Which model serves an LLM call: policies, decisions, receipts.

    Exit codes: 0 well, 1 findings, 2 usage or tool error, 3 no model passes the gates.
    """


def main() -> None:
    """Run the command and leave with its exit code."""
    # Starting up makes thousands of objects that stay; the collector need not look at them a dozen times.
    gc.set_threshold(50_000)
    try:
        sys.exit(cli(prog_name="pointsman", standalone_mode=False))
    except click.ClickException as refused:
        refused.show()
        sys.exit(refused.exit_code)
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted", err=True)
        sys.exit(INTERRUPTED)
    except BrokenPipeError:
        # Whoever read the output has seen enough; keep the interpreter from flushing into the pipe again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(FAILED)
    except Exception as problem:  # noqa: BLE001 - loud as ever, but not with 1, which means findings
        if isinstance(problem, OSError) and problem.errno == errno.ENOSPC:
            click.echo(f"error: cannot write: {problem.strerror}", err=True)
        else:
            import traceback

            traceback.print_exc()
        sys.exit(FAILED)


if __name__ == "__main__":
    main()
