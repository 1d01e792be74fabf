"""Traffic for any policies: two shapes per declared task, a long tail in who asks for what, seconds between calls."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import TypeVar

from policy_cli.demo.calls import START_MS, Call, PolicyText, Scenario, ScenarioError
from policy_cli.demo.synthetic import SyntheticWorld, drawn
from policy_lang.catalog import Catalog
from policy_lang.compiler import compile_policy
from policy_lang.envelope import Envelope, build_envelope
from policy_lang.frozen import frozen
from policy_lang.ir import And, Compare, Expr, In, Not, Or, Policy
from policy_lang.vocabulary import STRUCTURES

__all__ = ["compiled", "policy_arms", "synthetic_scenario", "value_of"]

_PROMPTS = (120, 420, 900, 2_600, 6_000, 14_000)
_ANSWERS = (20, 80, 250, 700)
_TOOLS = (0, 0, 0, 1, 3, 8)
_MEAN_GAP_MS = 4_000
_ORG_SHARE = 0.1
_SECOND_SHAPE = 0.15

T = TypeVar("T")


@frozen
class _Habit:
    """One kind of call that a tenant makes, and how often."""

    policy: PolicyText
    envelope: Envelope
    input_tokens: int
    output_tokens: int
    weight: float
    orgs: tuple[str, ...]


def synthetic_scenario(texts: Sequence[PolicyText], catalog: Catalog, decisions: int, seed: int) -> Scenario:
    """`decisions` calls under `texts`, the tenants taking turns at random; models behave as the seed has it."""
    policies = [(text, compiled(text, catalog)) for text in texts]
    habits = [habit for place, named in enumerate(policies, 1) for habit in _habits(*named, seed, 1 / place)]
    arms = {arm for _, policy in policies for arm in policy_arms(policy)}
    return Scenario(
        title=f"{len(texts)} {'policy' if len(texts) == 1 else 'policies'}, {len(habits)} shapes, {len(arms)} models",
        policies=tuple(texts),
        calls=list(_calls(habits, decisions, seed)),
        world=SyntheticWorld((catalog.models[arm] for arm in arms), seed),
    )


def compiled(text: PolicyText, catalog: Catalog) -> Policy:
    """The policy of a text; ScenarioError with every finding where there is none."""
    compilation = compile_policy(text.source, catalog, text.origin)
    if compilation.policy is None:
        raise ScenarioError(f"{text.origin} does not compile:\n{compilation.render()}")
    return compilation.policy


def _habits(text: PolicyText, policy: Policy, seed: int, weight: float) -> Iterator[_Habit]:
    """Two shapes of each task, the second far less frequent; tasks are the rarer the later a route names them."""
    orgs = tuple(sorted(_mentioned(policy, "org")))
    for place, task in enumerate(_by_frequency(policy), start=1):
        for shape in range(2):
            about = (seed, text.tenant, task, shape)
            prompt, answer = _chosen(_PROMPTS, "prompt", *about), _chosen(_ANSWERS, "answer", *about)
            envelope = build_envelope(
                task_type=task,
                structure_type=_chosen(STRUCTURES, "structure", *about),
                context_tokens=prompt,
                tools_used=_chosen(_TOOLS, "tools", *about),
                time_sensitive=drawn("time", *about) < 0.25,
                estimated_tokens=prompt + answer,
            )
            yield _Habit(text, envelope, prompt, answer, weight * _SECOND_SHAPE**shape / place**2, orgs)


def _by_frequency(policy: Policy) -> list[str]:
    named = [task for route in policy.routes for task in sorted(_words([route.when], "task"))]
    return list(dict.fromkeys(task for task in (*named, *policy.tasks) if task in policy.tasks))


def _calls(habits: Sequence[_Habit], decisions: int, seed: int) -> Iterator[Call]:
    reaches = list(accumulate(habit.weight for habit in habits))
    at_ms = START_MS
    for number in range(decisions):
        left = drawn(seed, "habit", number) * reaches[-1]
        habit = next(habit for habit, reach in zip(habits, reaches, strict=True) if left < reach)
        at_ms += 200 + round(2 * _MEAN_GAP_MS * drawn(seed, "gap", number))
        size = 0.8 + 0.2 * drawn(seed, "size", number)
        named = habit.orgs and drawn(seed, "named", number) < _ORG_SHARE
        yield Call(
            number=number,
            at_ms=at_ms,
            tenant=habit.policy.tenant,
            policy=habit.policy.name,
            envelope=habit.envelope,
            key=habit.policy.tenant,
            input_tokens=round(habit.input_tokens * size),
            output_tokens=max(1, round(habit.output_tokens * size)),
            org=_chosen(habit.orgs, seed, "org", number) if named else None,
        )


def policy_arms(policy: Policy) -> set[str]:
    """Every arm that a policy may serve or compare with."""
    routes = (*policy.routes, policy.default)
    single = {arm for route in routes if (arm := route.until_proven)} | (
        {policy.baseline} if policy.baseline else set()
    )
    return single | set(policy.fallback) | {arm for tier in policy.tiers for arm in tier.arms}


def value_of(policy: Policy) -> int | None:
    """What the default route holds a success to be worth, in nano-dollars; None where it picks by something else."""
    return next((term.value_nanodollars for term in policy.default.pick if term.rule == "best_value"), None)


def _mentioned(policy: Policy, field: str) -> set[str]:
    """The words that a policy compares `field` with, anywhere."""
    wheres = [route.where for route in (*policy.routes, policy.default) if route.where is not None]
    gates = [gate.violation for gate in policy.gates]
    return _words([*gates, *wheres, *(route.when for route in policy.routes)], field)


def _words(waiting: list[Expr], field: str) -> set[str]:
    found: set[str] = set()
    while waiting:
        match waiting.pop():
            case And(items=items) | Or(items=items):
                waiting.extend(items)
            case Not(item=item):
                waiting.append(item)
            case Compare(field=name, value=str(value)) if name == field:
                found.add(value)
            case In(field=name, values=values) if name == field:
                found.update(values)
    return found


def _chosen(values: Sequence[T], *about: object) -> T:
    return values[int(drawn(*about) * len(values))]
