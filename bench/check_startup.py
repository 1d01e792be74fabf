"""`pointsman check` on one file, the whole process, against a process that only imports lark and pydantic.

Both alternate in one run, CPU time (user and system) of the child processes, medians; the claim is at most twice.
`python bench/check_startup.py [rounds]`; exits with 1 where the claim does not hold.
"""

from __future__ import annotations

import compileall
import resource
import statistics
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
POLICY = ROOT / "samples" / "acme" / "support.policy"
MOST = 2.0
COMMANDS = {
    "an empty process": ["-c", ""],
    "import lark, pydantic": ["-c", "import lark, pydantic"],
    "pointsman check": ["-m", "policy_cli.main", "check", str(POLICY)],
}


def cpu_ms(arguments: list[str]) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, *arguments], cwd=ROOT, check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime) * 1000


def main() -> int:
    # As an installation does for the libraries compared with; an editable checkout has none until its first run.
    for folder in ("policy_lang", "policy_engine", "policy_cli"):
        compileall.compile_dir(Path(__file__).parents[1] / folder, quiet=2)
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 15
    taken: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for number in range(rounds + 1):
        for name, arguments in COMMANDS.items():
            spent = cpu_ms(arguments)
            if number:  # the first round writes bytecode
                taken[name].append(spent)
    base = statistics.median(taken["import lark, pydantic"])
    for name, rounds_ms in taken.items():
        median = statistics.median(rounds_ms)
        print(f"{name:24} {median:7.1f} ms  {median / base:5.2f} x  (least {min(rounds_ms):.1f})")
    ratio = statistics.median(taken["pointsman check"]) / base
    print(f"claim: at most {MOST} x; {'holds' if ratio <= MOST else 'does not hold'}")
    return 0 if ratio <= MOST else 1


if __name__ == "__main__":
    sys.exit(main())
