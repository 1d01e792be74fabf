"""Says what the grammar would have accepted, in the language's words, and recognises the usual slips."""

from __future__ import annotations

import unicodedata
from collections.abc import Set as AbstractSet

from policy_lang.diagnostics import Diagnostic, Span, did_you_mean, error

__all__ = ["KEYWORDS", "REPLACEMENTS", "STATEMENTS", "SYNC", "unexpected"]

#: Terminal -> keyword, and which of them begin a statement or a clause: there the parser resumes after an error.
_STATEMENTS = (
    "POLICY MODE AUDIT TASKS ATTRIBUTE TIER FORBID REQUIRE ROUTE DEFAULT FALLBACK BASELINE BUDGET CANARY GUARD "
    "ASSERT STATISTICS TEST"
)
_CLAUSES = "USE CASCADE WHERE FLOOR UNTIL PICK EXPLORE PIN SET ON TIMEOUT STREAM BATCH PARAMETERS COST GIVEN EXPECT"
_INNER = (
    "LANGUAGE WHEN UNLESS ESCALATE PROVEN SERVE THEN CHEAPEST FASTEST BEST PREFER WITHIN AT LEAST MOST WHILE UNPROVEN "
    "BY RETRY BACKOFF BREAKER STAY WARN LIMIT UNREACHABLE STOP DROPS ALWAYS NEVER SOME AND OR NOT IN"
)
STATEMENTS = tuple(_STATEMENTS.split())
KEYWORDS = {name: name.lower() for name in (*STATEMENTS, *_CLAUSES.split(), *_INNER.split())}
SYNC = frozenset((*STATEMENTS, *_CLAUSES.split(), "RBRACE"))

#: A strange token -> the terminal and text that stand in for it, so that one slip is one diagnostic.
REPLACEMENTS = {
    "&&": ("AND", "and"),
    "||": ("OR", "or"),
    "!": ("NOT", "not"),
    "=": ("RELATION", "=="),
    "=<": ("RELATION", "<="),
}

_SIGNS = {
    "EQUAL": "`=`",
    "COMMA": "`,`",
    "LSQB": "`[`",
    "RSQB": "`]`",
    "LBRACE": "`{`",
    "RBRACE": "`}`",
    "LPAR": "`(`",
    "RPAR": "`)`",
    "STAR": "`*`",
    "STRING": "a quoted text",
    "NUMBER": "a number",
    "MONEY": "an amount of money such as `$15/Mtok`",
    "BUCKET": "a tool count such as `2-4`",
    "RELATION": "a comparison such as `==` or `>=`",
    "ARROW": "`->`",
    "DATE": "a day such as `2026-12-31`",
    "$END": "the end of the file",
}
_NAMES = {
    "TASKS": "a task name",
    "TIER": "a tier name",
    "USE": "a tier name",
    "LSQB": "a model",
    "ROUTE": "a route name",
    "FLOOR": "`success` or `quality`",
    "FASTEST": "`ttft_p95` or `latency_p95`",
    "BEST": "`quality` or `value`",
    "SERVE": "a model",
    "FALLBACK": "a model",
    "BASELINE": "a model",
    "MODE": "`live` or `shadow`",
    "AUDIT": "`on` or `off`",
    "ATTRIBUTE": "an attribute name",
    "CASCADE": "a tier name",
    "ARROW": "a tier name",
    "ESCALATE": "a check such as `judge < 80%`",
    "PIN": "`session`",
    "SET": "a parameter",
    "RETRY": "`next`, `abort` or `disable`",
    "THEN": "`next`, `abort` or `disable`",
    "ON": "an outcome",
    "BATCH": "`allowed`",
    "STREAM": "`on` or `off`",
    "BUDGET": "`tenant`, `org`, `team` or `product`",
    "LIMIT": "`deny`",
    "UNREACHABLE": "`open` or `closed`",
    "BY": "what to go by",
    "STOP": "`success` or `quality`",
    "GIVEN": "a field",
    "EXPECT": "`route`, `tier`, `model`, `candidate`, `floor` or `status`",
    "RELATION": "a value",
    "IN": "a value",
    "STAR": "a field",
}
_LOOKALIKES = dict(zip("аеорсухіјѕԁոցһӏмкт" + "αονρτυ", "aeopcyxijsdnghlmkt" + "aovptu", strict=True))


def unexpected(
    kind: str, text: str, span: Span, expected: AbstractSet[str], before: list[str], *, same_line: bool
) -> Diagnostic:
    """The finding for a token of `kind` where only `expected` terminals fit; `before` are the terminals ahead of it.

    `same_line` tells a keyword used as a name from one that begins the next statement.
    """
    if strange := _strange(kind, text, span):
        return strange
    wanted = _wanted(expected, before)
    found = "the end of the file" if kind == "$END" else f"`{_short(text)}`"
    if kind in KEYWORDS and "NAME" in expected and "NOT" not in expected and same_line:
        advice = f'write it in quotes, as in `"{text}"`' if "STRING" in expected else "choose another name"
        return error("P103", span, f"`{text}` is a reserved word, expected {_listed(wanted)}", advice)
    return error("P101", span, f"expected {_listed(wanted)}, found {found}", *_near(kind, text, expected))


def _strange(kind: str, text: str, span: Span) -> Diagnostic | None:
    if kind == "FOREIGN":
        return _foreign(text, span)
    if kind == "UNCLOSED":
        return error("P005", span, "this text is not closed on its line", 'a quoted text ends with `"`')
    if kind == "QUOTED":
        return error("P004", span, "texts stand in double quotes", None, f'"{text[1:-1]}"')
    if kind in ("OPERATOR", "UNKNOWN", "MINUS"):
        return _unknown_sign(text, span)
    return None


def _foreign(text: str, span: Span) -> Diagnostic:
    odd = next(char for char in text if ord(char) > 127)
    name = unicodedata.name(odd, "a character without a name").lower()
    plain = "".join(_LOOKALIKES.get(char, char) for char in unicodedata.normalize("NFKC", text))
    return error(
        "P004",
        span,
        f"`{_short(text)}` holds `{odd}` (U+{ord(odd):04X}, {name}); names are ASCII",
        "other scripts may stand in comments and quoted texts",
        plain if plain.isascii() and plain != text else None,
    )


def _unknown_sign(text: str, span: Span) -> Diagnostic:
    help_text = {
        "//": "comments start with `#`",
        ";": "statements need no separator",
        "$": "money is written like `$15/Mtok` or `$2/day`",
        "-": "numbers have no sign",
        ".": "a number starts with a digit, as in `0.85`",
    }.get(text)
    replacement = {"=>": ">="}.get(text) or REPLACEMENTS.get(text, ("", None))[1]
    return error("P004", span, f"`{text}` means nothing in this language", help_text, replacement)


def _wanted(expected: AbstractSet[str], before: list[str]) -> list[str]:
    if expected - {"$END"} == set(STATEMENTS):
        return ["a statement such as `tier`, `forbid`, `route` or `fallback`"]
    if {"NAME", "NOT", "LPAR"} <= expected:
        return ["a condition"]
    if expected >= {"NAME", "MONEY", "STRING"}:
        return ["a value"]
    following = expected >= set(STATEMENTS)
    inner = [name for name in KEYWORDS if name in expected and not (following and name in STATEMENTS)]
    keywords = [f"`{KEYWORDS[name]}`" for name in inner]
    names = [_name_wanted(before)] if "NAME" in expected else []
    others = ("STRING",) if names and "STRING" in expected else ()
    signs = [text for name, text in _SIGNS.items() if name in expected and name not in (*others, "$END")]
    return names + signs + keywords + (["the next statement"] if following else [])


def _name_wanted(before: list[str]) -> str:
    nearest = next((kind for kind in reversed(before) if kind in _NAMES), "")
    return _opened(before) if nearest == "LSQB" else _NAMES.get(nearest, "a name")


def _opened(before: list[str]) -> str:
    """What a list in brackets holds."""
    lists = {"ATTRIBUTE": "a value", "PARAMETERS": "a parameter", "TIER": "a model", "PREFER": "a model"}
    return next((lists[kind] for kind in reversed(before) if kind in lists), "a name")


def _near(kind: str, text: str, expected: AbstractSet[str]) -> tuple[str | None, str | None]:
    """Help and suggestion for a name that is nearly a keyword accepted here."""
    if kind == "EQUAL" and "RELATION" in expected:
        return None, "=="
    if kind != "NAME":
        return None, None
    accepted = frozenset(KEYWORDS[name] for name in expected if name in KEYWORDS)
    return None, did_you_mean(text, accepted)


def _listed(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"


def _short(text: str) -> str:
    return text if len(text) <= 40 else f"{text[:37]}..."
