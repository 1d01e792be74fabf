"""Text to syntax tree, and every syntax error of the file at once. The only module that imports lark, on first use.

The lexer is total (the grammar has a terminal for whatever fits nothing), so an error is always an unexpected token.
After one the parser drops tokens up to the next word that begins a statement or a clause, pops its stack to a state
that takes this word, and goes on.
"""

from __future__ import annotations

import io
from functools import cache
from typing import TYPE_CHECKING, Any

from policy_lang.diagnostics import Diagnostic, error
from policy_lang.frozen import frozen
from policy_lang.ir import MAX_DEPTH
from policy_lang.text.builder import TreeBuilder, token_span
from policy_lang.text.expectations import KEYWORDS, REPLACEMENTS, SYNC, unexpected
from policy_lang.text.syntax import Statement
from policy_lang.text.tables import GRAMMAR, load_tables, save_tables

if TYPE_CHECKING:
    from lark import Lark, Token, Tree

__all__ = ["Parsed", "build_lark", "concrete_tree", "parse", "tokens", "write_tables"]

_MAX_ERRORS = 100
_OPENING = {"LPAR": "RPAR", "LBRACE": "RBRACE", "LSQB": "RSQB"}


@frozen
class Parsed:
    """Statements that could be read, in order, and the errors in between; with errors, parts are missing."""

    statements: tuple[Statement, ...]
    diagnostics: tuple[Diagnostic, ...]


def parse(text: str) -> Parsed:
    """The syntax tree of `text`. Never raises, whatever the text."""
    stream, slips = _in_lower_case(tokens(text, trivia=False))
    if too_deep := _depth_error(stream):
        return Parsed((), (too_deep,))
    return _Run(stream, slips).finish()


def tokens(text: str, *, trivia: bool) -> tuple[Token, ...]:
    """The tokens of `text` with positions; with `trivia` also comments and blanks, so that they join to `text`."""
    from lark.lexer import LexerThread

    return tuple(LexerThread.from_text(_lexer(trivia), text).lex(None))  # type: ignore[no-untyped-call]


def concrete_tree(text: str) -> Tree[Token]:
    """Every token of a text that `parse` finds no fault with, under the names of the grammar's rules."""
    return _plain_lark().parse(text, start="start")


def build_lark(**options: Any) -> Lark:
    """The grammar as a parser; `options` override lark's, for the tests that build it strict and contextual."""
    from lark import Lark

    grammar = GRAMMAR.read_text(encoding="utf-8")
    settings: dict[str, Any] = {
        "parser": "lalr",
        "lexer": "basic",
        "start": ["start", "strange"],
        "keep_all_tokens": True,
        "maybe_placeholders": False,
        "transformer": TreeBuilder(),
    }
    return Lark(grammar, **settings | options)


def write_tables() -> None:
    """Store the parse tables beside the grammar."""
    import lark

    buffer = io.BytesIO()
    build_lark(transformer=None).save(buffer)
    save_tables(lark.__version__, buffer.getvalue())


@cache
def _lark() -> Lark:
    return _loaded(TreeBuilder())


@cache
def _plain_lark() -> Lark:
    return _loaded(None)


def _loaded(transformer: Any) -> Lark:
    import lark

    tables = load_tables(lark.__version__)
    if tables is None:
        return build_lark(transformer=transformer)
    return lark.Lark.__new__(lark.Lark)._load(tables, transformer=transformer)


@cache
def _lexer(trivia: bool) -> Any:
    return _lark()._build_lexer(dont_ignore=trivia)


class _Run:
    """One pass over a token stream: LALR with panic-mode recovery."""

    def __init__(self, stream: list[Token], errors: list[Diagnostic]) -> None:
        self.stream = stream
        self.machine = _lark().parse_interactive(start="start")
        self.errors = errors

    def finish(self) -> Parsed:
        """Feed every token and the end of the file."""
        from lark.exceptions import UnexpectedToken

        position = 0
        feed = self.machine.feed_token
        while position < len(self.stream) and len(self.errors) < _MAX_ERRORS:
            try:
                feed(self.stream[position])
                position += 1
            except UnexpectedToken:
                position = self._recover(position)
        return Parsed(self._end(), tuple(self.errors))

    def _end(self) -> tuple[Statement, ...]:
        from lark import Token
        from lark.exceptions import UnexpectedToken

        last = self.stream[-1] if self.stream else Token("BLANK", "", 0, 1, 1, 1, 1, 0)
        end = Token(
            "$END", "", last.end_pos, last.end_line, last.end_column, last.end_line, last.end_column, last.end_pos
        )
        try:
            return self.machine.feed_token(end)  # type: ignore[no-any-return]
        except UnexpectedToken:
            if len(self.errors) < _MAX_ERRORS:
                self._report(end, len(self.stream), self._accepted())
            self._pop_to("POLICY")
            return self.machine.feed_token(end)  # type: ignore[no-any-return]

    def _recover(self, position: int) -> int:
        """Report the token at `position`, get the machine going again, and say at which token."""
        token = self.stream[position]
        accepted = self._accepted()
        finding = self._report(token, position, accepted)
        if self._stand_in(token, finding, accepted):
            return position + 1
        for later in range(position, len(self.stream)):
            kind = self.stream[later].type
            if kind in SYNC and self._pop_to(kind):
                return later
        self._pop_to("POLICY")
        return len(self.stream)

    def _report(self, token: Token, position: int, accepted: set[str]) -> Diagnostic:
        before = self.stream[max(0, position - 12) : position]
        same_line = bool(before) and before[-1].end_line == token.line
        kinds = [token.type for token in before]
        finding = unexpected(token.type, str(token), token_span(token), accepted, kinds, same_line=same_line)
        self.errors.append(finding)
        return finding

    def _stand_in(self, token: Token, finding: Diagnostic, accepted: set[str]) -> bool:
        """Feed what the author probably meant, so that the rest of the statement is still read."""
        for kind, text in _meant(token, finding):
            if kind in accepted:
                self.machine.feed_token(token.update(kind, text))
                return True
        return False

    def _accepted(self) -> set[str]:
        return self.machine.accepts()  # type: ignore[no-any-return, no-untyped-call]

    def _pop_to(self, kind: str) -> bool:
        """Drop half-read parts until the state on top shifts `kind`; False, with nothing dropped, where none does."""
        from lark.parsers.lalr_analysis import Shift

        state = self.machine.parser_state
        for depth in range(len(state.state_stack), 0, -1):
            action = state.parse_conf.states[state.state_stack[depth - 1]].get(kind)
            if action is not None and action[0] is Shift:
                del state.state_stack[depth:]
                del state.value_stack[depth - 1 :]
                return True
        return False


def _in_lower_case(found: tuple[Token, ...]) -> tuple[list[Token], list[Diagnostic]]:
    """Keywords in capitals read as keywords, each with its finding."""
    stream: list[Token] = []
    slips: list[Diagnostic] = []
    for token in found:
        if token.type == "NAME" and not token.islower() and token.upper() in KEYWORDS:
            slips.append(error("P102", token_span(token), "keywords are lower case", None, token.lower()))
            stream.append(token.update(token.upper(), token.lower()))
        else:
            stream.append(token)
    return stream, slips


def _meant(token: Token, finding: Diagnostic) -> tuple[tuple[str, str], ...]:
    text = str(token)
    match token.type:
        case "FOREIGN":
            return (("NAME", text), ("STRING", text))
        case "QUOTED":
            return (("STRING", text),)
        case "NAME":
            meant = finding.suggestion or ""
            return ((meant.upper(), meant),)
        case _ if finding.code == "P103":
            return (("NAME", text),)
        case _:
            return (REPLACEMENTS[text],) if text in REPLACEMENTS else ()


def _depth_error(stream: list[Token]) -> Diagnostic | None:
    """The place where brackets and `not` nest deeper than the language allows."""
    pending = [0]
    depth = 0
    for token in stream:
        kind = token.type
        if kind == "NOT" or kind in _OPENING:
            depth += 1
            pending.append(0) if kind in _OPENING else pending.__setitem__(-1, pending[-1] + 1)
            if depth > MAX_DEPTH:
                return error("P006", token_span(token), f"nested deeper than {MAX_DEPTH} levels", "split the condition")
        elif kind in _OPENING.values() and len(pending) > 1:
            depth -= 1 + pending.pop()
            depth, pending[-1] = depth - pending[-1], 0
        else:
            depth, pending[-1] = depth - pending[-1], 0
    return None
