"""Three evaluators held together: the tree walk, closures, and the table that decisions use.

`POINTSMAN_SOAK=1` asks for ten times as much; `POINTSMAN_POLICIES=N` for N policies.
"""

from __future__ import annotations

import os
import random
from collections import Counter
from dataclasses import fields, is_dataclass, replace
from itertools import pairwise

import pytest

from policy_engine.budgets import judge_budgets
from policy_engine.closures import compile_expr
from policy_engine.decision import decide
from policy_engine.oracle import plan, verdicts
from policy_engine.receipt import receipt_body
from policy_engine.selection import ranked
from policy_engine.table import compile_table
from policy_lang.admission import admit
from policy_lang.canonical import canonical, parse_strict
from policy_lang.fingerprint import ir_document, policy_fingerprint
from policy_lang.ir import And, Compare, CompareFields, Flag, In, Not, Or
from policy_lang.normal import conjunction, disjunction, membership, negation
from policy_lang.vocabulary import FIELDS

POLICIES = int(os.environ.get("POINTSMAN_POLICIES", 10_000 if os.environ.get("POINTSMAN_SOAK") else 1_000))
BATCHES = 8


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


def test_the_policies_are_all_different_and_all_admitted(world_of):
    policies = [world_of(seed, 0).policy for seed in range(POLICIES)]
    assert len({policy_fingerprint(policy) for policy in policies}) == POLICIES
    for policy in policies[:200]:
        assert admit(parse_strict(canonical(ir_document(policy)), max_bytes=64 * 1024)) == policy


def test_the_policies_hold_every_operator_over_every_kind_of_field(world_of):
    seen = {seen for seed in range(300) for seen in operators(world_of(seed, 0).policy)}
    kinds = {spec.kind for spec in FIELDS.values()} - {"flag"}
    wanted = {(In, kind) for kind in ("enum", "ordered", "slug")} | {(Flag, "flag"), (CompareFields, "ge")}
    wanted |= {(Compare, kind, relation) for kind in kinds for relation in ("eq", "ne")}
    wanted |= {(Compare, kind, relation) for kind in kinds - {"enum", "slug"} for relation in ("lt", "le", "gt", "ge")}
    wanted |= {(CompareFields, relation) for relation in ("lt", "le", "gt", "ge")}
    wanted |= {(kind,) for kind in (And, Or, Not)} | {(kind, "empty") for kind in (And, Or)}
    wanted |= {("field", name) for name in FIELDS} | {("field", "attribute.beta")}
    assert wanted <= seen, wanted - seen


def operators(node):
    """What a tree of the IR is made of, in the words of the test above."""
    match node:
        case And(items) | Or(items):
            yield (type(node),) if items else (type(node), "empty")
        case Compare(name, relation, _):
            kind = FIELDS[name].kind if name in FIELDS else "enum"
            yield from ((Compare, kind, relation), ("field", name))
        case CompareFields(left, relation, _, right):
            yield from ((CompareFields, relation), ("field", left), ("field", right))
        case In(name, _) | Flag(name):
            kind = FIELDS[name].kind if name in FIELDS else "enum"
            yield from ((type(node), kind), ("field", name))
        case Not(_):
            yield (Not,)
    inner = (
        node if isinstance(node, tuple) else [getattr(node, f.name) for f in fields(node)] if is_dataclass(node) else ()
    )
    for value in inner:
        yield from operators(value)


def test_the_worlds_end_in_every_verdict_role_and_floor(world_of):
    seen = Counter()
    for seed in range(150):
        world = world_of(seed, 4)
        for catalog in world.catalogs:
            table = compile_table(world.policy, catalog)
            for request in world.requests:
                decision = decide(request, table, world.snapshot, world.circumstances)
                seen.update({decision.status, decision.budget.state})
                seen.update({word for step in decision.plan for word in (step.role, step.floor)})
                reasons = [reason for candidate in decision.cell.survey.candidates for reason in candidate.reasons]
                seen.update({reason.verdict for reason in reasons} | {len(reasons) > 3})
    roles = {"pick", "until_proven", "fallback", "cleared", "cascade", "direct"}
    verdict = {"violated", "unknown", "absent", "served", "no_candidates", "degrade", True}
    assert roles | verdict | {"none", "unproven", "failed"} <= set(seen)
    assert seen["served"] > 1_200


def test_a_receipt_of_any_policy_is_the_canonical_form_of_its_own_parse(world_of):
    for seed in range(60):
        world = world_of(seed, 3)
        for catalog in world.catalogs:
            table = compile_table(world.policy, catalog, world.lines)
            for request in world.requests:
                body = receipt_body(
                    request, decide(request, table, world.snapshot, world.circumstances), world.snapshot
                )
                assert canonical(parse_strict(body, max_bytes=1_000_000)).decode() == body


def surveys(world, policy):
    """The static half of every pair of a world under another policy."""
    for catalog in world.catalogs:
        table = compile_table(policy, catalog)
        for request in world.requests:
            yield table.survey(request)


def survivors(survey):
    return (
        [c.model.arm for c in survey.pool],
        survey.until and survey.until.model.arm,
        [c.model.arm for c in survey.fallbacks],
    )


@pytest.fixture(scope="module")
def gated(world_of):
    """Worlds whose policies have gates."""
    return [world for seed in range(160) if (world := world_of(seed, 4)).policy.gates]


def test_the_order_of_gates_changes_nothing(gated):
    for world in gated:
        gates = list(world.policy.gates)
        random.Random(len(gates)).shuffle(gates)
        for left, right in zip(
            surveys(world, world.policy), surveys(world, replace(world.policy, gates=tuple(gates))), strict=True
        ):
            assert (survivors(left), named(left)) == (survivors(right), named(right))


def named(survey, *without):
    """The reasons of every candidate, in no order."""
    return {c.model.arm: frozenset(r for r in c.reasons if r.rule not in without) for c in survey.candidates}


def test_a_gate_said_twice_changes_nothing_but_the_reasons(gated):
    for world in gated:
        again = replace(world.policy.gates[0], reason="said again")
        policy = replace(world.policy, gates=(*world.policy.gates, again))
        for left, right in zip(surveys(world, world.policy), surveys(world, policy), strict=True):
            assert (survivors(left), named(left)) == (survivors(right), named(right, "said again"))


def test_one_more_gate_never_adds_a_survivor(gated):
    for world, other in pairwise(gated):
        policy = replace(world.policy, gates=(*world.policy.gates, replace(other.policy.gates[0], reason="one more")))
        for left, right in zip(surveys(world, world.policy), surveys(world, policy), strict=True):
            assert alive(right) <= alive(left)


def alive(survey):
    return {candidate.model.arm for candidate in survey.candidates if not candidate.barred}


def test_equal_normal_form_is_equal_fingerprint_and_equal_meaning(gated):
    for seed, world in enumerate(gated):
        chance = random.Random(seed)
        policy = world.policy
        plain = replace(policy, gates=tuple(replace(gate, violation=normal(gate.violation)) for gate in policy.gates))
        mixed = replace(
            policy,
            gates=tuple(replace(gate, violation=normal(scrambled(gate.violation, chance))) for gate in policy.gates),
        )
        assert policy_fingerprint(plain) == policy_fingerprint(mixed)
        for left, right in zip(surveys(world, policy), surveys(world, plain), strict=True):
            assert survivors(left) == survivors(right)


def normal(expr):
    match expr:
        case And(items):
            return conjunction(map(normal, items))
        case Or(items):
            return disjunction(map(normal, items))
        case Not(item):
            return negation(normal(item))
        case In(field, values):
            return membership(field, values)
    return expr


def scrambled(expr, chance):
    """The same said in another way: items in another order, some twice, some wrapped, negations doubled."""
    match expr:
        case And(items) | Or(items):
            found = [scrambled(item, chance) for item in (*items, *chance.sample(items, min(1, len(items))))]
            chance.shuffle(found)
            return type(expr)((type(expr)(tuple(found[:1])), *found[1:]))
        case Not(item):
            return Not(Not(Not(scrambled(item, chance))))
        case In(field, values):
            return In(field, tuple(chance.sample(values, len(values))))
    return expr
