"""A frozen class is the stdlib's frozen dataclass in all that callers can see."""

from __future__ import annotations

import copy
import inspect
import pickle
from dataclasses import FrozenInstanceError, asdict, astuple, dataclass, field, fields, is_dataclass, replace
from typing import Any, get_type_hints

import pytest

from policy_lang.frozen import frozen


def classes(make: Any) -> tuple[Any, ...]:
    """Classes of no field, of one, of twelve (setters are not sorted as text), one that inherits, one that makes."""

    @make
    class Nothing:
        pass

    @make
    class Single:
        only: tuple[str, ...] = ()

    @make
    class Dozen:
        """Twelve."""

        a: str
        b: int
        c: bool
        d: str
        e: str
        f: str
        g: str
        h: str
        i: str
        j: str
        k: str = "eleventh"
        l: int | None = None  # noqa: E741

    @make
    class Heir(Single):
        more: int = 3

        def __str__(self) -> str:
            return "an heir"

    @make
    class Making:
        first: int
        made: tuple[int, ...] = field(default_factory=lambda: (1, 2))
        last: tuple[int, ...] = field(default_factory=tuple)

    return Nothing, Single, Dozen, Heir, Making


STDLIB = classes(dataclass(frozen=True, slots=True))
OURS = classes(frozen)
GIVEN: tuple[tuple[Any, ...], ...] = (
    (),
    (("x", "y"),),
    ("a", 1, True, *"defghij"),
    (("x",), 4),
    (3,),
)
TWINS = [(ours(*given), stdlib(*given)) for ours, stdlib, given in zip(OURS, STDLIB, GIVEN, strict=True)]


@frozen
class Pair:
    """At the top of a module, where pickle finds it."""

    left: int
    right: tuple[int, ...] = ()


@frozen
class Shelf:
    books: dict[str, int] = field(default_factory=dict)


@frozen
class Checked:
    share: int

    def __post_init__(self) -> None:
        if self.share < 0:
            raise ValueError("a share is not negative")


@pytest.mark.parametrize(("ours", "stdlib"), TWINS)
def test_it_looks_like_the_stdlibs(ours: Any, stdlib: Any) -> None:
    assert repr(ours) == repr(stdlib)
    assert str(ours) == str(stdlib)
    assert hash(ours) == hash(stdlib)
    assert astuple(ours) == astuple(stdlib)
    assert asdict(ours) == asdict(stdlib)
    assert is_dataclass(ours)
    assert [(f.name, f.type, f.default) for f in fields(ours)] == [(f.name, f.type, f.default) for f in fields(stdlib)]
    kinds = type(ours), type(stdlib)
    for attribute in ("__match_args__", "__slots__", "__qualname__", "__module__"):
        assert len({getattr(kind, attribute) for kind in kinds}) == 1
    assert len({str(inspect.signature(kind)) for kind in kinds}) == 1
    assert get_type_hints(kinds[0].__init__) == get_type_hints(kinds[1].__init__)
    assert not hasattr(ours, "__dict__")


@pytest.mark.parametrize(("ours", "stdlib"), TWINS)
def test_equal_are_those_of_one_class_with_equal_fields(ours: Any, stdlib: Any) -> None:
    assert ours == type(ours)(*astuple(ours)) == copy.copy(ours) == copy.deepcopy(ours) == replace(ours)
    assert ours != stdlib
    assert ours.__eq__(stdlib) is NotImplemented
    assert len({ours, type(ours)(*astuple(ours))}) == 1


def test_any_other_field_makes_another_value() -> None:
    for ours, _ in TWINS:
        for each in fields(ours):
            changed = replace(ours, **{each.name: "other"})
            assert changed != ours
            assert [getattr(changed, f.name) == getattr(ours, f.name) for f in fields(ours)].count(False) == 1


def test_nothing_of_it_can_be_changed() -> None:
    for ours, _ in TWINS:
        for name in [*ours.__match_args__, "invented"]:
            with pytest.raises(FrozenInstanceError):
                setattr(ours, name, 1)
            with pytest.raises(FrozenInstanceError):
                delattr(ours, name)


@pytest.mark.parametrize("arguments", [(), ("a",), ("a", 1, True, *"defghijkl", 1)])
def test_a_missing_or_a_surplus_argument_is_named_as_the_stdlib_names_it(arguments: tuple[Any, ...]) -> None:
    said = []
    for kinds in (OURS, STDLIB):
        with pytest.raises(TypeError) as refused:
            kinds[2](*arguments)
        said.append(str(refused.value))
    assert said[0] == said[1]
    with pytest.raises(TypeError, match="unexpected keyword argument 'invented'"):
        OURS[1](invented=1)


def test_keywords_and_positions_may_be_mixed() -> None:
    assert OURS[2]("a", 1, True, *"defghi", l=5, j="j").l == 5
    match Pair(1, right=(2,)):
        case Pair(left, (right,)):
            assert (left, right) == (1, 2)


def test_a_factory_makes_one_for_each() -> None:
    first, second = Shelf(), Shelf()
    assert first == second == Shelf({}) == replace(first)
    assert first.books is not second.books
    assert Shelf(books={"a": 1}).books == {"a": 1}


def test_it_survives_pickle_in_every_protocol() -> None:
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        assert pickle.loads(pickle.dumps(Pair(1, (2, 3)), protocol)) == Pair(1, (2, 3))


def test_it_is_checked_once_it_is_filled() -> None:
    assert Checked(3).share == 3
    for make in (lambda: Checked(-1), lambda: replace(Checked(3), share=-1)):
        with pytest.raises(ValueError, match="not negative"):
            make()


def test_what_a_class_says_of_itself_stays() -> None:
    assert str(TWINS[3][0]) == "an heir"
    assert [kind.__doc__ for kind in OURS] == [None, None, "Twelve.", None, None]

    @frozen
    class Loud:
        word: str

        def __eq__(self, other: object) -> bool:
            return isinstance(other, Loud) and other.word.upper() == self.word.upper()

    assert Loud("a") == Loud("A")
    assert Loud.__hash__ is None


@pytest.mark.parametrize(
    "special",
    [field(init=False), field(compare=False), field(repr=False), field(kw_only=True)],
)
def test_a_field_that_is_more_than_plain_is_refused(special: Any) -> None:
    body = {"__annotations__": {"part": "dict[str, int]"}, "part": special, "__module__": __name__}
    with pytest.raises(TypeError, match="`part` of Special is not a plain field: make the class a dataclass"):
        frozen(type("Special", (), body))
