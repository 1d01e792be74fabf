"""A rule of a policy against a catalog: who fails it and why, one row for each way a request can look to it.

A rule reads a few facts of a request, most of them from closed vocabularies. Requests that agree on those share a row,
and models that agree on the fields it reads share a verdict and a reason.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from policy_engine.candidates import Reason
from policy_engine.closures import residual
from policy_lang.gates import Facts, FactValue, mentioned_fields
from policy_lang.ir import Expr

__all__ = ["Row", "Rule"]

#: Org, team and product are open words, so the rows of one rule are not bounded by the vocabulary.
_MEMO_LIMIT = 1_024


@dataclass(frozen=True, slots=True, eq=False)
class Row:
    """Why each arm that fails does. Compared by identity: equal looks give the same row."""

    failing: Mapping[str, tuple[Reason]]


_NOBODY = Row({})


class Rule:
    """A gate, or a route's `where` as the gate that nobody outside it passes. Arms fail where `violation` is not False.

    `models`: the facts of every arm that may be asked for.
    """

    def __init__(self, name: str, violation: Expr, line: int | None, models: Mapping[str, Facts]) -> None:
        self._name = name
        self._violation = violation
        self._line = line
        self._models = models
        self._fields = tuple(sorted(mentioned_fields(violation)))
        self._of_request = tuple(field for field in self._fields if not field.startswith("model."))
        self._of_model = tuple(field for field in self._fields if field.startswith("model."))
        self._groups: list[tuple[Facts, list[str]]] | None = None
        self._rows: dict[tuple[FactValue, ...], Row] = {}

    def row(self, request: Facts) -> Row:
        """Who fails when the request looks like this."""
        look = tuple(map(request.get, self._of_request))
        found = self._rows.get(look)
        if found is None:
            if len(self._rows) >= _MEMO_LIMIT:
                self._rows.clear()
            found = self._rows[look] = self._judged(dict(zip(self._of_request, look, strict=True)))
        return found

    def _judged(self, request: Facts) -> Row:
        left = residual(self._violation, request)
        if left is False:
            return _NOBODY
        failing: dict[str, tuple[Reason]] = {}
        for model, arms in self._grouped():
            verdict = left(model) if callable(left) else left
            if verdict is not False:
                reason = (self._reason(verdict, {**request, **model}),)
                failing.update(dict.fromkeys(arms, reason))
        return Row(failing) if failing else _NOBODY

    def _grouped(self) -> list[tuple[Facts, list[str]]]:
        """Arms by the values of the model fields that the rule reads."""
        if self._groups is None:
            alike: dict[tuple[FactValue, ...], list[str]] = {}
            for arm, facts in self._models.items():
                alike.setdefault(tuple(map(facts.get, self._of_model)), []).append(arm)
            self._groups = [(dict(zip(self._of_model, look, strict=True)), arms) for look, arms in alike.items()]
        return self._groups

    def _reason(self, verdict: bool | None, facts: Facts) -> Reason:
        operands = tuple([(field, facts[field]) for field in self._fields])
        return Reason(self._name, "unknown" if verdict is None else "violated", self._line, operands)
