"""Input files as the commands read them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from policy_cli.exits import ToolError

if TYPE_CHECKING:
    from policy_lang.compiler import Compilation

__all__ = ["compile_file", "parse_json", "read_json", "read_policy"]

_MOST_JSON_BYTES = 64 * 1024 * 1024


def read_policy(name: str) -> bytes:
    """The bytes of a policy file, `-` for standard input."""
    if name == "-":
        return sys.stdin.buffer.read()
    path = Path(name)
    try:
        return path.read_bytes()
    except IsADirectoryError:
        raise ToolError(f"`{name}` is a folder; name its .policy files") from None
    except OSError as problem:
        raise ToolError(f"cannot read `{name}`: {problem.strerror}") from None


def compile_file(name: str) -> Compilation:
    """Compile a file against the shipped catalog."""
    from policy_lang.catalog import default_catalog
    from policy_lang.compiler import compile_policy

    return compile_policy(read_policy(name), default_catalog(), "<stdin>" if name == "-" else name)


def read_json(path: Path) -> Any:
    """The value of a JSON file."""
    try:
        return parse_json(path.read_bytes())
    except (OSError, ValueError) as problem:
        raise ToolError(f"`{path}` cannot be read as JSON: {problem}") from None


def parse_json(text: str | bytes) -> Any:
    """The value of a JSON text; ValueError for what two readers could take differently, or what nests too deep."""
    from policy_lang.canonical import parse_strict

    return parse_strict(text, max_bytes=_MOST_JSON_BYTES)
