"""Policy text to IR: decode, parse, check, lower, prove. Every finding of the file at once, never a partial IR."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from policy_lang.analysis.fallback import unproved_fallback
from policy_lang.bounds import out_of_bounds
from policy_lang.catalog import Catalog
from policy_lang.checking.checker import check
from policy_lang.diagnostics import Diagnostic, Style, error, render
from policy_lang.fingerprint import ir_document, policy_fingerprint
from policy_lang.ir import Policy
from policy_lang.lowering.lower import lower
from policy_lang.lowering.tests import lower_statistics, lower_tests
from policy_lang.testing import Evidence, PolicyTest
from policy_lang.text import syntax
from policy_lang.text.outline import Outline
from policy_lang.text.parser import parse
from policy_lang.text.source import read_source

__all__ = ["PROOFS", "Compilation", "compile_policy"]


@dataclass(frozen=True, slots=True)
class Compilation:
    """What came of a text. `policy` and `fingerprint` are None exactly if there is an error among `diagnostics`.

    `lines` maps a gate's reason, and `route:NAME`, `assert:REASON`, `budget:SCOPE` or `budget:SCOPE:NAME`,
    `canary:POLICY`, `test:NAME` and `guard`, to the line (from 1) where it begins. `tests` and the
    `statistics` they name are no part of the policy.
    """

    policy: Policy | None
    fingerprint: str | None
    source_hash: str
    lines: Mapping[str, int]
    diagnostics: tuple[Diagnostic, ...]
    text: str = field(repr=False)
    filename: str = "<policy>"
    tests: tuple[PolicyTest, ...] = field(default=(), repr=False)
    statistics: Mapping[str, tuple[Evidence, ...]] = field(default_factory=dict, repr=False)

    @property
    def ok(self) -> bool:
        """Whether there is a policy."""
        return self.policy is not None

    def render(self, style: Style = "full") -> str:
        """The diagnostics as text."""
        return render(self.diagnostics, self.text, self.filename, style)


def compile_policy(source: str | bytes, catalog: Catalog, filename: str = "<policy>") -> Compilation:
    """Compile one policy against the models of `catalog`. Never raises, whatever the text."""
    read = read_source(source)
    if not read.readable:
        return Compilation(None, None, read.hash, {}, read.diagnostics, read.text, filename)
    parsed = parse(read.text)
    unreadable = (*read.diagnostics, *parsed.diagnostics)
    outline = Outline(parsed.statements, catalog, whole=not unreadable)
    blamed = {finding.span for finding in unreadable}
    checked = [finding for finding in check(outline) if finding.span not in blamed]
    found = sorted([*unreadable, *checked], key=lambda finding: finding.span)
    policy = None
    if not _has_errors(found):
        policy = lower(outline)
        found += [finding for proof in PROOFS for finding in proof(policy, outline)]
    if policy is None or _has_errors(found):
        return Compilation(None, None, read.hash, {}, tuple(found), read.text, filename)
    identity = policy_fingerprint(policy)
    lines, tests, statistics = _lines(outline), lower_tests(outline), lower_statistics(outline)
    return Compilation(policy, identity, read.hash, lines, tuple(found), read.text, filename, tests, statistics)


def within_limits(policy: Policy, outline: Outline) -> Iterator[Diagnostic]:
    """The limits of the language version on what the text comes to."""
    if problem := out_of_bounds(ir_document(policy)):
        yield error("P213", outline.headers[0].span, f"the policy compiles to something {problem}", "split the policy")


PROOFS: tuple[Callable[[Policy, Outline], Iterator[Diagnostic]], ...] = (within_limits, unproved_fallback)


def _has_errors(found: Iterable[Diagnostic]) -> bool:
    return any(finding.severity == "error" for finding in found)


def _lines(outline: Outline) -> dict[str, int]:
    gates = {rule.reason.text: rule.span.line for rule in (*outline.rules, *outline.guard_rules)}
    named: list[tuple[str, syntax.Statement]] = [
        *((f"route:{route.name.text}", route) for route in outline.all_routes),
        *((f"assert:{rule.reason.text}", rule) for rule in outline.assertions),
        *((":".join(filter(None, _budget_path(budget))), budget) for budget in outline.budgets),
        *((f"canary:{canary.policy.text}", canary) for canary in outline.canaries),
        *((f"test:{test.name.text}", test) for test in outline.tests),
        *(("guard", guard) for guard in outline.guards),
    ]
    lines = {name: statement.span.line for name, statement in reversed(named)}
    return gates | lines


def _budget_path(budget: syntax.BudgetRule) -> tuple[str, str, str]:
    return "budget", budget.scope.text, budget.name.text if budget.name else ""
