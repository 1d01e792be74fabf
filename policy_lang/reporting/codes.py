"""One page for each diagnostic code, as `pointsman explain CODE` shows it; the text is in `pages/`."""

from __future__ import annotations

import re
from importlib.resources import files
from textwrap import indent

__all__ = ["EXAMPLES", "PAGES"]

_FENCE = re.compile(r"^```policy([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def _sources() -> dict[str, str]:
    parts = sorted(files("policy_lang.reporting").joinpath("pages").iterdir(), key=lambda part: part.name)
    text = "\n".join(part.read_text(encoding="utf-8") for part in parts if part.name.endswith(".md"))
    pages = re.split(r"^## (?=P\d{3} )", text, flags=re.MULTILINE)[1:]
    return {page[:4]: page for page in sorted(pages)}


def _shown(page: str) -> str:
    return _FENCE.sub(lambda found: indent(found[2], "    "), page).rstrip() + "\n"


#: Code -> its page, the first line the title, examples indented.
PAGES = {code: _shown(page) for code, page in _sources().items()}
#: Code -> the marks (`route`: what stands inside a route; `file`: nothing is to be added) and text of each example.
EXAMPLES: dict[str, list[tuple[str, str]]] = {code: _FENCE.findall(page) for code, page in _sources().items()}
