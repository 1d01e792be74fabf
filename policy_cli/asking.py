"""The shape of one call as command-line options, or as JSON, and the request document that it comes to."""

from __future__ import annotations

import functools
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import click

from policy_cli.exits import ToolError
from policy_cli.sources import parse_json
from policy_lang import ir
from policy_lang.vocabulary import STRUCTURES

if TYPE_CHECKING:
    from policy_lang.analysis.space import Call
    from policy_lang.ir import Policy

__all__ = ["call_of", "call_options", "is_of", "request_of", "tell_task"]

_SIZE = click.IntRange(0)
_ATTRIBUTES = ("org", "team", "product")
_OPTIONS = (
    click.option("--task", help="Task type, such as label or qa-simple."),
    click.option("--structure", type=click.Choice(STRUCTURES), default="prose", show_default=True),
    click.option("--context-tokens", type=_SIZE, default=0, help="Size of the prompt, in tokens."),
    click.option("--tokens", type=_SIZE, default=0, help="Expected total of the call, in tokens."),
    click.option("--tools", type=_SIZE, default=0, help="Number of tools offered."),
    click.option("--time-sensitive", is_flag=True, help="Someone waits for the answer."),
    click.option("--org"),
    click.option("--team"),
    click.option("--product"),
    click.option("--attribute", "attributes", multiple=True, help="A declared attribute, NAME=VALUE; repeat it."),
    click.option("--candidate", "candidates", multiple=True, help="Choose among these arms only; repeat it."),
)


def call_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options and hand them to the command as one mapping, `call`."""

    @functools.wraps(command)
    def with_call(**options: Any) -> None:
        call = {name: options.pop(name) for name in _NAMES}
        command(call=call, **options)

    for option in reversed(_OPTIONS):
        with_call = option(with_call)
    return with_call


def request_of(call: dict[str, Any], envelope: str | None = None) -> dict[str, Any]:
    """The request document, without its policy, of options and of ENVELOPE: JSON, a file of it, or `-`.

    The JSON is an envelope, in which what is missing is as if its option were, or a request that holds a whole one.
    """
    found = _stated(call)
    if envelope is None:
        return {"envelope": _built(call)} | found
    if call["task"] is not None:
        raise click.UsageError("give the call as ENVELOPE or by `--task` and its like, not both")
    document = _read(envelope)
    if "envelope" in document:
        return document | found
    return {"envelope": _built({**call, "task": "other"}) | document} | found


def tell_task(request: dict[str, Any], policy: Policy) -> None:
    """Say on standard error that a task the policy does not declare counts as `other`."""
    from policy_lang.diagnostics import did_you_mean

    envelope = request.get("envelope")
    task = envelope.get("task_type") if isinstance(envelope, dict) else None
    if isinstance(task, str) and task not in policy.tasks:
        near = did_you_mean(task, frozenset(policy.tasks))
        hint = f"; did you mean `{near}`?" if near else ""
        click.echo(f"warning: the policy declares no task `{task}`, so it counts as `other`{hint}", err=True)


def call_of(request: dict[str, Any]) -> Call:
    """What the analysis knows of a request."""
    from policy_lang.analysis.space import Call
    from policy_lang.envelope import EnvelopeError, envelope_from_wire

    try:
        envelope = envelope_from_wire(request["envelope"])
    except EnvelopeError as problem:
        raise ToolError(str(problem)) from None
    attributes = tuple(sorted(request.get("attributes", {}).items()))
    return Call(envelope, request.get("org"), request.get("team"), request.get("product"), attributes)


def _built(call: dict[str, Any]) -> dict[str, Any]:
    from policy_lang.envelope import EnvelopeError, build_envelope, envelope_to_wire

    if call["task"] is None:
        raise click.UsageError("Missing option '--task': say what the call is for")
    try:
        envelope = build_envelope(
            task_type=call["task"],
            structure_type=call["structure"],
            context_tokens=call["context_tokens"],
            tools_used=call["tools"],
            time_sensitive=call["time_sensitive"],
            estimated_tokens=call["tokens"],
        )
    except EnvelopeError as problem:
        raise click.UsageError(str(problem)) from None
    return envelope_to_wire(envelope)


def _stated(call: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {name: call[name] for name in _ATTRIBUTES if call[name] is not None}
    if call["candidates"]:
        found["candidates"] = list(map(_arm, call["candidates"]))
    if call["attributes"]:
        found["attributes"] = dict(map(_pair, call["attributes"]))
    return found


def _arm(text: str) -> str:
    """An arm id; a bare model name stands for its arm in the shipped catalog."""
    from policy_lang.catalog import default_catalog
    from policy_lang.diagnostics import did_you_mean

    if is_of(text, ir.Arm):
        return text
    catalog = default_catalog()
    if (arm := catalog.resolve(text)) is not None:
        return arm
    near = did_you_mean(text, frozenset(catalog.aliases) | frozenset(catalog.models))
    hint = f"; did you mean `{near}`?" if near else ""
    raise click.UsageError(f"`--candidate {text}` is no arm id such as openai/gpt-5-mini, nor a model's name{hint}")


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not (name and equals and value):
        raise click.UsageError(f"`--attribute {text}` is not NAME=VALUE, such as plan=free")
    for word in (name, value):
        if not is_of(word, ir.Name):
            accepted = "a name: lower-case letters, digits, `-` and `_`, a letter first, at most 48"
            raise click.UsageError(f"`{word}` in `--attribute {text}` is not {accepted}")
    return name, value


def is_of(text: str, kind: object) -> bool:
    """Whether a text is what a field of the IR of this kind may hold."""
    (held,) = (part for part in get_args(kind) if isinstance(part, ir.Text))
    return len(text) <= held.longest and re.fullmatch(held.pattern, text) is not None


def _read(envelope: str) -> dict[str, Any]:
    try:
        if not envelope.strip() or envelope.lstrip()[0] in '{["':
            found = parse_json(envelope)
        else:
            found = parse_json(sys.stdin.read() if envelope == "-" else Path(envelope).read_text())
    except (OSError, ValueError) as problem:
        raise ToolError(f"`{envelope}` is neither an envelope in JSON nor a file of one: {problem}") from None
    if not isinstance(found, dict):
        raise ToolError(f"`{envelope}` must hold a JSON object: an envelope, or a request with one")
    return found


_NAMES = (
    "task",
    "structure",
    "context_tokens",
    "tokens",
    "tools",
    "time_sensitive",
    *_ATTRIBUTES,
    "attributes",
    "candidates",
)
