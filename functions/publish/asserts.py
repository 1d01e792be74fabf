"""Asserts under the catalog of the moment: before a text is published, and before a name leads to a version again.

A canary may serve whatever passes the gates of the policy it is drawn from, so no later version of it breaks a proof.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from policy_engine.state import PublishedPolicy
from policy_engine.wire import RequestError
from policy_lang.analysis.analyse import prove_asserts
from policy_lang.analysis.assertions import assertion_findings
from policy_lang.analysis.findings import Finding
from policy_lang.catalog import Catalog
from policy_lang.compiler import Compilation
from policy_lang.diagnostics import Diagnostic, Span
from policy_lang.ir import Policy

__all__ = ["broken_in_text", "check_asserts"]

_SHOWN_DIGITS = 8


def broken_in_text(compiled: Compilation, catalog: Catalog) -> list[Diagnostic]:
    """An error for each assert of a text that is refuted or not proved, at the line where it begins."""
    if compiled.policy is None:
        return []
    return [
        Diagnostic(each.code, each.severity, _line(compiled.text, compiled.lines[each.rule]), each.message, each.help)
        for each in _broken(compiled.policy, catalog)
    ]


def check_asserts(versions: Mapping[str, PublishedPolicy], led_to: Iterable[str], catalog: Catalog) -> None:
    """RequestError 422 with every assert of the versions that is refuted or not proved; the first is in its message."""
    asserts = [
        {"fingerprint": fingerprint, "line": versions[fingerprint].lines.get(each.rule, 1)}
        | {"code": each.code, "message": each.message, "help": each.help}
        for fingerprint in led_to
        for each in _broken(versions[fingerprint].policy, catalog)
    ]
    if asserts:
        first = asserts[0]
        message = (
            f"by today's catalog `{str(first['fingerprint'])[:_SHOWN_DIGITS]}` breaks what it asserts:"
            f" {first['message']}; with `force` the name leads there all the same"
        )
        raise RequestError(422, "assert_broken", message, asserts=asserts)


def _broken(policy: Policy, catalog: Catalog) -> list[Finding]:
    return [each for each in assertion_findings(prove_asserts(policy, catalog)) if each.severity == "error"]


def _line(text: str, line: int) -> Span:
    lines = text.splitlines(keepends=True)
    start = sum(map(len, lines[: line - 1]))
    return Span(start, start + len(lines[line - 1].rstrip()), line, 1)
