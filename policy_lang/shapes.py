"""Shape classes: each dimension of an envelope cut into the values that some expressions cannot tell apart.

The shape space is finite, so a product over one representative per class covers all of it exactly.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from itertools import product
from math import prod

from policy_lang.envelope import Envelope
from policy_lang.gates import Facts, FactValue, evaluate, mentioned_fields
from policy_lang.ir import And, Expr, Not, Or
from policy_lang.vocabulary import CONTEXT_BUCKETS, FIELDS, STRUCTURES, TOKEN_BUCKETS, TOOL_BUCKETS

__all__ = ["Classes", "representatives", "shape_classes", "shape_count"]

#: Field of an envelope -> one representative value per class.
Classes = Mapping[str, tuple[str | bool, ...]]

_DIMENSIONS = {"task": "task_type", "structure": "structure_type", "time_sensitive": "time_sensitive"}
_SIZES = {"context": "context_length", "tokens": "estimated_tokens", "tools": "tools_used"}
_ENVELOPE_FIELD = _DIMENSIONS | _SIZES
_ANY = Envelope("other", "prose", "short", "0", False, "tiny")


def shape_classes(exprs: Iterable[Expr], tasks: Collection[str], models: Iterable[Facts]) -> Classes:
    """The dimensions that `exprs` mention, each cut where the truth of some comparison changes for some model."""
    atoms = [atom for expr in exprs for atom in _atoms(expr)]
    model_facts = list(models) or [{}]
    cut: dict[str, tuple[str | bool, ...]] = {}
    for dimension in sorted({found for atom in atoms for found in _dimensions(atom)}):
        concerned = [atom for atom in atoms if dimension in _dimensions(atom)]
        first: dict[tuple[object, ...], str | bool] = {}
        for value in _values(dimension, tasks):
            first.setdefault(_signature(dimension, value, concerned, model_facts), value)
        cut[dimension] = tuple(first.values())
    return cut


def shape_count(classes: Classes) -> int:
    """Number of class combinations."""
    return prod(len(values) for values in classes.values())


def representatives(classes: Classes) -> Iterator[Envelope]:
    """One envelope per combination of classes; dimensions that are not mentioned hold a fixed value."""
    fixed = {name: getattr(_ANY, name) for name in Envelope.__slots__}
    for values in product(*classes.values()):
        yield Envelope(**(fixed | dict(zip(classes, values, strict=True))))


def _signature(dimension: str, value: str | bool, atoms: list[Expr], models: list[Facts]) -> tuple[object, ...]:
    # A comparison of two dimensions is not cut by one of them alone: there each value is a class of its own.
    if any(len(_dimensions(atom)) > 1 for atom in atoms):
        return (value,)
    facts: dict[str, FactValue] = dict(_with(dimension, value).facts())
    return tuple(evaluate(atom, {**model, **facts}) for atom in atoms for model in models)


def _with(dimension: str, value: str | bool) -> Envelope:
    fields = {name: getattr(_ANY, name) for name in Envelope.__slots__}
    return Envelope(**(fields | {dimension: value}))


def _atoms(expr: Expr) -> Iterator[Expr]:
    match expr:
        case And(items) | Or(items):
            for item in items:
                yield from _atoms(item)
        case Not(item):
            yield from _atoms(item)
        case _:
            yield expr


def _dimensions(atom: Expr) -> frozenset[str]:
    """Envelope fields an atom looks at; `tokens.upper` is a reading of `tokens`."""
    shape = (name.partition(".")[0] for name in mentioned_fields(atom) if FIELDS[name].scope == "shape")
    return frozenset(_ENVELOPE_FIELD[name] for name in shape)


def _values(dimension: str, tasks: Collection[str]) -> tuple[str | bool, ...]:
    match dimension:
        case "task_type":
            return tuple(sorted(tasks))
        case "structure_type":
            return STRUCTURES
        case "time_sensitive":
            return (False, True)
        case "context_length":
            return tuple(bucket.name for bucket in CONTEXT_BUCKETS)
        case "estimated_tokens":
            return tuple(bucket.name for bucket in TOKEN_BUCKETS)
        case _:
            return tuple(bucket.name for bucket in TOOL_BUCKETS)
