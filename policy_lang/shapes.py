"""Shape classes: each dimension of an envelope cut into the values that some expressions cannot tell apart.

The shape space is finite, so a product over one representative per class covers all of it exactly.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Mapping, Sequence
from itertools import product
from math import prod

from policy_lang.envelope import Envelope
from policy_lang.gates import Facts, evaluate, mentioned_fields
from policy_lang.ir import And, Compare, CompareFields, Expr, In, Not, Or
from policy_lang.vocabulary import CONTEXT_BUCKETS, FIELDS, STRUCTURES, TOKEN_BUCKETS, TOOL_BUCKETS

__all__ = ["Classes", "dimensions", "distinct_atoms", "representatives", "shape_classes", "shape_count"]

#: Field of an envelope -> one representative value per class.
Classes = Mapping[str, tuple[str | bool, ...]]

_DIMENSIONS = {"task": "task_type", "structure": "structure_type", "time_sensitive": "time_sensitive"}
_SIZES = {"context": "context_length", "tokens": "estimated_tokens", "tools": "tools_used"}
_ENVELOPE_FIELD = _DIMENSIONS | _SIZES
_ANY = Envelope("other", "prose", "short", "0", False, "tiny")


def shape_classes(exprs: Iterable[Expr], tasks: Collection[str], models: Sequence[Facts]) -> Classes:
    """The dimensions that `exprs` mention, each cut where the truth of some comparison changes for some model."""
    atoms = distinct_atoms(exprs)
    cut: dict[str, tuple[str | bool, ...]] = {}
    for dimension in sorted({found for atom in atoms for found in dimensions(atom)}):
        concerned = [atom for atom in atoms if dimension in dimensions(atom)]
        signature = _task_signature(concerned) if dimension == "task_type" else _signature(dimension, concerned, models)
        first: dict[Hashable, str | bool] = {}
        for value in _values(dimension, tasks):
            first.setdefault(signature(value), value)
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


def distinct_atoms(exprs: Iterable[Expr]) -> list[Expr]:
    """The comparisons inside `exprs`, each once."""
    return list(dict.fromkeys(atom for expr in exprs for atom in _atoms(expr)))


def dimensions(expr: Expr) -> frozenset[str]:
    """Envelope fields an expression looks at; `tokens.upper` is a reading of `tokens`."""
    shape = (name.partition(".")[0] for name in mentioned_fields(expr) if FIELDS[name].scope == "shape")
    return frozenset(_ENVELOPE_FIELD[name] for name in shape)


def _task_signature(atoms: list[Expr]) -> Callable[[str | bool], Hashable]:
    # A policy may have hundreds of tasks, so the comparisons that name a task are looked up and not evaluated.
    naming: dict[str | bool, list[int]] = {}
    for index, atom in enumerate(atoms):
        values = atom.values if isinstance(atom, In) else (atom.value,) if isinstance(atom, Compare) else ()
        for value in values:
            naming.setdefault(str(value), []).append(index)
    return lambda value: tuple(naming.get(value, ()))


def _signature(dimension: str, atoms: list[Expr], models: Sequence[Facts]) -> Callable[[str | bool], Hashable]:
    # A comparison of two dimensions is not cut by one of them alone: there each value is a class of its own.
    if any(len(dimensions(atom)) > 1 for atom in atoms):
        return lambda value: value

    def signature(value: str | bool) -> Hashable:
        facts: Facts = _with(dimension, value).facts()
        return tuple(
            evaluate(atom, {**model, **facts})
            for atom in atoms
            for model in (models if isinstance(atom, CompareFields) else ({},))
        )

    return signature


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
