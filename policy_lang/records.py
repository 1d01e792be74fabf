"""`dataclass(frozen=True, slots=True)`, quick to define: the standard one compiles six methods a class, this one one.

A process that knows a hundred node types spends a third of its start on them (`bench/check_startup.py`). The classes
are dataclasses to `fields`, `replace`, pydantic and mypy. Not supported, because no node needs it: default factories,
`__post_init__`, inherited fields, fields left out of comparison.
"""

from __future__ import annotations

from collections.abc import Callable
from operator import attrgetter
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from dataclasses import dataclass
else:

    def dataclass(*, frozen: bool, slots: bool) -> Callable[[type], type]:
        """Like `dataclasses.dataclass` with both flags set."""
        assert frozen
        assert slots
        return _record


__all__ = ["dataclass"]


def _record(plain: type) -> type:
    import dataclasses

    plain.__doc__ = plain.__doc__ or plain.__name__  # or the standard one spells out a signature
    made: Any = dataclasses.dataclass(init=False, repr=False, eq=False, slots=True)(plain)
    fields = dataclasses.fields(made)
    names = [field.name for field in fields]
    if names:
        _equip(made, names)
    scope = {f"set_{name}": getattr(made, name).__set__ for name in names}
    scope |= {f"default_{f.name}": f.default for f in fields if f.default is not dataclasses.MISSING}
    parameters = [f"{name}=default_{name}" if f"default_{name}" in scope else name for name in names]
    body = [f" set_{name}(self, {name})" for name in names] or [" pass"]
    exec("\n".join([f"def __init__({', '.join(['self', *parameters])}):", *body]), scope)  # noqa: S102 - as dataclasses do
    made.__init__ = scope["__init__"]
    found: type = made
    return found


def _equip(made: type, names: list[str]) -> None:
    """Methods that need no code of their own."""
    values = attrgetter(*names)

    def equal(self: Any, other: object) -> Any:
        return values(self) == values(other) if other.__class__ is self.__class__ else NotImplemented

    def told(self: Any) -> str:
        return f"{made.__qualname__}({', '.join(f'{name}={getattr(self, name)!r}' for name in names)})"

    def refuse(self: Any, name: str, *_: object) -> NoReturn:
        from dataclasses import FrozenInstanceError

        raise FrozenInstanceError(f"cannot change field {name!r} of {type(self).__qualname__}")

    def restored(self: Any) -> Any:
        return type(self), tuple(getattr(self, name) for name in names)

    methods = {
        "__eq__": equal,
        "__hash__": lambda self: hash(values(self)),
        "__repr__": told,
        "__setattr__": refuse,
        "__delattr__": refuse,
        "__reduce__": restored,
    }
    for name, method in methods.items():
        setattr(made, name, method)
