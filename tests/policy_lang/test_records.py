"""The quick dataclass behaves as the standard one with both flags."""

import copy
import dataclasses
import pickle

import pytest

from policy_lang import ir, syntax
from policy_lang.diagnostics import NOWHERE
from policy_lang.records import dataclass


@dataclass(frozen=True, slots=True)
class Point:
    x: int
    y: int = 2
    _kind: str = "p"


@dataclasses.dataclass(frozen=True, slots=True)
class Standard:
    x: int
    y: int = 2
    _kind: str = "p"


@pytest.mark.parametrize("arguments", [(1,), (1, 3), (1, 3, "q")])
def test_values_compare_hash_and_show_as_ever(arguments):
    ours, theirs = Point(*arguments), Standard(*arguments)
    assert ours == Point(*arguments)
    assert ours != theirs
    assert ours != Point(9)
    assert hash(ours) == hash(theirs)
    assert repr(ours) == repr(theirs).replace("Standard", "Point")
    assert dataclasses.astuple(ours) == dataclasses.astuple(theirs)
    assert dataclasses.replace(ours, x=7) == Point(7, *arguments[1:])
    assert copy.deepcopy(ours) == pickle.loads(pickle.dumps(ours)) == ours


def test_nothing_can_be_changed_or_added():
    for name in ("x", "z"):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(Point(1), name, 5)
    with pytest.raises(dataclasses.FrozenInstanceError):
        del Point(1).x
    assert not hasattr(Point(1), "__dict__")


@pytest.mark.parametrize("arguments", [(), (1, 2, "p", 4)])
def test_the_wrong_number_of_values_is_refused(arguments):
    with pytest.raises(TypeError):
        Point(*arguments)


def test_nodes_match_by_position():
    match syntax.Word("label", NOWHERE):
        case syntax.Word(text, _, quoted):
            assert (text, quoted) == ("label", False)
    assert ir.Not.__match_args__ == ("item", "op")
    assert [field.name for field in dataclasses.fields(ir.Tier)] == ["name", "arms"]
