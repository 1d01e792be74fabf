"""`dataclass(frozen=True, slots=True)`, quick to define: the standard one compiles six methods a class, this one one.

A process that knows a hundred node types spends a third of its start on them (`bench/check_startup.py`). The classes
are dataclasses to `fields`, `replace`, pydantic and mypy. Not supported, because no node needs it: default factories,
`__post_init__`, inherited fields, fields left out of comparison.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import MISSING, FrozenInstanceError, dataclass, fields
from operator import attrgetter
from typing import TYPE_CHECKING, Any, NoReturn

__all__ = ["dataclass"]

_standard: Any = dataclass

if not TYPE_CHECKING:

    def dataclass(*, frozen: bool, slots: bool) -> Callable[[type], type]:
        """Like `dataclasses.dataclass` with both flags set."""
        assert frozen
        assert slots
        return _record


def _record(plain: type) -> type:
    doc = plain.__doc__
    plain.__doc__ = doc or plain.__name__  # else the standard one spells out a signature
    made: Any = _standard(init=False, repr=False, eq=False, slots=True)(plain)
    made.__doc__ = doc
    defaults = {field.name: field.default for field in fields(made)}
    made.__init__ = _initialiser(made, defaults)
    _equip(made, tuple(defaults))
    found: type = made
    return found


def _initialiser(made: Any, defaults: dict[str, Any]) -> Any:
    """Sets the slots directly, past the refusal to be changed."""
    scope: dict[str, Any] = {f"set_{name}": getattr(made, name).__set__ for name in defaults}
    scope |= {f"default_{name}": value for name, value in defaults.items() if value is not MISSING}
    parameters = [f"{name}=default_{name}" if f"default_{name}" in scope else name for name in defaults]
    body = [f" set_{name}(self, {name})" for name in defaults] or [" pass"]
    exec("\n".join([f"def __init__({', '.join(['self', *parameters])}):", *body]), scope)  # noqa: S102 - as dataclasses do
    return scope["__init__"]


def _equip(made: Any, names: tuple[str, ...]) -> None:
    """Methods that need no code of their own."""
    # attrgetter gives a tuple for two names or more.
    values: Callable[[Any], tuple[Any, ...]] = (
        attrgetter(*names) if names[1:] else lambda self: tuple(getattr(self, name) for name in names)
    )

    def equal(self: Any, other: object) -> Any:
        return values(self) == values(other) if other.__class__ is self.__class__ else NotImplemented

    def told(self: Any) -> str:
        return f"{made.__qualname__}({', '.join(f'{name}={getattr(self, name)!r}' for name in names)})"

    def refuse(self: Any, name: str, *_: object) -> NoReturn:
        raise FrozenInstanceError(f"cannot change field {name!r} of {type(self).__qualname__}")

    made.__eq__ = equal
    made.__hash__ = lambda self: values(self).__hash__()
    made.__repr__ = told
    made.__setattr__ = made.__delattr__ = refuse
    made.__reduce__ = lambda self: (type(self), values(self))
