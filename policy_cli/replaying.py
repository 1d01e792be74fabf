"""The sealed half of `pointsman replay`: receipts in, one JSON summary out. Run by `sandbox.run_sealed`.

Needs nothing but the standard library, so that any interpreter can run it.

Arguments: receipt files and folders; `--policies DIR` adds a folder of policies, `--expect FILE` the decision ids due.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path

from policy_cli.receipts import ReceiptFileError, ids_in, policies_beside, receipt_files, receipt_lines
from policy_engine.replay import PolicyStore, Replayer
from policy_lang.frozen import frozen

__all__ = ["Replayed", "Unequal", "replay_files"]


@frozen
class Unequal:
    """A line that was not reproduced. `decision_id` is None where it can no longer be read; `line` counts from 1."""

    decision_id: str | None
    file: str
    line: int
    difference: str


@dataclass(slots=True)
class Replayed:
    """What replaying came to. `repeated`: lines beyond the first of a decision; `missing`: due, but in no file.

    `python`: the version that decided again.
    """

    receipts: int = 0
    equal: int = 0
    repeated: int = 0
    unequal: list[Unequal] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    python: str = sys.version.split()[0]


def replay_files(files: Iterable[Path], policies: PolicyStore, expected: Iterable[str] = ()) -> Replayed:
    """Replay every line of `files`; a file that cannot be read to its end counts as one unequal line."""
    result, seen, replayer = Replayed(), Counter[str](), Replayer(policies)
    for file in files:
        number = 0
        try:
            for number, line in enumerate(receipt_lines(file), 1):
                verdict = replayer.replay(line)
                result.receipts += 1
                result.equal += verdict.equal
                seen[verdict.decision_id or f"{file}:{number}"] += 1
                if not verdict.equal:
                    difference = verdict.difference or "unknown"
                    result.unequal.append(Unequal(verdict.decision_id, str(file), number, difference))
        except ReceiptFileError as problem:
            result.unequal.append(Unequal(None, str(file), number + 1, str(problem)))
    result.repeated = seen.total() - len(seen)
    result.missing = sorted({due for due in expected if due not in seen})
    return result


def main(arguments: list[str]) -> int:
    """Print the summary; 2 with a message on standard error where there is nothing to replay."""
    names, policies, expected = _options(arguments)
    try:
        files = receipt_files(names)
        due = ids_in(expected, "decision id of 32 hexadecimal digits") if expected else ()
        result = replay_files(files, policies_beside(names, policies), due)
    except (ReceiptFileError, OSError) as problem:
        print(problem, file=sys.stderr)  # noqa: T201 - the pipe to the parent process
        return 2
    print(json.dumps(asdict(result)))  # noqa: T201
    return 0


def _options(arguments: list[str]) -> tuple[list[Path], Path | None, Path | None]:
    values: dict[str, Path] = {}
    while arguments and arguments[0] in ("--policies", "--expect"):
        option, value, *arguments = arguments
        values[option] = Path(value)
    return [Path(name) for name in arguments], values.get("--policies"), values.get("--expect")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
