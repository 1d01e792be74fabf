"""The spool file: telemetry that a process could not deliver, one JSON record a line, taken up by the next process.

Reading claims the file by renaming it and locks what it has claimed, so two processes never read one file. The lock
ends with its process: what one that was killed had claimed, the next one takes up. A record delivered twice counts
once.
A process that is killed outright writes nothing: what it held in memory is lost.
"""

from __future__ import annotations

import contextlib
import glob
import os
from pathlib import Path
from typing import BinaryIO
from uuid import uuid4

try:
    import fcntl
except ImportError:  # Windows, where a file that is open can be neither renamed nor removed
    fcntl = None  # type: ignore[assignment]

__all__ = ["claim_spool", "write_spool"]

# A name that no other spool beside it can have: `spill.receipts` is one, too.
_CLAIM = "[0-9a-f]" * 32


def write_spool(path: Path, records: list[bytes]) -> bool:
    """Append `records`, readable by the owner only; False when the disk refuses."""
    try:
        handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        with os.fdopen(handle, "ab") as file:
            file.write(b"".join(record + b"\n" for record in records))
    except OSError:
        return False
    return True


def claim_spool(path: Path) -> list[bytes]:
    """Take every whole record out of the spool, behind what processes that are gone have left claimed; none where there
    is no file.
    """
    older = sorted(path.parent.glob(f"{glob.escape(path.name)}.{_CLAIM}.claimed"))
    mine = path.with_name(f"{path.name}.{uuid4().hex}.claimed")
    with contextlib.suppress(OSError):  # there is none, or another process has just taken it
        path.rename(mine)
    return [record for claimed in (*older, mine) for record in _taken(claimed)]


def _taken(claimed: Path) -> list[bytes]:
    try:
        with claimed.open("rb") as file:
            if not _locked(file):
                return []
            content = file.read()
            claimed.unlink()
    except OSError:
        return []
    # A line without its newline was cut off by a full disk.
    return [line for line in content.split(b"\n")[:-1] if line]


def _locked(file: BinaryIO) -> bool:
    """False where another process has read it between our opening and locking it; OSError where one is at it."""
    if fcntl is not None:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    return os.fstat(file.fileno()).st_nlink > 0
