from dataclasses import replace

import pytest

from policy_lang.admission import admit
from policy_lang.compiler import compile_policy
from policy_lang.fingerprint import ir_document
from policy_lang.gates import evaluate
from policy_lang.guarding import narrowed
from policy_lang.ir import Explore, Floor

OWNER = """
policy "acme/rules" language 1
attribute plan = [free, pro]
tasks pii-extract, label
tier small = [claude-haiku-4-5, nova-lite]
default route general { use small pick cheapest }
fallback claude-haiku-4-5
guard {
  forbid "PII stays in the EU" when task == pii-extract and model.region != eu
  forbid "free stays small" when attribute.plan == free and model.price_out > $5/Mtok
  floor success >= 90% proven 80%
  explore at most 5%
  canary at most 10%
  parameters [temperature]
  cost at most $0.05/call
}
"""
INLINE = """
policy "acme/inline" language 1
tasks label
tier small = [claude-haiku-4-5, nova-lite]
forbid "no previews" when model.stage == preview
route fast when time_sensitive {{ use small {fast} }}
default route general {{ use small floor success >= 95% proven 90% pick cheapest {general} }}
fallback claude-haiku-4-5
{more}
"""
FLOOR = "floor success >= 90% proven 80% pick cheapest"


@pytest.fixture
def owner(catalog):
    return compiled(OWNER, catalog)


def compiled(text, catalog):
    found = compile_policy(text.strip(), catalog)
    assert found.policy, found.render()
    return found.policy


def inline(catalog, fast=FLOOR, general="", more=""):
    return compiled(INLINE.format(fast=fast, general=general, more=more), catalog)


def test_a_policy_within_the_guard_runs_with_the_guards_gates_on_top(catalog, owner):
    policy = narrowed(inline(catalog), owner)
    assert [gate.reason for gate in policy.gates] == ["PII stays in the EU", "free stays small", "no previews"]
    assert policy.guard == owner.guard
    assert policy.routes == inline(catalog).routes


def test_what_the_guard_names_is_known_to_the_narrowed_policy(catalog, owner):
    policy = narrowed(inline(catalog), owner)
    assert policy.tasks == ("label", "other", "pii-extract")
    assert [(item.name, item.values) for item in policy.attributes] == [("plan", ("free", "pro"))]


def test_values_of_an_attribute_that_both_declare_are_joined(catalog, owner):
    policy = narrowed(inline(catalog, more="attribute plan = [pro, team]"), owner)
    assert policy.attributes[0].values == ("free", "pro", "team")


def test_without_a_guard_nothing_changes(catalog, owner):
    policy = inline(catalog)
    assert narrowed(policy, None) == narrowed(policy, replace(owner, guard=None)) == policy


def test_a_guard_that_arrives_with_the_call_has_no_force(catalog, owner):
    policy = inline(catalog, more="guard { parameters [seed] }")
    assert narrowed(policy, None).guard is None
    assert narrowed(policy, owner).guard == owner.guard


def test_gates_with_the_same_reason_remove_what_either_would(catalog, owner):
    policy = narrowed(inline(catalog, more='forbid "PII stays in the EU" when model.provider == mistral'), owner)
    gate = next(gate for gate in policy.gates if gate.reason == "PII stays in the EU")
    for provider, region, removed in (("mistral", "eu", True), ("openai", "us", True), ("openai", "eu", False)):
        facts = {"task": "pii-extract", "model.provider": provider, "model.region": region}
        assert evaluate(gate.violation, facts) is removed


@pytest.mark.parametrize(
    ("parts", "paths"),
    [
        ({"fast": "pick cheapest"}, ["routes[0].floors"]),
        ({"fast": "floor success >= 89.9% proven 95% pick cheapest"}, ["routes[0].floors"]),
        ({"fast": "floor success >= 99% pick cheapest"}, ["routes[0].floors"]),
        ({"fast": "floor success >= 99% proven 79% pick cheapest"}, ["routes[0].floors"]),
        ({"general": "explore at most 6%"}, ["default.explore.rate_ppm"]),
        ({"general": "explore at most 5%, 6% while unproven"}, ["default.explore.unproven_ppm"]),
        ({"general": "set temperature 0 set seed 1"}, ["default.parameters[0].name"]),
        ({"more": 'canary "a/b" 6% until 2027-01-01 canary "a/c" 5% until 2027-01-01'}, ["canaries"]),
        (
            {"fast": "pick cheapest", "general": "explore at most 90%"},
            ["routes[0].floors", "default.explore.rate_ppm"],
        ),
    ],
)
def test_what_goes_beyond_the_guard_is_refused_with_its_path(catalog, owner, parts, paths):
    assert [path for path, _ in narrowed(inline(catalog, **parts), owner)] == paths


@pytest.mark.parametrize(
    "parts",
    [
        {"fast": "floor success >= 90% proven 80% pick cheapest explore at most 5%, 5% while unproven, $900/day"},
        {"general": "set temperature 1"},
        {"more": 'canary "a/b" 10% until 2027-01-01'},
    ],
)
def test_what_stays_within_the_guard_is_admitted(catalog, owner, parts):
    assert not isinstance(narrowed(inline(catalog, **parts), owner), tuple)


def test_a_narrowed_policy_removes_whatever_the_guard_removes(catalog, owner):
    policy = narrowed(inline(catalog), owner)
    for facts in (
        {"task": "pii-extract", "model.region": "us", "attribute.plan": "pro", "model.price_out": 1},
        {"task": "label", "model.region": "us", "attribute.plan": "free", "model.price_out": 6_000_000},
        {"task": "pii-extract", "model.region": None, "attribute.plan": "pro", "model.price_out": 1},
    ):
        guarded = any(evaluate(gate.violation, facts) is not False for gate in owner.guard.gates)
        assert guarded
        assert any(evaluate(gate.violation, facts) is not False for gate in policy.gates)


def test_floors_of_another_metric_do_not_count(catalog, owner):
    strict = replace(owner, guard=replace(owner.guard, floors=(Floor("quality", 1),), explore_ppm=None))
    assert len(narrowed(inline(catalog), strict)) == 2
    eager = replace(inline(catalog).default, explore=Explore(900_000))
    policy = replace(inline(catalog), default=replace(eager, floors=(Floor("quality", 1),)), routes=())
    assert not isinstance(narrowed(policy, strict), tuple)


def test_the_budgets_of_the_guarding_policy_hold_as_well_and_the_stricter_of_two(catalog, owner):
    bounds = "budget tenant $9/day warn 80% then tier small budget org labs 500 tokens/day"
    bounds += " budget team x $8/day at limit warn"
    owner = replace(owner, budgets=inline(catalog, more=bounds).budgets)
    mine = "budget org labs 900 tokens/day at limit warn when unreachable closed budget team x $5/day at limit warn"
    policy = narrowed(inline(catalog, more=mine), owner)
    found = [(b.scope, b.limit, b.at_limit, b.unreachable, b.warn_ppm, b.degrade) for b in policy.budgets]
    assert found == [
        ("org", 500, "deny", "closed", None, None),
        ("team", 5_000_000_000, "warn", "open", None, None),
        ("tenant", 9_000_000_000, "deny", "open", 800_000, None),
    ]
    assert narrowed(policy, owner) == policy
    assert admit(ir_document(replace(policy, guard=None))).budgets == policy.budgets


def test_budgets_that_find_no_room_beside_the_owners_are_refused(catalog, owner):
    budgets = inline(catalog, more=" ".join(f"budget org o{number} $1/day" for number in range(40))).budgets
    owner = replace(owner, budgets=budgets)
    policy = inline(catalog, more=" ".join(f"budget org p{number} $1/day" for number in range(40)))
    assert narrowed(policy, owner) == (
        ("budgets", "with those that hold for every inline policy there are 80; at most 64 are evaluated"),
    )
