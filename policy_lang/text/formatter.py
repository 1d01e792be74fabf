"""`fmt`: one layout for every policy. Only blanks change, and the comma behind the last member of a list.

Driven by the grammar: a statement or a member of a `{ }` block is a line, `[ ]` and `( )` break inside, a statement too
long for its line breaks at the words that open its parts. So a new rule is laid out before anyone says how.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields, is_dataclass
from itertools import groupby
from typing import Any

from policy_lang.diagnostics import Diagnostic
from policy_lang.frozen import frozen
from policy_lang.text.builder import token_span
from policy_lang.text.layout import SPACE, Doc, Group, Hard, Indent, Line, Remark, Text, lay_out
from policy_lang.text.parser import concrete_tree, parse, tokens
from policy_lang.text.source import read_source

__all__ = ["WIDTH", "Formatted", "format_policy", "shape_of"]

WIDTH = 100
_WIDEST_COLUMN = 40
#: Rule -> how many of its first tokens are columns; neighbours of one family share them.
_COLUMNS = {"tier": 2, "attribute": 2, "forbid": 2, "require": 2, "assertion": 2}
_FAMILY = {"forbid": "gate", "require": "gate"}
#: Terminals and rules before which a statement may break, unless a word of `_JOINED` stands in front.
_PARTS = {"WHEN", "UNLESS", "THEN", "OR", "AND", "ESCALATE", "UNTIL", "ALWAYS", "NEVER", "SOME", "stop", "warn"}
_JOINED = {"ESCALATE", "STOP"}
_CLOSING = {"LSQB": "RSQB", "LPAR": "RPAR", "LBRACE": "RBRACE"}


@frozen
class Formatted:
    """`text` is None exactly if the source cannot be read; `diagnostics` then say why."""

    text: str | None
    diagnostics: tuple[Diagnostic, ...]


def format_policy(source: str | bytes) -> Formatted:
    """The source in the one layout. Line ends stay CRLF where the source has any; a byte order mark is dropped."""
    read = read_source(source)
    before = parse(read.text)
    findings = (*read.diagnostics, *(before.diagnostics if read.readable else ()))
    if findings:
        return Formatted(None, findings)
    writer = _Writer(read.text)
    laid = lay_out(writer.file(concrete_tree(read.text)), WIDTH)
    after = parse(laid)
    assert not after.diagnostics, f"INVARIANT: fmt wrote what cannot be read: {after.diagnostics[0].message}"
    assert shape_of(after.statements) == shape_of(before.statements), "INVARIANT: fmt changed the tree"
    return Formatted(laid.replace("\n", "\r\n") if "\r\n" in read.text else laid, ())


def shape_of(node: Any) -> Any:
    """A syntax tree without its spans: what two texts that mean the same word for word have in common."""
    if is_dataclass(node):
        parts = (shape_of(getattr(node, part.name)) for part in fields(node) if part.name != "span")
        return (type(node).__name__, *parts)
    return tuple(map(shape_of, node)) if isinstance(node, tuple) else node


@dataclass(slots=True)
class _Notes:
    """The comments around a token. `blank`: an empty line stood in front of it, behind its comments."""

    before: tuple[Remark, ...] = ()
    after: str | None = None
    blank: bool = False


class _Writer:
    """Tree and comments to a document. A node is a token (it has a `type`) or a tree (`data`, `children`)."""

    def __init__(self, text: str) -> None:
        self.notes, self.last = _comments(text)

    def file(self, tree: Any) -> Doc:
        lines = list(self._lines(tree.children, in_block=False))
        end = self.last.before
        closing = (Hard(end[0].blank), Text("", end)) if end else ()
        return Indent(()) if not lines and not end else Group((*lines, *closing))

    def _lines(self, nodes: Sequence[Any], *, in_block: bool) -> Iterator[Doc]:
        for number, (node, widths) in enumerate(zip(nodes, self._columns(nodes, in_block=in_block), strict=True)):
            notes = self.notes[_first(node).start_pos]
            if number:
                yield Hard(self._blank(node))
            if notes.before:
                yield from (Text("", notes.before), Hard(notes.blank))
                notes.before = ()
            yield from self._item(node, widths)

    def _blank(self, node: Any) -> bool:
        notes = self.notes[_first(node).start_pos]
        return notes.before[0].blank if notes.before else notes.blank

    def _columns(self, nodes: Sequence[Any], *, in_block: bool) -> list[list[int]]:
        """For each of `nodes` the widths of its leading tokens, in the runs that no empty line parts."""
        least = 1 if in_block else 0
        keys: list[tuple[int, str]] = []
        run = 0
        for node in nodes:
            run += self._blank(node)
            keys.append((run, _FAMILY.get(node.data, node.data)))
        first = _widest(_first(node) for node in nodes)
        found: list[list[int]] = []
        for _, rows in groupby(zip(keys, nodes, strict=True), key=lambda row: row[0]):
            members = [node for _, node in rows]
            count = min(_COLUMNS.get(members[0].data, 0), min(len(_leading(node)) for node in members))
            widths = [_widest(_leading(node)[place] for node in members) for place in range(count)]
            found += [[first, *widths[1:]] if least else widths] * len(members)
        return found

    def _item(self, node: Any, widths: list[int]) -> Iterator[Doc]:
        children = [leaf for child in node.children for leaf in _unwrapped(child)]
        opening = next((at for at, child in enumerate(children) if _kind(child) == "LBRACE"), None)
        if opening is None:
            yield Group(self._parts(node.data, children, widths))
            return
        head = self._parts(node.data, children[:opening], widths)
        yield Group((*head, Line(), self._token(children[opening])))
        yield from self._block(*children[opening:])

    def _block(self, brace: Any, *children: Any) -> Iterator[Doc]:
        *members, closing = children
        opened, notes = self.notes[brace.start_pos], self.notes[closing.start_pos]
        inside = tuple(self._lines(members, in_block=True))
        if notes.before:
            inside += (*((Hard(notes.before[0].blank),) if inside else ()), Text("", notes.before))
        if inside or opened.after:
            yield Indent((Hard(), *inside))
            yield Hard()
        yield Text(str(closing), (), notes.after)

    def _parts(self, rule: str, children: Sequence[Any], widths: Sequence[int] = ()) -> tuple[Doc, ...]:
        """`children` side by side; what follows the first possible break is indented."""
        # Lists outside brackets fill their lines, but tasks with descriptions stand one a line.
        fill = rule != "tasks" or all(len(getattr(child, "children", "")) < 2 for child in children)
        parts = list(self._side_by_side(rule, children, widths, fill=fill))
        first = next((at for at, part in enumerate(parts) if isinstance(part, Line)), len(parts))
        return (*parts[:first], Indent(tuple(parts[first:])))

    def _side_by_side(self, rule: str, children: Sequence[Any], widths: Sequence[int], *, fill: bool) -> Iterator[Doc]:
        at = 0
        while at < len(children):
            child = children[at]
            if at:
                yield from self._between(rule, children[at - 1], child, fill=fill)
            if at and _kind(child) == "ESCALATE":
                yield Group(self._parts(rule, children[at:]))
                return
            if _kind(child) in ("LSQB", "LPAR"):
                end = _matching(children, at)
                yield self._brackets(rule, child, children[at + 1 : end], children[end])
                at = end
            elif hasattr(child, "type"):
                yield self._token(child)
                if at < len(widths):
                    yield Text(" " * (widths[at] - len(child)))
            else:
                yield Group(self._parts(child.data, child.children))
            at += 1

    def _between(self, rule: str, left: Any, right: Any, *, fill: bool) -> Iterator[Doc]:
        before, after = _kind(left), _kind(right)
        opens_part = (after in _PARTS and before not in _JOINED) or (rule == "require" and before == "STRING")
        if before == "COMMA" or opens_part:
            yield Line(fill=fill and not opens_part)
        elif after != "COMMA" and before != "MINUS":
            yield SPACE

    def _brackets(self, rule: str, opening: Any, inside: Sequence[Any], closing: Any) -> Doc:
        is_list = closing.type == "RSQB"
        notes = self.notes[closing.start_pos]
        members = list(inside)
        trailing: tuple[Doc, ...] = ()
        if is_list and members:
            last = self.notes[_last(members[-1]).start_pos]
            if _kind(members[-1]) == "COMMA":
                members.pop()
            trailing = (Text(",", (), last.after, broken=True),)
            last.after = None
        body = (*self._side_by_side(rule, members, (), fill=False), *trailing)
        remarks = (Line(""), Text("", notes.before)) if notes.before else ()
        return Group(
            (self._token(opening), Indent((Line(""), *body, *remarks)), Line(""), Text(str(closing), (), notes.after))
        )

    def _token(self, token: Any) -> Text:
        notes = self.notes[token.start_pos]
        return Text(str(token), notes.before, notes.after, notes.blank and bool(notes.before))


def _comments(text: str) -> tuple[dict[int, _Notes], _Notes]:
    """The notes of each token by its place, and those of the end of the file."""
    notes: dict[int, _Notes] = {}
    ahead, breaks, previous = _Notes(), 0, None
    for token in tokens(text, trivia=True):
        if token.type == "BLANK":
            breaks += token.count("\n")
            continue
        comment = token.rstrip(" \t\r") if token.type == "COMMENT" else None
        if comment is None:
            ahead.blank = breaks > 1
            previous = notes[token_span(token).start] = ahead
            ahead = _Notes()
            if token.type == "COMMA":
                _behind(notes, previous, ahead)
        elif previous and not breaks and not previous.after and not ahead.before:
            previous.after = comment
        else:
            ahead.before += (Remark(comment, breaks > 1),)
        breaks = 0
    return notes, ahead


def _behind(notes: dict[int, _Notes], comma: _Notes, ahead: _Notes) -> None:
    """A comma stands directly behind its member, so comments in between move behind the comma."""
    member = list(notes.values())[-2] if len(notes) > 1 else comma
    comma.after, member.after = member.after, None
    ahead.before, comma.before = comma.before, ()


def _widest(found: Iterable[Any]) -> int:
    return max((len(token) for token in found if len(token) <= _WIDEST_COLUMN), default=0)


def _leading(node: Any) -> list[Any]:
    """The tokens that `node` begins with before its first subtree or bracket."""
    found: list[Any] = []
    for child in node.children:
        if not hasattr(child, "type") or child.type in _CLOSING:
            break
        found.append(child)
    return found


def _unwrapped(child: Any) -> Sequence[Any]:
    return child.children if getattr(child, "data", "") == "body" else (child,)


def _kind(child: Any) -> str:
    return str(getattr(child, "type", None) or child.data)


def _first(node: Any) -> Any:
    return node if hasattr(node, "type") else _first(node.children[0])


def _last(node: Any) -> Any:
    return node if hasattr(node, "type") else _last(node.children[-1])


def _matching(children: Sequence[Any], opening: int) -> int:
    closing = _CLOSING[children[opening].type]
    return next(at for at in range(opening, len(children)) if _kind(children[at]) == closing)
