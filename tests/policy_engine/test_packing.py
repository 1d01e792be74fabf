"""Which decisions share an item of markers, and how that follows from an id."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policy_engine.decision import decision_id_for
from policy_engine.packing import WIDEST, bucket_of, packed, packing_for

NOW = 1_790_000_000_000
IDS = st.integers(0, 2**128 - 1).map(lambda number: f"{number:032x}")


@pytest.mark.parametrize(
    ("reports", "seconds", "packing", "together"),
    [
        (0, 60, 15, 0),
        (60, 60, 15, 4),
        (180, 60, 14, 6),
        (600, 60, 13, 10),
        (6_000, 60, 9, 6),
        (60_000, 60, 6, 8),
        (120_000, 60, 4, 4),
        (360_000, 60, 1, 1),
        (420_000, 60, 0, 0),
        (6_000_000, 60, 0, 0),
        (150, 15, 13, 10),
        (1, 0, 15, 0),
        (5, -60, 15, 0),
    ],
)
def test_a_dozen_markers_share_an_item_and_fewer_where_several_consumers_would_meet_at_it(
    reports, seconds, packing, together
):
    assert packing_for(reports, seconds * 1000) == packing
    if packing:
        expected = 2 ** (packing - 3) * reports / (seconds * 1000) if seconds > 0 else 0
        assert int(expected) == together


@given(IDS, st.integers(0, 40))
def test_a_decision_is_found_in_its_bucket_and_read_back_from_it(decision_id, depth):
    bucket = bucket_of(decision_id, depth)
    assert bucket.decision_id(bucket.rest(decision_id)) == decision_id


@given(IDS, st.integers(0, 30))
def test_what_is_deeper_lies_within_until_a_decision_is_alone(decision_id, depth):
    above, below = bucket_of(decision_id, depth), bucket_of(decision_id, depth + 1)
    assert below.first >> (below.bits - above.bits) == above.first
    assert below.bits == above.bits + 4 or (below.own and below.bits - above.bits < 4)


@given(st.integers(1, WIDEST), st.integers(0, 5_000), st.integers(0, 3))
def test_decisions_share_a_bucket_for_as_long_as_its_width(packing, later_ms, depth):
    first = bucket_of(packed(decision_id_for(NOW, b"a"), packing), depth)
    second = bucket_of(packed(decision_id_for(NOW + later_ms, b"b"), packing), depth)
    if first == second:
        assert later_ms < first.width_ms
    else:
        assert later_ms or first.width_ms == 1


def test_decisions_of_different_packings_never_share():
    made = decision_id_for(NOW, b"a")
    assert len({bucket_of(packed(made, packing)) for packing in range(WIDEST + 1)}) == WIDEST + 1
    assert bucket_of(packed(made, 0)).own


def test_the_packing_changes_nothing_but_the_last_digit():
    made = decision_id_for(NOW, b"a")
    assert {packed(made, packing)[:-1] for packing in range(WIDEST + 1)} == {made[:-1]}
    assert [int(packed(made, packing)[-1], 16) for packing in range(WIDEST + 1)] == list(range(WIDEST + 1))
