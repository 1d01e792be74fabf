"""The peers live in an environment of their own: `requirements/bench-learning.txt` into `.venvs/bench-learning`."""

from __future__ import annotations

import os
import sys
from importlib.util import find_spec
from pathlib import Path


def under_bench_venv(root: Path) -> None:
    """Start again under `.venvs/bench-learning` where the peers are installed there and not here."""
    python = root / ".venvs/bench-learning/bin/python"
    if find_spec("vowpalwabbit") is None and python.exists():
        os.execv(python, [str(python), *sys.argv])
