"""Pacing: a budget that is ahead of its day makes money dearer, and comes out even."""

from __future__ import annotations

from dataclasses import replace

import pytest

from policy_engine.accounts import Account
from policy_engine.budgets import BudgetReading
from policy_engine.decision import Circumstances, decide, decision_id_for
from policy_engine.pacing import MOST_PPM, advanced_paces, paced_route, told_pace
from policy_engine.receipt import receipt_body, seal
from policy_engine.replay import replay
from policy_engine.table import compile_table
from policy_lang.ir import PPM, Budget

MIDNIGHT = 1_790_000_000_000 // 86_400_000 * 86_400_000
TENANT = Account("tenant", None, "nanodollars", "day")
BUDGET = Budget("tenant", 1_000_000_000, "nanodollars", "day")
MINUTE = 60_000


def spread(demand, *, pacing):
    """Money spent in each of the day's 24 hours: each minute a dear arm serves, or a cheap one where a dollar weighs
    more than its answers are worth. demand: nano-dollars a minute, all dear.
    """
    paces, spent, hours, refused = {}, 0, [0] * 24, 0
    for minute in range(24 * 60):
        now = MIDNIGHT + minute * MINUTE
        if pacing:
            paces = advanced_paces(paces, (BUDGET,), {TENANT.key(now): spent}, now - MINUTE, now)
        pace = told_pace(paces, TENANT)
        price = demand if pace < 800_000 else demand // 10
        if spent >= BUDGET.limit:
            refused += 1
            continue
        spent += price
        hours[minute // 60] += price
    return hours, refused


def test_a_demand_of_twice_the_budget_is_served_to_the_end_of_the_day():
    unpaced, refused = spread(2 * BUDGET.limit // 1_440, pacing=False)
    assert refused > 700
    assert unpaced[13] == 0
    paced, refused = spread(2 * BUDGET.limit // 1_440, pacing=True)
    assert refused < 30
    assert 850_000_000 < sum(paced) < 1_050_000_000
    assert max(paced[3:]) < 2 * BUDGET.limit // 24


def test_a_budget_that_is_behind_its_day_changes_nothing():
    assert spread(BUDGET.limit // 1_440 * 9 // 10, pacing=True) == spread(BUDGET.limit // 1_440 * 9 // 10, pacing=False)


@pytest.mark.parametrize(
    ("budget", "used", "before_ms", "paces", "expected"),
    [
        (BUDGET, 600_000_000, MINUTE, {}, {TENANT.text: 138_888}),
        (BUDGET, 500_000_000, MINUTE, {}, {}),
        (BUDGET, 400_000_000, MINUTE, {TENANT.text: 200_000}, {TENANT.text: 61_111}),
        (BUDGET, 400_000_000, MINUTE, {TENANT.text: 100_000}, {}),
        (BUDGET, 10**12, MINUTE, {TENANT.text: MOST_PPM}, {TENANT.text: MOST_PPM}),
        (BUDGET, 600_000_000, 50 * MINUTE, {}, {TENANT.text: 277_777}),
        (BUDGET, 600_000_000, -MINUTE, {TENANT.text: 5}, {TENANT.text: 5}),
        (replace(BUDGET, unit="tokens"), 10**12, MINUTE, {}, {}),
    ],
)
def test_the_multiplier_follows_how_far_spending_is_ahead(budget, used, before_ms, paces, expected):
    noon = MIDNIGHT + 12 * 60 * MINUTE
    found = advanced_paces(paces, (budget,), {TENANT.key(noon): used}, noon - before_ms, noon)
    assert found == expected


def test_of_budgets_that_share_an_account_the_smallest_limit_counts():
    noon = MIDNIGHT + 12 * 60 * MINUTE
    used = {TENANT.key(noon): 600_000_000}
    both = (BUDGET, replace(BUDGET, limit=10**12))
    assert advanced_paces({}, both, used, noon - MINUTE, noon) == {TENANT.text: 138_888}
    assert advanced_paces({}, both[1:], used, noon - MINUTE, noon) == {}


def test_a_dearer_dollar_is_a_success_worth_less(policy):
    assert paced_route(policy.default, PPM).pick[0].value_nanodollars == 13_300_000 // 2
    assert paced_route(policy.routes[0], PPM).pick == policy.routes[0].pick


def test_a_budget_ahead_of_its_day_moves_the_pick_and_the_receipt_says_so_and_replays(
    policy, catalog, request_for, learned
):
    """The strong arm's answers are worth its price at the policy's value, and not at a fifth of it."""
    policy = replace(policy, default=replace(policy.default, explore=None), budgets=(BUDGET,))
    table = compile_table(policy, catalog)
    snapshot = learned(("other", "b/strong", 99, 1), ("other", "a/cheap", 65, 35), ("other", "b/plain", 50, 50))
    served = []
    for pace in (0, 4 * PPM, 0):
        now = Circumstances(
            "acme",
            decision_id_for(snapshot.made_ms, b"x"),
            snapshot.made_ms,
            budgets=(BudgetReading("tenant", None, "day", "nanodollars", 5, pace),),
        )
        request = request_for("other", candidates=("a/cheap", "b/plain", "b/strong"))
        decision = decide(request, table, snapshot, now)
        served.append(decision.arm)
        assert decision.budget.document().get("pace_ppm", 0) == pace
        line = seal(receipt_body(request, decision, snapshot))
        assert ('"pace_ppm"' in line) == bool(pace)
        assert replay(line, {table.policy_fingerprint: (policy, {})}).equal
    assert served == ["b/strong", "a/cheap", "b/strong"]
