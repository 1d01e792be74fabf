"""Shape classes: each dimension of a call cut into the values that some expressions cannot tell apart.

A call is an envelope and what the request says of its org, team, product and declared attributes. The dimensions of an
envelope and attributes are finite; an open name is finite too once cut into the names that are mentioned, any other
name, and none. A product over one representative per class therefore covers every call exactly.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterable, Iterator, Mapping

from policy_lang.frozen import frozen
from policy_lang.gates import FactValue, evaluate, mentioned_fields
from policy_lang.ir import And, Attribute, Compare, CompareFields, Expr, In, Not, Or
from policy_lang.vocabulary import (
    ATTRIBUTE_PREFIX,
    CONTEXT_BUCKETS,
    STRUCTURES,
    TOKEN_BUCKETS,
    TOOL_BUCKETS,
    bucket_upper,
    scope_of,
)

__all__ = [
    "ENVELOPE_FIELDS",
    "Dimension",
    "atoms_of",
    "cut",
    "dimension_of",
    "facts_of",
    "values_of",
]

_SIZES = {"context": CONTEXT_BUCKETS, "tokens": TOKEN_BUCKETS, "tools": TOOL_BUCKETS}
#: Name a policy uses -> field of an envelope, in the order in which a space is enumerated.
ENVELOPE_FIELDS = {
    "context": "context_length",
    "tokens": "estimated_tokens",
    "structure": "structure_type",
    "task": "task_type",
    "time_sensitive": "time_sensitive",
    "tools": "tools_used",
}
_SLUGS = ("org", "team", "product")


@frozen
class Dimension:
    """One axis of a space: the classes of its values, each led by its representative. None is a value that is absent.

    `counts` is the number of concrete values a class stands for; any other name of an open field counts as one.
    """

    name: str
    classes: tuple[tuple[FactValue, ...], ...]

    @property
    def counts(self) -> tuple[int, ...]:
        return tuple(map(len, self.classes))


def cut(
    exprs: Iterable[Expr], tasks: Iterable[Collection[str]], attributes: Iterable[Attribute] = ()
) -> tuple[Dimension, ...]:
    """The dimensions that `exprs` mention, each cut where the truth of some comparison may change.

    `tasks` holds the vocabulary of each policy concerned: a task that a policy does not declare is `other` to it.
    """
    vocabularies = [frozenset(names) for names in tasks]
    mentions: dict[str, list[Expr]] = {}
    for atom in dict.fromkeys(atom for expr in exprs for atom in atoms_of(expr)):
        for name in mentioned_fields(atom):
            if (dimension := dimension_of(name)) is not None:
                mentions.setdefault(dimension, []).append(atom)
    declared: dict[str, dict[str, None]] = {}
    for attribute in attributes:
        declared.setdefault(ATTRIBUTE_PREFIX + attribute.name, {}).update(dict.fromkeys(attribute.values))
    order = (*ENVELOPE_FIELDS, *_SLUGS, *sorted(name for name in mentions if name.startswith(ATTRIBUTE_PREFIX)))
    return tuple(
        Dimension(name, _classes(name, mentions[name], vocabularies, tuple(declared.get(name, ()))))
        for name in order
        if name in mentions
    )


def atoms_of(expr: Expr) -> Iterator[Expr]:
    """The comparisons inside `expr`."""
    match expr:
        case And(items) | Or(items):
            for item in items:
                yield from atoms_of(item)
        case Not(item):
            yield from atoms_of(item)
        case _:
            yield expr


def dimension_of(field: str) -> str | None:
    """The dimension a field reads (`tokens.upper` is a reading of `tokens`); None for a field of a model."""
    if field.startswith(ATTRIBUTE_PREFIX):
        return field
    return None if scope_of(field) == "model" else field.partition(".")[0]


def facts_of(dimension: str, value: FactValue) -> dict[str, FactValue]:
    """What a value of a dimension states, under the names a policy uses."""
    if dimension in ("context", "tokens"):
        return {dimension: value, f"{dimension}.upper": bucket_upper(dimension, str(value))}
    return {dimension: value}


def values_of(name: str, tasks: Collection[str]) -> tuple[FactValue, ...]:
    """Every value of an envelope's dimension."""
    if name in _SIZES:
        return tuple(bucket.name for bucket in _SIZES[name])
    fixed: Mapping[str, tuple[FactValue, ...]] = {"structure": STRUCTURES, "time_sensitive": (False, True)}
    return fixed[name] if name in fixed else tuple(sorted(tasks))


def _classes(
    name: str, atoms: list[Expr], vocabularies: list[frozenset[str]], declared: tuple[str, ...]
) -> tuple[tuple[FactValue, ...], ...]:
    named: dict[FactValue, list[int]] = {}
    for index, atom in enumerate(atoms):
        for value in _constants(atom):
            named.setdefault(value, []).append(index)
    if name in _SLUGS:
        others = "any-other"
        while others in named:
            others += "-"
        return ((others,), *((value,) for value in sorted(map(str, named))), (None,))
    attribute = name.startswith(ATTRIBUTE_PREFIX)
    values = (*declared, None) if attribute else values_of(name, frozenset().union(*vocabularies))
    groups: dict[Hashable, list[FactValue]] = {}
    # A comparison of two fields is not cut by one of them alone: there each value is a class of its own.
    apart = name == "time_sensitive" or any(isinstance(atom, CompareFields) for atom in atoms)
    for value in values:
        signature: Hashable
        if value is None or apart:
            signature = (value,)
        elif name in _SIZES:
            facts = facts_of(name, value)
            signature = tuple(evaluate(atom, facts) for atom in atoms)
        else:
            signature = (*named.get(value, ()), *(value in vocabulary for vocabulary in vocabularies))
        groups.setdefault(signature, []).append(value)
    return tuple(map(tuple, groups.values()))


def _constants(atom: Expr) -> tuple[FactValue, ...]:
    match atom:
        case In(_, values):
            return values
        case Compare(_, _, value):
            return (value,)
        case _:
            return ()
