"""Expressions over a space, in Kleene logic: two sets of cells, where one is true and where it is false.

The same meaning as `gates.evaluate`, which stays the oracle, for all cells at once.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

from policy_lang.analysis.space import Cells, Space
from policy_lang.gates import Facts, FactValue, evaluate, mentioned_fields
from policy_lang.ir import And, Compare, CompareFields, Expr, Flag, In, Not, Or
from policy_lang.shapes import dimension_of, facts_of
from policy_lang.vocabulary import OTHER_TASK, scope_of

__all__ = ["Reading", "Truth"]

#: Where an expression is true, and where it is false; it is unknown in the cells of neither.
Truth = tuple[Cells, Cells]


class Reading:
    """The expressions of one policy over a space. A task outside `tasks` is `other` to it."""

    def __init__(self, space: Space, tasks: Collection[str]) -> None:
        self.space = space
        self._tasks = frozenset(tasks)
        # The expression is kept with its reading, so that an id is never reused.
        self._known: dict[int, tuple[Expr, _Read]] = {}

    def of(self, expr: Expr, model: Facts) -> Truth:
        """Where `expr` holds for a model, with the meaning of `gates.evaluate`."""
        found = self._known.get(id(expr))
        if found is None:
            found = self._known[id(expr)] = (expr, self._read(expr))
        read = found[1]
        return read(model) if callable(read) else read

    def _read(self, expr: Expr) -> _Read:
        match expr:
            case And(items):
                return _joined([self._read(item) for item in items], (self.space.all, 0), _both)
            case Or(items):
                return _joined([self._read(item) for item in items], (0, self.space.all), _either)
            case Not(item):
                inner = self._read(item)
                if callable(inner):
                    return lambda model: inner(model)[::-1]
                return inner[1], inner[0]
            case _:
                return self._atom(expr)

    def _atom(self, atom: Expr) -> _Read:
        fields = mentioned_fields(atom)
        names = sorted({name for field in fields if (name := dimension_of(field)) is not None})
        if any(self.space.dimension(name) is None for name in names):
            return 0, 0  # carved for models to which this comparison does not matter
        constants = {False: (0, self.space.all), True: (self.space.all, 0), None: (0, 0)}
        if not names:
            return lambda model: constants[evaluate(atom, model)]
        if isinstance(atom, CompareFields):
            return self._comparison(atom, fields, names)
        if isinstance(atom, Flag) or names[0] in ("context", "tokens", "tools", "time_sensitive"):
            return _listed(self.space, self._tasks, atom, names, {})
        assert isinstance(atom, In | Compare)
        return self._naming(atom, names[0])

    def _naming(self, atom: In | Compare, name: str) -> Truth:
        """Equality with names; looked up, because a policy may have hundreds of tasks."""
        relation = "eq" if isinstance(atom, In) else atom.relation
        constants = atom.values if isinstance(atom, In) else (atom.value,)
        if relation not in ("eq", "ne") or not all(isinstance(constant, str) for constant in constants):
            return 0, 0
        dimension = self.space.dimension(name)
        assert dimension is not None
        leaders = [_effective(self._tasks, name, values[0]) for values in dimension.classes]
        named = [index for index, value in enumerate(leaders) if value in constants]
        others = [index for index, value in enumerate(leaders) if value is not None and value not in constants]
        truth = self.space.mask(name, named), self.space.mask(name, others)
        return truth if relation == "eq" else (truth[1], truth[0])

    def _comparison(self, atom: CompareFields, fields: frozenset[str], names: list[str]) -> _Read:
        of_model = [field for field in fields if scope_of(field) == "model"]
        if not of_model:
            return _listed(self.space, self._tasks, atom, names, {})
        memo: dict[FactValue, Truth] = {}
        space, tasks = self.space, self._tasks  # not `self`, which keeps this: sets that large must go at once

        def read(model: Facts) -> Truth:
            value = model.get(of_model[0])
            if value not in memo:
                memo[value] = _listed(space, tasks, atom, names, model)
            return memo[value]

        return read


_Read = Truth | Callable[[Facts], Truth]


def _joined(parts: list[_Read], start: Truth, join: Callable[[Truth, Truth], Truth]) -> _Read:
    later = [part for part in parts if callable(part)]
    for part in parts:
        if not callable(part):
            start = join(start, part)
    if not later:
        return start

    def read(model: Facts) -> Truth:
        truth = start
        for part in later:
            truth = join(truth, part(model))
        return truth

    return read


def _both(left: Truth, right: Truth) -> Truth:
    return left[0] & right[0], left[1] | right[1]


def _either(left: Truth, right: Truth) -> Truth:
    return left[0] | right[0], left[1] & right[1]


def _listed(space: Space, tasks: frozenset[str], atom: Expr, names: list[str], model: Facts) -> Truth:
    """A comparison evaluated once per class, or per pair of classes."""
    rows: list[tuple[Facts, Cells]] = [(model, space.all)]
    for name in names:
        dimension = space.dimension(name)
        assert dimension is not None
        rows = [
            ({**facts, **facts_of(name, _effective(tasks, name, values[0]))}, cells & space.mask(name, (index,)))
            for facts, cells in rows
            for index, values in enumerate(dimension.classes)
        ]
    found = {True: 0, False: 0, None: 0}
    for facts, cells in rows:
        found[evaluate(atom, facts)] |= cells
    return found[True], found[False]


def _effective(tasks: frozenset[str], name: str, value: FactValue) -> FactValue:
    return OTHER_TASK if name == "task" and value not in tasks else value
