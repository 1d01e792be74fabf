"""The spool file: telemetry that a process could not deliver, one JSON record a line, taken up by the next process.

Reading claims the file by renaming it, so two processes never read one file; a record delivered twice counts once.
A process that is killed outright writes nothing: what it held in memory is lost.
"""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["claim_spool", "write_spool"]


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
    """Take every whole record out of the spool; none where there is no file."""
    claimed = path.with_name(f"{path.name}.{os.getpid()}.claimed")
    try:
        path.rename(claimed)
        content = claimed.read_bytes()
        claimed.unlink()
    except OSError:
        return []
    # A line without its newline was cut off by a full disk.
    return [line for line in content.split(b"\n")[:-1] if line]
