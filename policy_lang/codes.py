"""One page for each diagnostic code, as `pointsman explain CODE` shows it; the text is in `pages/`."""

from __future__ import annotations

import re
from importlib.resources import files

__all__ = ["PAGES"]


def _pages() -> dict[str, str]:
    parts = sorted(files("policy_lang").joinpath("pages").iterdir(), key=lambda part: part.name)
    text = "\n".join(part.read_text(encoding="utf-8") for part in parts if part.name.endswith(".md"))
    pages = re.split(r"^## (?=P\d{3} )", text, flags=re.MULTILINE)[1:]
    return {page[:4]: page.rstrip() + "\n" for page in sorted(pages)}


#: Code -> its page in Markdown, the first line the title.
PAGES = _pages()
