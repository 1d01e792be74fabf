"""A process without clock, network or chance, so that what it computes can only come from its input.

`run_sealed` starts one; `seal_process` is what the started process does to itself before it imports what it is to run.
"""

from __future__ import annotations

import datetime
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NoReturn

__all__ = ["SealBroken", "run_sealed", "seal_process"]

_ROOT = Path(__file__).resolve().parents[1]
# -I keeps the environment, the user's site and the current folder out; the code's own root comes back as an argument.
_BOOT = """
import sys
sys.path.insert(0, sys.argv.pop(1))
from policy_cli.sandbox import seal_process
seal_process()
import runpy
runpy.run_module(sys.argv.pop(1), run_name="__main__")
"""
_CLOCKS = (
    "time",
    "time_ns",
    "monotonic",
    "monotonic_ns",
    "perf_counter",
    "perf_counter_ns",
    "process_time",
    "process_time_ns",
    "clock_gettime",
    "clock_gettime_ns",
    "localtime",
    "gmtime",
    "ctime",
    "sleep",
)
_FORBIDDEN_EVENTS = ("socket.", "subprocess.", "os.system", "os.exec", "os.fork", "os.posix_spawn", "os.spawn")


class SealBroken(RuntimeError):  # noqa: N818 - what happened, not what is wrong with the input
    """Sealed code asked for the time, the network, chance or another process."""


def run_sealed(module: str, arguments: list[str]) -> subprocess.CompletedProcess[str]:
    """Run `python -m module` in a sealed process of its own, deaf to PYTHON* variables."""
    command = [sys.executable, "-I", "-X", "utf8", "-c", _BOOT, str(_ROOT), module, *arguments]
    # A session of its own: Ctrl-C in the terminal is for the command to handle, not for the work under it.
    return subprocess.run(  # noqa: S603
        command, capture_output=True, text=True, encoding="utf-8", check=False, start_new_session=True
    )


def seal_process() -> None:
    """From here on clocks, sockets, random bytes and child processes raise SealBroken. There is no way back."""
    for name in _CLOCKS:
        if hasattr(time, name):
            setattr(time, name, _refusal(f"time.{name}"))
    datetime.datetime = _SealedDatetime  # type: ignore[misc]
    datetime.date = _SealedDate  # type: ignore[misc]
    for name in ("urandom", "getrandom"):
        setattr(os, name, _refusal(f"os.{name}"))
    sys.addaudithook(_refuse_event)


def _refuse_event(event: str, _: Any) -> None:
    if event.startswith(_FORBIDDEN_EVENTS):
        raise SealBroken(f"sealed: {event}")


def _refusal(name: str) -> Any:
    def refuse(*_: Any, **__: Any) -> NoReturn:
        raise SealBroken(f"sealed: {name}")

    return refuse


class _SealedDate(datetime.date):
    today: Any = classmethod(_refusal("date.today"))


class _SealedDatetime(datetime.datetime):
    now: Any = classmethod(_refusal("datetime.now"))
    today: Any = now
    utcnow: Any = now
