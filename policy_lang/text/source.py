"""Bytes or text to text the parser may see: UTF-8, within the size limit, free of control and bidirectional marks."""

from __future__ import annotations

import re
from collections.abc import Iterator

from policy_lang.diagnostics import NOWHERE, Diagnostic, Span, error
from policy_lang.fingerprint import source_hash
from policy_lang.frozen import frozen

__all__ = ["MAX_SOURCE_BYTES", "Source", "read_source"]

MAX_SOURCE_BYTES = 64 * 1024
# Bidirectional marks show a reviewer another order than the compiler reads, so not even comments may hold them.
_FORBIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_MAX_REPORTED = 20


@frozen
class Source:
    """`text` with forbidden characters blanked, so offsets hold; `readable` is False where parsing makes no sense."""

    text: str
    hash: str
    readable: bool
    diagnostics: tuple[Diagnostic, ...]


def read_source(source: str | bytes) -> Source:
    """Admit a source. A byte order mark is dropped; CRLF and LF both end lines."""
    text, problem = _decoded(source) if isinstance(source, bytes) else (source, None)
    text = text.removeprefix("\ufeff")
    size = len(text.encode("utf-8", "surrogatepass"))
    if size > MAX_SOURCE_BYTES:
        problem = error("P003", NOWHERE, f"the source has {size} bytes, at most {MAX_SOURCE_BYTES} are read")
    clean = _FORBIDDEN.sub(" ", text)
    if problem:
        return Source(clean, source_hash(text), False, (problem,))
    return Source(clean, source_hash(text), True, tuple(_forbidden(text)) if clean != text else ())


def _decoded(source: bytes) -> tuple[str, Diagnostic | None]:
    try:
        return source.decode("utf-8"), None
    except UnicodeDecodeError as problem:
        before = source[: problem.start].decode("utf-8")
        text = source.decode("utf-8", "replace")
        message = f"the byte 0x{source[problem.start]:02x} is not UTF-8"
        return text, error("P001", _span_at(text, len(before)), message, "save the file as UTF-8")


def _forbidden(text: str) -> Iterator[Diagnostic]:
    for count, match in enumerate(_FORBIDDEN.finditer(text)):
        if count == _MAX_REPORTED:
            return
        yield error(
            "P002",
            _span_at(text, match.start()),
            f"the character U+{ord(match[0]):04X} is not allowed, not even in a comment",
        )


def _span_at(text: str, start: int) -> Span:
    return Span(start, start + 1, text.count("\n", 0, start) + 1, start - text.rfind("\n", 0, start))
