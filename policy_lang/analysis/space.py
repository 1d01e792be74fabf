"""A space of calls as bits: every cell is one combination of classes, a set of cells is one integer.

Union, intersection and complement of sets of any size are then single machine-speed operations. Exact: no cell is
sampled, none is left out.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from functools import cached_property
from math import prod

from policy_lang.envelope import Envelope
from policy_lang.frozen import frozen
from policy_lang.gates import Facts, FactValue
from policy_lang.ir import And, Attribute, Expr, Not, Or
from policy_lang.shapes import ENVELOPE_FIELDS, Dimension, cut, values_of
from policy_lang.vocabulary import ATTRIBUTE_PREFIX, OTHER_TASK

__all__ = ["MAX_CELLS", "MEMORY_BUDGET", "WORK_BUDGET", "Box", "Call", "Cells", "Space", "bits", "carve"]

#: A set of cells: bit i stands for cell i.
Cells = int
#: The part of a call that a statement is about: dimension -> value, None for a value that is absent.
Box = Mapping[str, FactValue]

MAX_CELLS = 1 << 20
#: Comparisons x models x cells that one proof may take before its verdict is `not proved`; about 0.1 s.
WORK_BUDGET = 4_000_000_000

#: Bits that the sets of all comparisons of a space may take: 48 MiB, half of it in practice.
MEMORY_BUDGET = 400_000_000

_ANY = Envelope("other", "prose", "short", "0", False, "tiny")


@frozen
class Call:
    """One concrete call: an envelope and what the request says of who asks; attributes as (name, value)."""

    envelope: Envelope
    org: str | None = None
    team: str | None = None
    product: str | None = None
    attributes: tuple[tuple[str, str], ...] = ()

    def facts(self) -> dict[str, FactValue]:
        """Fields of shape and request under the names a policy uses."""
        stated: dict[str, FactValue] = {**self.envelope.facts()}
        stated |= {"org": self.org, "team": self.team, "product": self.product}
        return stated | {ATTRIBUTE_PREFIX + name: value for name, value in self.attributes}


def carve(
    exprs: Collection[Expr],
    tasks: Iterable[Collection[str]],
    attributes: Iterable[Attribute] = (),
    *,
    models: int = 1,
    limit: int = WORK_BUDGET,
) -> Space | None:
    """The space over the dimensions that `exprs` mention; None where reading them would exceed the work budget."""
    vocabularies = list(tasks)
    dimensions = cut(exprs, vocabularies, attributes)
    size = prod(len(dimension.classes) for dimension in dimensions)
    sets = sum(map(_weight, exprs)) * size
    if size > MAX_CELLS or sets > min(limit, MEMORY_BUDGET) or sets * models > limit:
        return None
    return Space(dimensions, frozenset().union(*vocabularies))


def bits(cells: Cells) -> Iterator[int]:
    """The cells of a set, ascending."""
    while cells:
        lowest = cells & -cells
        yield lowest.bit_length() - 1
        cells ^= lowest


class Space:
    """The product of some dimensions. The last dimension varies fastest; a space of no dimensions has one cell."""

    def __init__(self, dimensions: tuple[Dimension, ...], tasks: Collection[str]) -> None:
        self.dimensions = dimensions
        self._tasks = tasks
        self.size = prod(len(dimension.classes) for dimension in dimensions)
        self.all: Cells = (1 << self.size) - 1
        self._strides: dict[str, tuple[Dimension, int]] = {}
        stride = self.size
        for dimension in dimensions:
            stride //= len(dimension.classes)
            self._strides[dimension.name] = (dimension, stride)
        self._masks: dict[tuple[str, tuple[int, ...]], Cells] = {}

    def dimension(self, name: str) -> Dimension | None:
        found = self._strides.get(name)
        return found[0] if found else None

    def mask(self, name: str, indices: Iterable[int]) -> Cells:
        """The cells whose class in dimension `name` is one of `indices`."""
        key = (name, tuple(indices))
        if key not in self._masks:
            dimension, stride = self._strides[name]
            one = (1 << stride) - 1
            block = 0
            for index in key[1]:
                block |= one << (index * stride)
            period = stride * len(dimension.classes)
            self._masks[key] = _repeated(block, period, self.size // period)
        return self._masks[key]

    @cached_property
    def total(self) -> int:
        """Concrete calls in the whole space: every envelope there is, times the classes of what the request states."""
        return self.count(self.all)

    def count(self, cells: Cells) -> int:
        """Concrete calls in a set of cells."""
        scale, layers = self._layers
        return scale * sum(weight * (cells & layer).bit_count() for weight, layer in layers.items())

    def call(self, cells: Cells) -> Call:
        """A concrete call in the first cell of a set that is not empty."""
        at = self._first(cells)
        envelope = {name: at.get(key, getattr(_ANY, name)) for key, name in ENVELOPE_FIELDS.items()}
        stated = {name: str(value) for name, value in at.items() if name not in ENVELOPE_FIELDS and value is not None}
        attributes = {name: value for name, value in stated.items() if name.startswith(ATTRIBUTE_PREFIX)}
        return Call(
            Envelope(**envelope),
            stated.get("org"),
            stated.get("team"),
            stated.get("product"),
            tuple((name.removeprefix(ATTRIBUTE_PREFIX), value) for name, value in attributes.items()),
        )

    def box(self, cells: Cells) -> dict[str, FactValue]:
        """The first cell of a set, as few of its values as already imply the set."""
        at = self._first(cells)
        kept = dict.fromkeys(at, True)
        for name in reversed(at):
            kept[name] = False
            if self._box(at, kept) & ~cells:
                kept[name] = True
        return {name: value for name, value in at.items() if kept[name]}

    def cell_of(self, facts: Facts) -> Cells:
        """The cell that holds a concrete call."""
        index = 0
        for dimension, stride in self._strides.values():
            index += stride * _class_of(dimension, facts.get(dimension.name))
        return 1 << index

    def absent(self, name: str) -> Cells:
        """The cells where a field of the request is not stated."""
        dimension = self.dimension(name)
        return self.mask(name, (len(dimension.classes) - 1,)) if dimension else 0

    @cached_property
    def _layers(self) -> tuple[int, dict[int, Cells]]:
        """Cells by the number of calls one stands for, and the factor of the dimensions nobody mentions."""
        layers = {1: self.all}
        for dimension in self.dimensions:
            grown: dict[int, Cells] = {}
            by_count: dict[int, list[int]] = {}
            for index, count in enumerate(dimension.counts):
                by_count.setdefault(count, []).append(index)
            for weight, layer in layers.items():
                for count, indices in by_count.items():
                    key = weight * count
                    grown[key] = grown.get(key, 0) | (layer & self.mask(dimension.name, indices))
            layers = grown
        return prod(len(values_of(n, self._tasks)) for n in ENVELOPE_FIELDS if n not in self._strides), layers

    def _first(self, cells: Cells) -> dict[str, FactValue]:
        index = (cells & -cells).bit_length() - 1
        at: dict[str, FactValue] = {}
        for dimension, stride in self._strides.values():
            at[dimension.name] = dimension.classes[index // stride % len(dimension.classes)][0]
        return at

    def _box(self, at: Box, kept: Mapping[str, bool]) -> Cells:
        cells = self.all
        for name, value in at.items():
            if kept[name]:
                cells &= self.mask(name, (_class_of(self._strides[name][0], value),))
        return cells


def _class_of(dimension: Dimension, value: FactValue) -> int:
    for index, values in enumerate(dimension.classes):
        if value in values:
            return index
    # A name nobody mentions leads an open field, an undeclared task is `other`.
    return _class_of(dimension, OTHER_TASK) if dimension.name == "task" else 0


def _repeated(block: Cells, period: int, times: int) -> Cells:
    """`block` written `times` times, `period` bits apart; by doubling, in linear time."""
    done, filled = 0, 0
    width = period
    while times:
        if times & 1:
            done |= block << filled
            filled += width
        times >>= 1
        if times:
            block |= block << width
            width *= 2
    return done


def _weight(expr: Expr) -> int:
    match expr:
        case And(items) | Or(items):
            return 1 + sum(map(_weight, items))
        case Not(item):
            return _weight(item)
        case _:
            return 1
