"""Three evaluators held together: the tree walk, closures, and the table that decisions use.

`POINTSMAN_SOAK=1` asks for ten times as much; `POINTSMAN_POLICIES=N` for N policies.
"""

from __future__ import annotations

import os
from collections import Counter

import pytest

from policy_engine.budgets import judge_budgets
from policy_engine.closures import compile_expr
from policy_engine.decision import decide
from policy_engine.oracle import plan, verdicts
from policy_engine.selection import ranked
from policy_engine.table import compile_table

POLICIES = int(os.environ.get("POINTSMAN_POLICIES", 10_000 if os.environ.get("POINTSMAN_SOAK") else 1_000))
BATCHES = 8


def closures(policy):
    """An evaluator over the policy's expressions, each compiled once; they are told apart by identity."""
    exprs = [gate.violation for gate in policy.gates]
    exprs += [expr for route in (*policy.routes, policy.default) for expr in (route.when, route.where) if expr]
    compiled = {id(expr): compile_expr(expr) for expr in exprs}
    return lambda expr, facts: compiled[id(expr)](facts)


def told(survey):
    """A survey in the oracle's words."""
    return (
        survey.route,
        survey.line,
        survey.envelope,
        {candidate.model.arm: (candidate.tier, candidate.barred, candidate.reasons) for candidate in survey.candidates},
        [candidate.model.arm for candidate in survey.pool],
        survey.until.model.arm if survey.until else None,
        [candidate.model.arm for candidate in survey.fallbacks],
    )


def said(found):
    pool, fallbacks = list(found.pool), list(found.fallbacks)
    return found.route, found.line, found.envelope, found.arms, pool, found.until, fallbacks


@pytest.mark.parametrize("batch", range(BATCHES))
def test_closures_and_table_and_plan_say_what_the_tree_walk_says(world_of, batch):
    for seed in range(batch, POLICIES, BATCHES):
        world = world_of(seed)
        compiled = closures(world.policy)
        for catalog in world.catalogs:
            table = compile_table(world.policy, catalog, world.lines)
            for request in world.requests:
                agree(world, catalog, table, compiled, request, seed)


def agree(world, catalog, table, compiled, request, seed):
    policy, now = world.policy, world.circumstances
    degrade = judge_budgets(policy.budgets, now.budgets, request).tier
    static = verdicts(policy, catalog, world.lines, request, degrade)
    assert verdicts(policy, catalog, world.lines, request, degrade, compiled) == static, seed
    decision = decide(request, table, world.snapshot, now)
    survey, outlook = decision.cell.survey, decision.cell.outlook
    assert told(survey) == said(static), seed
    order, steps = plan(static, catalog, world.snapshot, now.breakers)
    assert [(step.arm, step.role, step.floor) for step in decision.plan] == steps, seed
    options = outlook.options if outlook else {}
    pool = [options[candidate.model.arm] for candidate in survey.pool if candidate.model.arm in options]
    assert [option.arm for option in ranked(pool, survey.route.pick)] == order, seed
