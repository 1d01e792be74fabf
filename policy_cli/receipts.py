"""Receipt files as `record` writes them: sealed lines in JSONL, gzipped or not, and the policies they were made by."""

from __future__ import annotations

import gzip
import json
import re
import zlib
from collections.abc import Iterator
from pathlib import Path

from policy_engine.replay import PolicyStore
from policy_lang.admission import policy_from_document
from policy_lang.ir import Policy

__all__ = ["ReceiptFileError", "ids_in", "policies_beside", "receipt_files", "receipt_lines"]

_FINGERPRINT = re.compile(r"[0-9a-f]{64}")
_ENDINGS = (".jsonl", ".jsonl.gz", ".json")


class ReceiptFileError(ValueError):
    """A file or folder that holds no receipts."""


def receipt_files(names: list[Path]) -> list[Path]:
    """The receipt files among `names`, folders searched to the bottom, sorted; policies and outcomes left out."""
    found: set[Path] = set()
    for name in names:
        if name.is_dir():
            inside = (path for ending in _ENDINGS[:2] for path in name.rglob(f"*{ending}"))
            found.update(path for path in inside if "outcomes" not in path.relative_to(name).parts)
        elif name.is_file():
            found.add(name)
        else:
            raise ReceiptFileError(f"`{name}` does not exist")
    if not found:
        raise ReceiptFileError(f"no {_ENDINGS[0]} or {_ENDINGS[1]} file in {', '.join(f'`{name}`' for name in names)}")
    return sorted(found)


def receipt_lines(path: Path) -> Iterator[str]:
    """The lines of a file, blank ones left out. A file that breaks off in its compression ends in ReceiptFileError."""
    try:
        with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as file:
            for line in file:
                if line.strip():
                    yield line.decode("utf-8", "replace").rstrip("\r\n")
    except (OSError, EOFError, zlib.error) as problem:
        raise ReceiptFileError(f"cannot read `{path}`: {problem}") from None


def ids_in(path: Path, what: str, pattern: str = r"[0-9a-f]{32}") -> set[str]:
    """The ids in a file, apart by white space. ReceiptFileError names the first that is none, and the file.

    what: one id in words; pattern: what all of it matches, the id of a decision unless told otherwise.
    """
    try:
        found = path.read_text().split()
    except (OSError, UnicodeDecodeError) as problem:
        raise ReceiptFileError(f"cannot read `{path}`: {problem}") from None
    if other := next((word for word in found if not re.fullmatch(pattern, word)), None):
        raise ReceiptFileError(f"`{path}` holds `{other[:40]}`, which is no {what}")
    return set(found)


def policies_beside(names: list[Path], extra: Path | None) -> PolicyStore:
    """Stored policies by fingerprint: from `policies` folders inside and above `names`, and from `extra`."""
    folders = {extra} if extra else set()
    for name in names:
        folders.update(name.rglob("policies") if name.is_dir() else ())
        folders.update(above / "policies" for above in (name, *name.parents))
    files = (path for folder in sorted(folders) if folder.is_dir() for path in sorted(folder.glob("*.json")))
    return {path.stem: _stored_policy(path) for path in files if _FINGERPRINT.fullmatch(path.stem)}


def _stored_policy(path: Path) -> tuple[Policy, dict[str, int]]:
    try:
        document = json.loads(path.read_bytes())
        return policy_from_document(document["ir"]), document["lines"]
    except (ValueError, KeyError, TypeError, OSError) as problem:
        raise ReceiptFileError(f"`{path}` is not a stored policy: {problem}") from None
