"""The proof that a fallback survives, against plain enumeration of every shape there is."""

import itertools
import random

import pytest

from policy_lang.analysis import fallback
from policy_lang.analysis.fallback import unproved_fallback
from policy_lang.checking.checker import check
from policy_lang.compiler import compile_policy
from policy_lang.envelope import Envelope
from policy_lang.gates import evaluate
from policy_lang.lowering.lower import lower
from policy_lang.shapes import cut
from policy_lang.text.outline import Outline
from policy_lang.text.parser import parse
from policy_lang.vocabulary import CONTEXT_BUCKETS, STRUCTURES, TOKEN_BUCKETS, TOOL_BUCKETS

POLICY = """policy "p" language 1
tasks chat, plan
tier small = [gpt-5]
{}
default route general {{ use small pick cheapest }}
fallback nova-lite, gpt-5-mini, odd-one
"""
TASKS = ("chat", "other", "plan")
SHAPES = [
    Envelope(task, structure, context.name, tools.name, urgent, tokens.name)
    for task, structure, context, tools, urgent, tokens in itertools.product(
        TASKS, STRUCTURES, CONTEXT_BUCKETS, TOOL_BUCKETS, (False, True), TOKEN_BUCKETS
    )
]
ATOMS = [
    *("task == chat", "task in [chat, plan]", "structure != code", "structure in [json, list]", "context >= long"),
    *("tokens < large", "tools > 2-4", "tools == 0", "time_sensitive", "context.upper > tokens.upper"),
    *("tokens.upper > 31_999", "model.context < 1.25 * tokens.upper", "model.region == eu", "model.json_schema"),
    *("model.stage != stable", "model.price_in > $0.5/Mtok", "context.upper <= 8_000 tokens", "model.reasoning"),
]


def some_policy(chance):
    gates = []
    for number in range(chance.randrange(1, 5)):
        parts = [f"{chance.choice(['', 'not '])}{atom}" for atom in chance.sample(ATOMS, chance.randrange(1, 5))]
        condition = " and ".join(parts[:3]) + "".join(f" or {part}" for part in parts[3:])
        gates.append(f'forbid "g{number}" when {condition}\n')
    return POLICY.format("".join(gates))


@pytest.mark.parametrize("seed", range(80))
def test_the_proof_agrees_with_looking_at_every_shape(seed, catalog):
    outline = Outline(parse(some_policy(random.Random(seed))).statements, catalog)
    assert [found for found in check(outline) if found.severity == "error"] == []
    policy = lower(outline)
    arms = [catalog.models[arm].facts() for arm in policy.fallback]
    survives_everywhere = all(
        any(all(evaluate(gate.violation, {**arm, **facts}) is False for gate in policy.gates) for arm in arms)
        for facts in (shape.facts() for shape in SHAPES)
    )
    assert [found.code for found in unproved_fallback(policy, outline)] == ([] if survives_everywhere else ["P501"])


def test_gates_that_look_at_the_request_are_left_to_run_time(catalog):
    assert compile_policy(POLICY.format('forbid "guests" when org == guests'), catalog).ok
    assert not compile_policy(POLICY.format('forbid "chat" when task == chat'), catalog).ok


def test_beyond_the_work_budget_the_verdict_is_not_proved(catalog, monkeypatch):
    gate = 'forbid "g" when task == chat and tokens == tiny and model.region == us'
    assert compile_policy(POLICY.format(gate), catalog).ok
    monkeypatch.setattr(fallback, "WORK_BUDGET", 10)
    assert [found.code for found in compile_policy(POLICY.format(gate), catalog).diagnostics] == ["P502"]


def test_classes_tell_apart_only_what_matters(catalog):
    text = POLICY.format("""forbid "a" when task in [chat, plan] and context >= long and model.reasoning
forbid "b" when model.context < 2 * tokens.upper and tokens < huge and not time_sensitive""")
    policy = compile_policy(text, catalog).policy
    found = cut([gate.violation for gate in policy.gates], [policy.tasks])
    assert {dimension.name: dimension.counts for dimension in found} == {
        "context": (2, 2),
        "tokens": (1, 1, 1, 1, 1),
        "task": (2, 1),
        "time_sensitive": (1, 1),
    }
