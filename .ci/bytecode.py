"""Compile every module of a built artifact that its handler can reach: `python3.13 .ci/bytecode.py FOLDER MODULE`.

Unchecked bytecode: Lambda unpacks an artifact with times of its own, and its sources cannot change. Reached is what an
import statement names, also one inside a function; what the runtime brings along (botocore) has bytecode there.
"""

from __future__ import annotations

import sys
from modulefinder import ModuleFinder
from pathlib import Path
from py_compile import PycInvalidationMode
from py_compile import compile as compile_file


def main(folder: str, handler: str) -> None:
    root = Path(folder).resolve()
    finder = ModuleFinder(path=[str(root)])
    finder.import_hook(handler)
    sources = sorted(
        Path(module.__file__) for module in finder.modules.values() if (module.__file__ or "").endswith(".py")
    )
    if root.joinpath(*handler.split(".")).with_suffix(".py") not in sources:
        sys.exit(f"{handler} is not in {root}: is it installed there?")
    for source in sources:
        shown = Path("/var/task") / source.relative_to(root)
        mode = PycInvalidationMode.UNCHECKED_HASH
        compile_file(str(source), dfile=str(shown), doraise=True, invalidation_mode=mode)


if __name__ == "__main__":
    main(*sys.argv[1:])
