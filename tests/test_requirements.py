"""Locks install the same everywhere: exact versions, hashes, and no word of where one machine got them."""

import re
from pathlib import Path

import pytest
from packaging.version import Version

REQUIREMENTS = Path(__file__).parents[1] / "requirements"
LOCKS = sorted(REQUIREMENTS.glob("*.txt"))
PIN = re.compile(r"^([a-z0-9][a-z0-9._-]*)(\[[a-z0-9,-]+\])?==([^\s;]+)", re.MULTILINE)


def pins(name: str) -> set[tuple[str, str]]:
    return {(found[0], found[2]) for found in PIN.findall((REQUIREMENTS / name).read_text())}


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.stem)
def test_a_lock_names_no_registry(lock: Path) -> None:
    assert not re.search(r"https?://|file:|index-url|find-links|trusted-host", lock.read_text())


@pytest.mark.parametrize("lock", [lock for lock in LOCKS if lock.stem != "functions"], ids=lambda lock: lock.stem)
def test_every_requirement_of_a_lock_is_exact_and_hashed(lock: Path) -> None:
    requirements = re.split(r"^(?=[a-zA-Z0-9])", lock.read_text(), flags=re.MULTILINE)[1:]
    assert requirements
    for requirement in requirements:
        assert PIN.match(requirement), requirement
        assert "--hash=sha256:" in requirement, requirement


def test_what_is_tested_is_what_the_demo_and_the_functions_run_with() -> None:
    assert pins("dev.txt") <= pins("test.txt")
    assert pins("functions.txt") <= pins("dev.txt")


def test_the_functions_carry_no_copy_of_the_runtimes_own_sdk() -> None:
    assert not {name for name, _ in pins("functions.txt")} & {"boto3", "botocore", "aws-xray-sdk"}


ADVISORIES = re.findall(
    r"^([a-z0-9-]+)>=(\S+) +# (CVE-\d+-\d+) \S", (REQUIREMENTS / "advisories.in").read_text(), re.MULTILINE
)


def test_no_lock_holds_a_version_with_a_hole_that_is_known_here() -> None:
    listed = [line for line in (REQUIREMENTS / "advisories.in").read_text().splitlines() if not line.startswith("#")]
    assert len(ADVISORIES) == len(listed)
    locked = {(name, pinned) for lock in LOCKS for name, pinned in pins(lock.name)}
    for name, least, advisory in ADVISORIES:
        versions = [Version(pinned) for found, pinned in locked if found == name]
        assert versions, f"{name} is in no lock any more"
        assert min(versions) >= Version(least), f"{name}: {advisory}"
