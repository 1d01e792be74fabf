"""Route state: composed by pure functions, carried as a blob that names itself by its content."""

from __future__ import annotations

from dataclasses import replace

import pytest

from policy_engine.accounts import Account
from policy_engine.aliases import alias_of
from policy_engine.breakers import Breaker, Counts, Pulse
from policy_engine.limits import DEFAULT_LIMITS, Limits
from policy_engine.packing import WIDEST
from policy_engine.snapshot import EMPTY, build_snapshot
from policy_engine.state import (
    PublishedPolicy,
    RouteState,
    pack_state,
    state_catalog,
    state_document,
    state_from_document,
    unpack_state,
    with_accounts,
    with_overlay,
    with_policy,
    with_snapshot,
    with_statistics,
)
from policy_engine.statistics import CellRow, decay_weight, epoch_of
from policy_lang.catalog import Model, default_catalog
from policy_lang.fingerprint import policy_fingerprint

NOW = 1_790_000_000_000
ROW = Model("lab/tiny", "lab", "tiny", 1, 1)


@pytest.fixture
def published(policy):
    """A policy under some name with its fingerprint."""

    def build(name="acme/support", **changes):
        renamed = replace(policy, name=name, **changes)
        return policy_fingerprint(renamed), PublishedPolicy(renamed, {"PII stays in the EU": 6})

    return build


def test_a_state_survives_the_journey_through_its_blob(published, learned):
    state = with_policy(RouteState("acme", 7), *published())
    state = with_overlay(with_snapshot(state, learned(("label", "a/cheap", 9, 1))), (ROW,))
    breakers = {"b/plain": Breaker(5, 65, 1, 2)}
    pulses = {"b/plain": Pulse(Counts(9, 4, 1), Counts(3, 2, 1), 8)}
    state = replace(state, breakers=breakers, pulses=pulses, stopped={"ab/cd": 7}, packing=4)
    digest, blob = pack_state(state)
    assert unpack_state(blob) == state
    assert pack_state(unpack_state(blob)) == (digest, blob)
    assert state_from_document(state_document(state)) == state


def test_equal_states_have_equal_blobs_and_others_do_not(published):
    state = with_policy(RouteState("acme"), *published())
    again = with_policy(RouteState("acme"), *published())
    assert pack_state(state) == pack_state(again)
    assert pack_state(state)[0] != pack_state(replace(state, tenant="globex"))[0]


def test_a_policy_stays_while_a_name_leads_to_it(published):
    first, second, other = published(), published(baseline="a/cheap"), published("acme/sales")
    state = with_policy(with_policy(RouteState("acme"), *first), *other)
    state = with_policy(state, *second)
    assert state.aliases == {"acme/support": alias_of(second[0]), "acme/sales": alias_of(other[0])}
    assert sorted(state.policies) == sorted((second[0], other[0]))


def test_composing_what_is_already_there_returns_the_very_state(published, learned):
    state = with_policy(RouteState("acme", overlay=(ROW,)), *published())
    assert with_policy(state, *published()) is state
    assert with_overlay(state, (ROW,)) is state
    assert with_snapshot(state, EMPTY) is state


def test_a_snapshot_replaces_only_an_older_one_that_says_something_else(learned):
    now = 1_790_000_000_000
    state = with_snapshot(RouteState("acme"), learned(("label", "a/cheap", 9, 1), now=now))
    assert with_snapshot(state, learned(("label", "a/cheap", 9, 1), now=now + 60_000)) is state
    assert with_snapshot(state, learned(("label", "a/cheap", 8, 2), now=now - 60_000)) is state
    newer = learned(("label", "a/cheap", 8, 2), now=now + 60_000)
    assert with_snapshot(state, newer).snapshot == newer


def test_a_new_day_is_news_even_to_a_tenant_without_outcomes():
    today = build_snapshot((), 1_790_000_000_000)
    state = with_snapshot(RouteState("acme"), today)
    assert with_snapshot(state, build_snapshot((), 1_790_000_000_000 + 86_400_000)) is not state


def test_the_packing_of_new_ids_follows_what_was_counted_since_the_last_look():
    def looked(state, calls, seconds):
        weight = calls * decay_weight(NOW)
        rows = [CellRow("ab" * 10, "t", "a/b", 0, epoch_of(NOW), {"c": calls, "w": calls, "n": weight, "s": weight})]
        return with_statistics(state, rows, NOW + seconds * 1000, {})

    unknown = looked(RouteState("acme"), 1_000, 0)
    steady = looked(unknown, 1_600, 60)
    burst = looked(steady, 61_600, 120)
    assert [state.packing for state in (unknown, steady, burst)] == [WIDEST, 13, 6]
    idle = looked(burst, 61_600, 180)
    assert idle.packing == burst.packing
    assert looked(idle, 61_610, 3_600).packing == WIDEST
    late = looked(burst, 70_000, 50)  # begun before another one, and read after it
    assert (late.pulses != burst.pulses, late.packing) == (True, burst.packing)


def test_the_catalog_of_a_state_is_the_shipped_one_under_its_own_rows():
    assert state_catalog(RouteState("acme")) is default_catalog()
    assert state_catalog(RouteState("acme", overlay=(ROW,))).models["lab/tiny"] == ROW


def test_a_look_that_was_overtaken_takes_no_settlement_back():
    key = Account("org", "labs", "nanodollars", "day").key(NOW)
    newer = with_accounts(RouteState("acme"), {}, {key: -700}, Limits(cells=9), NOW)
    assert with_accounts(newer, {}, {key: -200}, DEFAULT_LIMITS, NOW - 60_000) is newer
    assert with_accounts(newer, {}, {key: -900}, Limits(cells=9), NOW + 60_000).settled == {key: -900}
    jumped = with_accounts(newer, {}, {}, DEFAULT_LIMITS, NOW - 3 * 86_400_000)
    assert (jumped.settled, jumped.limits) == ({}, DEFAULT_LIMITS)
