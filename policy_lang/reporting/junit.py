"""JUnit XML, as CI services read it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from xml.sax.saxutils import escape, quoteattr

from policy_lang.frozen import frozen

__all__ = ["Case", "junit"]

# XML 1.0 cannot hold these, not even escaped.
_UNPRINTABLE = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@frozen
class Case:
    """One test case; `failure` holds type, message and text."""

    group: str
    name: str
    failure: tuple[str, str, str] | None = None
    output: str | None = None


def junit(name: str, suites: Mapping[str, Iterable[Case]]) -> str:
    """Suites by name, in their order, as one document."""
    listed = {suite: list(cases) for suite, cases in suites.items()}
    every = [case for cases in listed.values() for case in cases]
    lines = ['<?xml version="1.0" encoding="utf-8"?>', f"<testsuites {_counts(name, every)}>"]
    for suite, cases in listed.items():
        lines.append(f"  <testsuite {_counts(suite, cases)}>")
        lines += [_case(case) for case in cases]
        lines.append("  </testsuite>")
    return "\n".join([*lines, "</testsuites>"]) + "\n"


def _counts(name: str, cases: list[Case]) -> str:
    failures = sum(case.failure is not None for case in cases)
    return f'name={_attribute(name)} tests="{len(cases)}" failures="{failures}" errors="0"'


def _case(case: Case) -> str:
    head = f"    <testcase classname={_attribute(case.group)} name={_attribute(case.name)}"
    if case.failure:
        kind, message, text = case.failure
        inside = f"<failure type={_attribute(kind)} message={_attribute(message)}>{_text(text)}</failure>"
    elif case.output:
        inside = f"<system-out>{_text(case.output)}</system-out>"
    else:
        return f"{head}/>"
    return f"{head}>{inside}</testcase>"


def _text(text: str) -> str:
    return escape(_UNPRINTABLE.sub("\ufffd", text))


def _attribute(text: str) -> str:
    return quoteattr(_UNPRINTABLE.sub("\ufffd", text))
