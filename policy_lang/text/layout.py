"""Lays out text with optional breaks within a width: a group stays on one line if it fits, else all its breaks happen.

After Wadler, "A prettier printer", and its strict form by Lindig. What is added are comments: one that follows a text
ends its line, one before a text stands on lines of its own, and a group with a comment inside is broken.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from policy_lang.frozen import frozen

__all__ = ["SPACE", "Doc", "Group", "Hard", "Indent", "Line", "Remark", "Text", "lay_out"]

_STEP = 2
_GAP = 2


@frozen
class Remark:
    """A comment on a line of its own; `blank` asks for an empty line in front."""

    text: str
    blank: bool = False


@frozen
class Text:
    """Printed as it is. `blank` asks for an empty line between `before` and the text; `broken` shows it only in a
    broken group.
    """

    text: str
    before: tuple[Remark, ...] = ()
    after: str | None = None
    blank: bool = False
    broken: bool = False


@frozen
class Line:
    """`flat` on one line, a line break in a broken group; one that may `fill` breaks only where the next part is too
    long for the line.
    """

    flat: str = " "
    fill: bool = False


@frozen
class Hard:
    """A line break always, with an empty line where `blank`."""

    blank: bool = False


@frozen
class Group:
    parts: tuple[Doc, ...]


@frozen
class Indent:
    parts: tuple[Doc, ...]


Doc = Text | Line | Hard | Group | Indent
SPACE = Text(" ")
_Frame = tuple[int, bool, Doc]


def lay_out(doc: Doc, width: int) -> str:
    """`doc` as lines of at most `width` where breaks allow it, comments not counted, each ending in a newline."""
    page = _Page()
    stack: list[_Frame] = [(0, False, doc)]
    while stack:
        indent, flat, top = stack.pop()
        match top:
            case Text():
                if top.broken and flat:
                    continue
                page.write(top, indent)
            case Line(between, fill):
                flat = flat or (
                    fill and not page.comment and _fits(width - page.column - 1, (stack[-1][2],), stack[:-1])
                )
                page.put(between) if flat else page.end_line(indent)
            case Hard(blank):
                page.end_line(indent, blank=blank)
            case Indent(parts):
                stack += [(indent + _STEP, flat, part) for part in reversed(parts)]
            case Group(parts):
                flat = flat or (not _interrupted(top) and _fits(width - page.column, parts, stack))
                stack += [(indent, flat, part) for part in reversed(parts)]
    page.end_line(0)
    return page.text()


def _fits(room: int, parts: tuple[Doc, ...], rest: list[_Frame]) -> bool:
    """Whether `parts` on one line, and what must follow on it, take at most `room`."""
    ahead: list[tuple[bool, Doc]] = [(True, part) for part in reversed(parts)]
    behind = len(rest)
    while room >= 0 and (ahead or behind):
        if not ahead:
            behind -= 1
            ahead.append(rest[behind][1:])
        flat, top = ahead.pop()
        match top:
            case Text(text):
                room -= 0 if top.broken and flat else len(text)
                if top.after or (not text.strip() and top.before):
                    return room >= 0
            case Line(between) if flat:
                room -= len(between)
            case Line() | Hard():
                return True
            case Group(inner) | Indent(inner):
                ahead += [(flat, part) for part in reversed(inner)]
    return room >= 0


def _interrupted(group: Group) -> bool:
    """Whether something inside, not at its edges, ends a line."""
    texts = list(_texts(group))
    return any(
        found is None or (found.before and number) or (found.after and number < len(texts) - 1)
        for number, found in enumerate(texts)
    )


def _texts(doc: Doc) -> Iterator[Text | None]:
    match doc:
        case Text(text):
            if text.strip() or doc.before:
                yield doc
        case Hard():
            yield None
        case Group(parts) | Indent(parts):
            for part in parts:
                yield from _texts(part)


@dataclass(slots=True)
class _Page:
    lines: list[tuple[str, str | None]] = field(default_factory=list)
    code: str = ""
    comment: str | None = None
    column: int = 0

    def write(self, text: Text, indent: int) -> None:
        # A comment that ends a line where none may break: what follows goes one step further in.
        indent += _STEP if self.code else 0
        for number, remark in enumerate(text.before):
            self.end_line(indent, blank=remark.blank and number > 0)
            self.code = " " * indent + remark.text
        if text.before:
            self.end_line(indent, blank=text.blank)
        if self.comment and text.text.strip():
            self.end_line(indent)
        self.put(text.text)
        self.comment = text.after or self.comment

    def put(self, text: str) -> None:
        # Spaces that a forced break left at the start of a line belong to nobody.
        if text and (self.code or text.strip()):
            self.code = (self.code or " " * self.column) + text
            self.column = len(self.code)

    def end_line(self, indent: int, *, blank: bool = False) -> None:
        if self.code:
            self.lines.append((self.code.rstrip(" "), self.comment))
        if blank and self.lines:
            self.lines.append(("", None))
        self.code, self.comment, self.column = "", None, indent

    def text(self) -> str:
        """The lines, comments behind adjacent ones in one column."""
        out: list[str] = []
        run: list[tuple[str, str]] = []
        for code, comment in [*self.lines, ("", None)]:
            if comment:
                run.append((code, comment))
                continue
            column = max((len(ahead) for ahead, _ in run), default=0) + _GAP
            out += [ahead.ljust(column) + behind for ahead, behind in run]
            out.append(code)
            run = []
        return "".join(f"{line}\n" for line in out[:-1])
