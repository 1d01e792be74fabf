"""The grammar's parse tables as package data: building them costs four times what reading them does.

`python -m policy_lang.text.tables` writes them anew after a change to `grammar.lark`; a test says when that is due.
Until then, and under another release of lark, the parser builds its own.
"""

from __future__ import annotations

import pickle
import zlib
from hashlib import sha256
from pathlib import Path

__all__ = ["GRAMMAR", "load_tables", "save_tables", "tables_key"]

_FILE = Path(__file__).with_name("grammar.tables")
GRAMMAR = Path(__file__).with_name("grammar.lark")


def tables_key(lark_version: str) -> bytes:
    """What the tables follow from."""
    return sha256(lark_version.encode() + b"\0" + GRAMMAR.read_bytes()).digest()


def load_tables(lark_version: str) -> dict[str, object] | None:
    """The stored tables, or None where they are not those of this grammar under this lark."""
    try:
        stored = _FILE.read_bytes()
    except FileNotFoundError:
        return None
    key = tables_key(lark_version)
    if not stored.startswith(key):
        return None
    # As trusted as the code beside it: the file comes with the package.
    tables: dict[str, object] = pickle.loads(zlib.decompress(stored[len(key) :]))  # noqa: S301
    return tables


def save_tables(lark_version: str, tables: bytes) -> None:
    """Store what lark pickled."""
    _FILE.write_bytes(tables_key(lark_version) + zlib.compress(tables, 9))


if __name__ == "__main__":
    from policy_lang.text.parser import write_tables

    write_tables()
