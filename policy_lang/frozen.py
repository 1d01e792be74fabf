"""`@frozen`: what `@dataclass(frozen=True, slots=True)` gives, at a sixth of its cost.

The stdlib writes six methods for every class and compiles them, half a millisecond each time, and a cold start makes a
hundred such classes. Here it still makes the fields, so `fields`, `replace`, `asdict` and `match` work and a type
checker sees a frozen dataclass; the methods are closures over one C getter, and `__init__` is compiled once for all
classes of as many fields. An instance is made in half the stdlib's time, compared and hashed in one and a half times.
A class with an order, or with a field left out of comparison, stays a dataclass.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import MISSING, Field, FrozenInstanceError, dataclass, field, fields
from enum import Enum
from functools import cache
from operator import attrgetter
from types import CellType, CodeType, FunctionType
from typing import Any, NoReturn, TypeVar, dataclass_transform

__all__ = ["frozen"]

Kind = TypeVar("Kind")


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def frozen(kind: type[Kind]) -> type[Kind]:
    """The class with slots and the methods of a value, but for those it defines itself. TypeError where not plain."""
    own, written = set(vars(kind)), kind.__doc__
    kind.__doc__ = written or "-"  # without any, the stdlib spells out a signature, at the price of all the rest
    made = dataclass(init=False, repr=False, eq=False, slots=True)(kind)
    made.__doc__ = written
    parts = fields(made)  # type: ignore[arg-type]  # it is a dataclass by now
    for name, method in (_methods([part.name for part in parts]) | {"__init__": _init(made, parts)}).items():
        if name not in own:
            setattr(made, name, method)
    return made


def _methods(names: list[str]) -> dict[str, Callable[..., Any]]:
    def few(self: object) -> tuple[Any, ...]:
        return tuple([getattr(self, name) for name in names])

    # Of a single field attrgetter gives the field itself.
    values: Callable[[object], tuple[Any, ...]] = attrgetter(*names) if len(names) > 1 else few

    def equal(self: object, other: object) -> Any:
        if self.__class__ is not other.__class__:
            return NotImplemented
        return self is other or values(self) == values(other)

    def hashed(self: object) -> int:
        return hash(values(self))

    def shown(self: object) -> str:
        parts = [f"{name}={each!r}" for name, each in zip(names, values(self), strict=True)]
        return f"{self.__class__.__qualname__}({', '.join(parts)})"

    def reduced(self: object) -> tuple[Any, ...]:
        return self.__class__, values(self)

    refusals = {"__setattr__": _refuse, "__delattr__": _refuse}
    return {"__eq__": equal, "__hash__": hashed, "__repr__": shown, "__reduce__": reduced, **refusals}


def _refuse(self: object, name: str, _value: object = None) -> NoReturn:
    raise FrozenInstanceError(f"`{name}` of a {self.__class__.__name__} cannot be changed; `replace` makes another")


def _init(kind: type, parts: tuple[Field[Any], ...]) -> FunctionType:
    """The code shared by its arity, under the names of this class's fields and bound to its slots."""
    for part in parts:
        if not (part.init and part.repr and part.compare) or part.kw_only:
            raise TypeError(f"`{part.name}` of {kind.__name__} is not a plain field: make the class a dataclass")
    code = _filler(len(parts), hasattr(kind, "__post_init__")).replace(
        co_varnames=("self", *[part.name for part in parts]), co_qualname=f"{kind.__qualname__}.__init__"
    )
    defaults = tuple([given for part in parts if (given := _default(part)) is not MISSING])
    setters = tuple([CellType(_setter(kind, part)) for part in parts])
    init = FunctionType(code, vars(sys.modules[kind.__module__]), "__init__", defaults, setters)
    init.__annotations__ = {part.name: part.type for part in parts} | {"return": None}
    return init


class _Made(Enum):
    """The default of a field with a factory, whose setter makes what it stands for."""

    FACTORY = "<factory>"

    def __repr__(self) -> str:
        return self.value


def _default(part: Field[Any]) -> Any:
    return part.default if part.default_factory is MISSING else _Made.FACTORY


def _setter(kind: type, part: Field[Any]) -> Callable[[object, Any], None]:
    put: Callable[[object, Any], None] = getattr(kind, part.name).__set__
    make = part.default_factory
    if make is MISSING:
        return put
    return lambda self, given: put(self, make() if given is _Made.FACTORY else given)


@cache
def _filler(arity: int, checked: bool) -> CodeType:
    """An `__init__` that hands `arity` arguments to as many setters, its free variables, and then checks itself."""
    places = [f"{n:02}" for n in range(arity)]  # padded: free variables are kept in the order of their names
    arguments = ", ".join(["self", *[f"given{n}" for n in places]])
    steps = [f"set{n}(self, given{n})" for n in places] + ["self.__post_init__()" if checked else "pass"]
    inner = f"def __init__({arguments}): {'; '.join(steps)}"
    scope: dict[str, Any] = {}
    exec(f"def bound({', '.join(f'set{n}' for n in places)}):\n {inner}\n return __init__", scope)  # noqa: S102
    code: CodeType = scope["bound"](*places).__code__
    return code
