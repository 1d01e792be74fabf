"""Whether a decision came out as a `test` of the policy expects it; every expectation that failed as a finding."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from policy_lang.diagnostics import Diagnostic, error
from policy_lang.frozen import frozen
from policy_lang.testing import Expectation, PolicyTest

__all__ = ["Observed", "judge"]

_MOST_SHOWN = 8


@frozen
class Observed:
    """What was decided. None where nothing served; `candidates`: the arms that survive every gate; `reasons`: of the
    others, why not.
    """

    route: str
    status: str
    tier: str | None
    model: str | None
    floor: str | None
    candidates: tuple[str, ...]
    reasons: Mapping[str, str]

    def of(self, subject: str) -> tuple[str, ...]:
        """What `subject` came out as; several only for candidate."""
        if subject == "candidate":
            return self.candidates
        found = getattr(self, subject)
        return () if found is None else (found,)


def judge(test: PolicyTest, observed: Observed) -> tuple[Diagnostic, ...]:
    """The expectations of a test that do not hold, in their order."""
    return tuple(_failures(test, observed))


def _failures(test: PolicyTest, observed: Observed) -> Iterator[Diagnostic]:
    for expected in test.expectations:
        found = observed.of(expected.subject)
        if bool(set(found) & set(expected.values)) != expected.holds:
            yield error("P801", expected.span, _message(test, expected, found), _why(expected, observed))


def _message(test: PolicyTest, expected: Expectation, found: tuple[str, ...]) -> str:
    wanted = " or ".join(f"`{value}`" for value in expected.values)
    shown = ", ".join(f"`{value}`" for value in found[:_MOST_SHOWN]) or "none"
    what = f"not {wanted}" if not expected.holds else wanted
    return f'"{test.name}" expects {expected.subject} {what}, and it is {shown}'


def _why(expected: Expectation, observed: Observed) -> str | None:
    """For models, what speaks against those that were expected."""
    if expected.subject not in ("model", "candidate") or not expected.holds:
        return None
    missing = [arm for arm in expected.values if arm not in observed.candidates]
    return "; ".join(f"`{arm}` {observed.reasons.get(arm, 'is in no tier of the route')}" for arm in missing) or None
