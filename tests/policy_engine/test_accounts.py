"""What is counted, in which period, and what a decision charges."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from policy_engine.accounts import (
    REQUESTS,
    Account,
    Allowance,
    allowances,
    charges,
    exploration,
    explored_money,
    read_key,
)
from policy_engine.budgets import BudgetReading
from policy_lang.ir import Budget, Explore

NOW = 1_790_000_000_000
ORG = Account("org", "growth", "nanodollars", "month")


def test_months_are_those_of_the_calendar():
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    for day in range(0, 60_000, 3):
        moment = epoch + timedelta(days=day)
        index = ORG.period_at(day * 86_400_000)
        assert index == (moment.year - 1970) * 12 + moment.month - 1
        begins, ends = (epoch + timedelta(milliseconds=ms) for ms in ORG.bounds(index))
        assert (begins.year, begins.month, begins.day) == (moment.year, moment.month, 1)
        assert begins <= moment < ends
        assert ends.day == 1


@pytest.mark.parametrize(
    "account", [exploration("acme/support", "chat"), REQUESTS, Account("tenant", None, "tokens", "day")]
)
def test_a_moment_lies_in_its_period_and_the_next_begins_where_it_ends(account):
    index = account.period_at(NOW)
    begins, ends = account.bounds(index)
    assert begins <= NOW < ends
    assert (account.period_at(begins), account.period_at(ends - 1), account.period_at(ends)) == (
        index,
        index,
        index + 1,
    )


@pytest.mark.parametrize(
    ("account", "key"),
    [
        (ORG, "org:growth:$/month@680"),
        (Account("team", "night-shift/2:x@y", "tokens", "day"), "team:night-shift/2:x@y:tokens/day@20717"),
        (Account("tenant", None, "nanodollars", "day"), "tenant::$/day@20717"),
        (exploration("acme/support", "labelling"), "explore:acme/support/labelling:$/day@20717"),
        (REQUESTS, "requests::requests/minute@29833333"),
    ],
)
def test_a_key_says_which_account_and_period_it_is_of(account, key):
    assert account.key(NOW) == key
    assert read_key(key) == (account, account.period_at(NOW))


@pytest.mark.parametrize("key", ["", "pk", "org:growth:$/month", "org:growth:$/year@3", "org:growth:yen/day@3", "@3"])
def test_what_is_no_key_is_refused(key):
    with pytest.raises(ValueError, match=r"account's key|invalid literal"):
        read_key(key)


def test_a_request_is_covered_by_its_own_budgets_and_the_exploration_money_of_its_route(policy, request_for):
    budgets = (
        Budget("tenant", 100, "tokens", "day"),
        Budget("org", 7, "nanodollars", "month", "growth"),
        Budget("org", 9, "nanodollars", "month", "labs"),
        Budget("team", 9, "nanodollars", "month", "growth"),
    )
    labelling, general = policy.routes[0], policy.default
    request = request_for("label", org="growth")
    assert allowances(replace(policy, budgets=budgets), request, labelling) == (
        Allowance(Account("tenant", None, "tokens", "day"), 100),
        Allowance(ORG, 7),
        Allowance(exploration("acme/support", "labelling"), 2_000_000_000),
    )
    assert general.explore == Explore(50_000)
    assert allowances(replace(policy, budgets=()), request, general) == ()


READINGS = (
    BudgetReading("org", "growth", "month", "nanodollars", 5),
    BudgetReading("tenant", None, "day", "tokens", None),
    BudgetReading("explore", "acme/support/labelling", "day", "nanodollars", 0),
)


@pytest.mark.parametrize("explored", [False, True])
def test_a_decision_charges_what_was_read_for_it_and_exploration_only_where_it_explored(explored):
    found = dict(charges(READINGS, NOW, 900, 40, explored=explored))
    explore = {"explore:acme/support/labelling:$/day@20717": 900} if explored else {}
    assert found == {"org:growth:$/month@680": 900, "tenant::tokens/day@20717": 40} | explore


def test_exploration_money_is_told_by_policy_and_route_for_the_day():
    today, yesterday = exploration("acme", "a").key(NOW), exploration("acme", "a").key(NOW - 86_400_000)
    other = exploration("acme/next", "a").key(NOW)
    taken = {today: 70, yesterday: 9, other: 5, ORG.key(NOW): 8}
    assert explored_money(taken, {today: -30, other: -6}, NOW) == {"acme/a": 40, "acme/next/a": 0}
