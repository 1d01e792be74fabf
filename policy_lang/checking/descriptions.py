"""Two signs that a task's description will not tell its calls from others: a topic in place of an output, shared words.

Deterministic and plain: words are lower-cased and cut at six letters, words that carry no meaning are left out. Two
descriptions overlap where the shorter shares at least two thirds of its words, and two of them, with the longer. One is
topical where it opens with a word that leads to a subject (`about`, `questions on`) instead of naming a result.
"""

from __future__ import annotations

import re
from functools import lru_cache

__all__ = ["overlapping", "topical"]

_IGNORED = frozenset(
    re.findall(r"\w+", "a an and any as at by for from in into is it its of on one or that the their this to with")
)
_STEM = 6
_TOPICAL = re.compile(
    r"(?:anything |everything |all |any )?(?:about|concerning|regarding|related to|dealing with|(?:calls?|emails?|"
    r"inputs?|issues?|matters?|messages?|problems?|prompts?|queries|questions?|requests?|tickets?|topics?)"
    r" (?:about|concerning|from|of|on|regarding|related to|with))\b"
)


def topical(text: str) -> str | None:
    """The words that make `text` a description of its input, or None."""
    found = _TOPICAL.match(text.lower())
    return text[: found.end()] if found else None


def overlapping(one: str, other: str) -> bool:
    """Whether two descriptions say nearly the same."""
    first, second = _words(one), _words(other)
    shared = len(first & second)
    return shared >= 2 and 3 * shared >= 2 * min(len(first), len(second))


@lru_cache(maxsize=512)
def _words(text: str) -> frozenset[str]:
    return frozenset(word[:_STEM] for word in re.findall(r"\w+", text.lower()) if word not in _IGNORED)
