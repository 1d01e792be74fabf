"""The oracle itself: Kleene logic over facts that may be missing or of the wrong type."""

import pytest

from policy_lang.gates import evaluate, mentioned_fields
from policy_lang.ir import And, Compare, CompareFields, Flag, In, Not, Or

YES, NO, UNKNOWN = Flag("model.vision"), Flag("model.tools"), Flag("model.reasoning")
FACTS = {
    "model.vision": True,
    "model.tools": False,
    "task": "plan",
    "context": "long",
    "tools": "10-19",
    "tokens.upper": 1_000,
    "model.context": 1_250,
    "model.price_in": 5,
    "model.region": 7,
    "model.streaming": "yes",
    "model.max_output": True,
}


@pytest.mark.parametrize(
    ("expr", "verdict"),
    [
        (And(()), True),
        (Or(()), False),
        (And((YES, NO)), False),
        (And((YES, UNKNOWN)), None),
        (And((UNKNOWN, NO)), False),
        (Or((NO, YES)), True),
        (Or((UNKNOWN, YES)), True),
        (Or((NO, UNKNOWN)), None),
        (Not(NO), True),
        (Not(UNKNOWN), None),
        (Flag("model.streaming"), None),
        (Compare("task", "eq", "plan"), True),
        (Compare("task", "ne", "plan"), False),
        (Compare("structure", "ne", "code"), None),
        (Compare("model.region", "ne", "eu"), None),
        (Compare("context", "gt", "medium"), True),
        (Compare("context", "gt", "long"), False),
        (Compare("context", "le", "extended"), True),
        (Compare("tools", "lt", "20+"), True),
        (Compare("tools", "ge", "2-4"), True),
        (Compare("model.price_in", "le", 5), True),
        (Compare("model.price_in", "lt", 5), False),
        (Compare("model.price_out", "lt", 5), None),
        (Compare("model.max_output", "ge", 1), None),
        (Compare("task", "eq", 5), None),
        (In("task", ("chat", "plan")), True),
        (In("task", ("chat",)), False),
        (In("org", ("acme",)), None),
        (CompareFields("model.context", "ge", 1_250_000, "tokens.upper"), True),
        (CompareFields("model.context", "ge", 1_250_001, "tokens.upper"), False),
        (CompareFields("model.context", "gt", 1_250_000, "tokens.upper"), False),
        (CompareFields("model.context", "lt", 1_000_000, "context.upper"), None),
    ],
)
def test_an_expression_has_its_kleene_verdict(expr, verdict):
    assert evaluate(expr, FACTS) is verdict


def test_mentioned_fields_are_all_that_is_read():
    expr = Or((Not(In("task", ("plan",))), And((YES, CompareFields("model.context", "lt", 1, "tokens.upper")))))
    assert mentioned_fields(expr) == {"task", "model.vision", "model.context", "tokens.upper"}
