"""Many environments spend from one account: whatever happens to them, together they never get more than there is."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policy_engine.leases import RENEW_MS, Lease, Need, asked, need, opened, renewed

NOW = 1_790_000_000_000


@dataclass
class World:
    """One ledger, its environments, and the truth: what has really been spent."""

    limit: int
    now: int = NOW
    taken: int = 0
    spent: int = 0
    charged_beyond: int = 0
    leases: dict[int, Lease] = field(default_factory=dict)
    renewals: int = 0

    def call(self, name: int, cost: int, *, lost: bool = False) -> bool:
        """One call of an environment; whether it was let through. `lost`: a renewal lands, its reply does not."""
        lease = self.leases.setdefault(name, opened(self.limit))
        if need(lease, self.limit, self.now) > Need.NONE:
            slice_, add = asked(lease, self.limit, self.now)
            self.taken += add
            self.renewals += 1
            if lost:
                return False
            lease = renewed(lease, slice_, add, self.taken, self.now)
        if lease.used >= self.limit:
            self.leases[name] = lease
            return False
        self.charged_beyond += max(0, cost - min(lease.unspent, self.limit - lease.used))
        self.leases[name] = lease.charged(cost)
        self.spent += cost
        return True


steps = st.lists(
    st.tuples(
        st.integers(0, 5),
        st.integers(1, 5_000),
        st.integers(0, 40_000),
        st.sampled_from(("call", "call", "call", "call", "die", "lose")),
    ),
    max_size=120,
)


@given(limit=st.integers(1, 100_000), steps=steps)
def test_no_order_no_death_and_no_lost_reply_grants_more_than_the_limit(limit, steps):
    world = World(limit)
    for name, cost, later, what in steps:
        world.now += later
        if what == "die":
            world.leases.pop(name, None)
        else:
            world.call(name, cost, lost=what == "lose")
        may_spend = sum(max(0, min(one.unspent, limit - one.used)) for one in world.leases.values())
        # Beyond the limit stands only what single calls cost beyond what was left of their leases.
        assert world.spent - world.charged_beyond + may_spend <= limit


@given(costs=st.lists(st.integers(1, 900), min_size=1, max_size=60), names=st.integers(1, 4))
def test_when_everyone_has_renewed_the_ledger_holds_what_was_spent_and_what_is_held(costs, names):
    world = World(10**9)
    for place, cost in enumerate(costs):
        world.now += 1_000
        assert world.call(place % names, cost)
    assert world.taken == sum(lease.granted for lease in world.leases.values())
    assert world.spent == sum(lease.spent for lease in world.leases.values())


def test_one_environment_can_use_all_there_is():
    world = World(1_000_000)
    while world.call(0, 1_000):
        world.now += 50
    assert world.spent == 1_000_000
    assert world.renewals < 60


def test_environments_share_the_last_of_it():
    world = World(1_000_000)
    served = NOW
    while world.now - served < 4 * RENEW_MS:
        for name in range(8):
            if world.call(name, 500):
                served = world.now
            world.now += 25
    assert 980_000 < world.spent <= 1_000_000 + 8 * 500


def test_a_steady_environment_renews_about_every_half_minute():
    world = World(10**12)
    for _ in range(60_000):
        world.call(0, 370_000)
        world.now += 100
    minutes = (world.now - NOW) / 60_000
    assert world.renewals / minutes < 4


def test_an_environment_that_dies_strands_no_more_than_two_minutes_of_its_spending():
    world = World(10**12)
    for _ in range(6_000):
        world.call(0, 370_000)
        world.now += 100
    assert world.leases[0].unspent <= 2 * 600 * 370_000


def test_a_slice_shrinks_when_the_traffic_leaves():
    world = World(10**12)
    for _ in range(3_000):
        world.call(0, 370_000)
        world.now += 10
    wide = world.leases[0].slice
    for _ in range(20):
        world.now += RENEW_MS + 1
        world.call(0, 370_000)
    assert world.leases[0].slice < wide // 100
    assert world.leases[0].slice >= 1


def test_a_used_up_account_is_asked_about_every_half_minute_and_not_at_every_call():
    world = World(1_000)
    while world.call(0, 100):
        pass
    before = world.renewals
    for _ in range(100):
        world.now += 600
        assert not world.call(0, 100)
    assert world.renewals - before <= 2


@pytest.mark.parametrize(
    ("lease", "needed"),
    [
        (Lease(100), Need.NOW),
        (Lease(100, 100, 0, 0, 0, NOW), Need.NONE),
        (Lease(100, 100, 74, 0, 0, NOW), Need.NONE),
        (Lease(100, 100, 75, 0, 0, NOW), Need.SOON),
        (Lease(100, 100, 100, 0, 0, NOW), Need.NOW),
        (Lease(100, 100, 100, 900, 0, NOW), Need.NONE),
        (Lease(100, 100, 0, 0, 0, NOW - RENEW_MS - 1), Need.SOON),
        (Lease(100, 100, 0, 0, 0, NOW + RENEW_MS + 1), Need.SOON),
    ],
)
def test_a_lease_is_renewed_when_little_is_left_or_the_others_were_last_seen_long_ago(lease, needed):
    assert need(lease, 1_000, NOW) is needed


def test_a_new_period_begins_with_the_slice_the_last_one_had_come_to():
    assert opened(4_096_000) == Lease(1_000)
    assert opened(4_096_000, Lease(77, 5_000, 4_990, 3, 2, NOW)) == Lease(77)
