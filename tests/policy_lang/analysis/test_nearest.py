"""Why not this model: the edits admit it, and a threshold is moved no further than it must be."""

from dataclasses import replace

import pytest

from policy_lang.analysis.nearest import why_not
from policy_lang.analysis.space import Call
from policy_lang.envelope import Envelope
from policy_lang.gates import evaluate
from policy_lang.ir import And, Compare, CompareFields, Flag, Gate, In, Not, Or, PickTerm, Policy, Route, Tier

CALL = Call(Envelope("chat", "prose", "long", "0", False, "large"), org="growth")
LABS, PRICE, STAGE = Compare("org", "eq", "labs"), "model.price_out", "model.stage"


def policy(*violations, where=None):
    gates = tuple(Gate(f"g{n}", "forbid", violation) for n, violation in enumerate(violations))
    default = Route("general", And(()), ("small",), (PickTerm("cheapest"),), where=where)
    tiers = (Tier("dear", ("q/c",)), Tier("small", ("p/a", "p/b", "q/d")))
    return Policy("t/p", ("chat", "other"), tiers, gates, (), default, ("p/a",))


@pytest.mark.parametrize(
    ("violation", "edit"),
    [
        (Compare(PRICE, "gt", 2_000_000), "`model.price_out > $2/Mtok` to `model.price_out > $5/Mtok`"),
        (Compare(PRICE, "ge", 2_000_000), "`model.price_out >= $2/Mtok` to `model.price_out >= $5.000001/Mtok`"),
        (Not(Compare(PRICE, "le", 2_000_000)), "`model.price_out <= $2/Mtok` to `model.price_out <= $5/Mtok`"),
        (In(STAGE, ("deprecated", "preview")), f"`{STAGE} in [deprecated, preview]` to `{STAGE} in [deprecated]`"),
        (Not(In("model.region", ("eu",))), "`model.region in [eu]` to `model.region in [eu, us]`"),
        (Compare("model.region", "ne", "eu"), "`model.region != eu` to `model.region != us`"),
        (And((Compare(STAGE, "eq", "preview"), Not(LABS))), "`org == labs` to `org == growth`"),
        (Compare("tokens", "ge", "medium"), "`tokens >= medium` to `tokens >= huge`"),
        (
            CompareFields("model.max_output", "lt", 1_000_000, "tokens.upper"),
            "`model.max_output < tokens.upper` to `model.max_output < 0.250007 * tokens.upper`",
        ),
    ],
)
def test_the_nearest_change_of_one_operand(violation, edit, small_catalog):
    (obstacle,) = why_not(policy(violation), small_catalog, "d", CALL).obstacles
    assert [str(edit) for edit in obstacle.edits] == [edit]
    (change,) = obstacle.edits
    facts = {**CALL.facts(), **small_catalog.models["q/d"].facts()}
    assert evaluate(changed(violation, change), facts) is False


def changed(expr, edit):
    match expr:
        case And(items):
            return And(tuple(changed(item, edit) for item in items))
        case Not(item):
            return Not(changed(item, edit))
        case _:
            return edit.after if expr == edit.before else expr


def test_two_operands_change_where_one_does_not_help(small_catalog):
    gate = Or((Compare("model.price_out", "gt", 1_000_000), Compare("model.price_in", "gt", 1_000)))
    (obstacle,) = why_not(policy(gate), small_catalog, "q/d", CALL).obstacles
    assert {edit.after for edit in obstacle.edits} == {
        Compare("model.price_out", "gt", 5_000_000),
        Compare("model.price_in", "gt", 1_000_000),
    }


def test_every_obstacle_is_named_and_a_model_without_any_may_serve(small_catalog):
    given = policy(
        Compare("model.region", "eq", "us"), Flag("model.tools"), where=Compare("model.stage", "eq", "stable")
    )
    found = why_not(given, small_catalog, "q/d", CALL)
    assert [(o.rule, o.kind) for o in found.obstacles] == [("g0", "gate"), ("g1", "gate"), ("route:general", "where")]
    assert not why_not(replace(given, gates=()), small_catalog, "p/b", CALL).obstacles


def test_a_model_outside_the_tiers_is_told_which_tier_holds_it(small_catalog):
    (obstacle,) = why_not(policy(), small_catalog, "q/c", CALL).obstacles
    assert (obstacle.kind, obstacle.help) == ("tier", "let route `general` use `dear`")


def test_an_unknown_field_of_the_catalog_is_what_is_missing(small_catalog):
    (obstacle,) = why_not(policy(Compare("model.context", "lt", 10)), small_catalog, "q/d", CALL).obstacles
    assert (obstacle.unknown, obstacle.edits) == (("model.context",), ())


def test_a_model_nobody_knows_is_a_key_error(small_catalog):
    with pytest.raises(KeyError):
        why_not(policy(), small_catalog, "nobody", CALL)
