"""Random policies over a small catalog, and the truth about them by looking at every call there is."""

import itertools
import random
from collections import Counter
from dataclasses import dataclass
from functools import cached_property

import pytest

from policy_lang.analysis.space import Call
from policy_lang.catalog import Catalog, Model
from policy_lang.envelope import Envelope
from policy_lang.gates import evaluate, mentioned_fields
from policy_lang.ir import (
    And,
    Assertion,
    Attribute,
    Budget,
    Canary,
    Cascade,
    Check,
    Compare,
    CompareFields,
    Flag,
    Gate,
    In,
    Not,
    OnOutcome,
    Or,
    Parameter,
    PickTerm,
    Policy,
    Route,
    Tier,
)
from policy_lang.vocabulary import CONTEXT_BUCKETS, STRUCTURES, TOKEN_BUCKETS, TOOL_BUCKETS

TASKS = ("chat", "other", "plan")
ENVELOPES = [
    Envelope(task, structure, context.name, tools.name, urgent, tokens.name)
    for task, structure, context, tools, urgent, tokens in itertools.product(
        TASKS, STRUCTURES, CONTEXT_BUCKETS, TOOL_BUCKETS, (False, True), TOKEN_BUCKETS
    )
]
REQUESTS = {
    "org": [{"org": org} for org in ("labs", "growth", "somebody", None)],
    "attribute": [{"attributes": a} for a in ((("plan", "free"),), (("plan", "pro"),), (("plan", "trial"),), ())],
    "none": [{}],
}
MODELS = [
    Model("p/a", "p", "a", 100_000, 400_000, context=8_000, region="eu", stage="stable", tools=True, max_output=4_000),
    Model("p/b", "p", "b", 250_000, 2_000_000, context=200_000, region="us", stage="stable", tools=False),
    Model("q/c", "q", "c", 3_000_000, 15_000_000, 300_000, 3_750_000, context=1_000_000, region="eu", reasoning=True),
    Model("q/d", "q", "d", 1_000_000, 5_000_000, region="us", stage="preview", tools=True, max_output=8_000),
]
ARMS = tuple(model.arm for model in MODELS)
CATALOG = Catalog.build(MODELS, {model.name: model.arm for model in MODELS})
MODEL_FACTS = {model.arm: model.facts() for model in MODELS}
SHAPE = [
    Compare("task", "eq", "chat"),
    In("task", ("chat", "plan")),
    Compare("task", "ne", "other"),
    Compare("structure", "ne", "code"),
    In("structure", ("json", "list")),
    Compare("context", "ge", "long"),
    Compare("tokens", "lt", "large"),
    Compare("tools", "gt", "2-4"),
    Compare("tools", "eq", "0"),
    Flag("time_sensitive"),
    Compare("tokens.upper", "gt", 31_999),
    CompareFields("context.upper", "gt", 1_000_000, "tokens.upper"),
]
REQUEST = {
    "org": [Compare("org", "eq", "labs"), In("org", ("growth", "labs")), Compare("org", "ne", "growth")],
    "attribute": [Compare("attribute.plan", "eq", "pro"), In("attribute.plan", ("free", "pro"))],
    "none": [Compare("context.upper", "le", 8_000)],
}
MODEL = [
    Compare("model.region", "eq", "eu"),
    Compare("model.stage", "ne", "stable"),
    Compare("model.price_out", "gt", 3_000_000),
    CompareFields("model.context", "lt", 1_250_000, "tokens.upper"),
    CompareFields("model.max_output", "ge", 500_000, "tokens.upper"),
    Flag("model.tools"),
    Flag("model.reasoning"),
    Compare("model.provider", "eq", "p"),
]


def condition(chance, atoms, longest=3):
    parts = [Not(atom) if chance.random() < 0.3 else atom for atom in chance.sample(atoms, chance.randint(1, longest))]
    joined = (And if chance.random() < 0.6 else Or)(tuple(parts))
    return Not(joined) if chance.random() < 0.15 else joined


def some_route(chance, name, when, tiers, atoms):
    cascade = Cascade(tuple(chance.sample(tiers, 2)), (Check("json_valid"),)) if chance.random() < 0.25 else None
    return Route(
        name,
        when,
        tuple(chance.sample(tiers, chance.randint(1, 2))),
        chance.choice([(PickTerm("cheapest", 100_000), PickTerm("prefer", arms=ARMS[::-1])), (PickTerm("cheapest"),)]),
        where=condition(chance, [*atoms, *MODEL]) if chance.random() < 0.4 else None,
        until_proven=chance.choice([None, None, *ARMS]),
        cascade=cascade,
        parameters=(Parameter("max_tokens", "at_most", 2_000_000),) if chance.random() < 0.3 else (),
        failures=(OnOutcome("timeout", retries=2), OnOutcome("rate_limited", retries=3)) * (chance.random() < 0.3),
    )


def some_policy(chance, theme=None):
    theme = theme or chance.choice(list(REQUESTS))
    # A few comparisons of shapes for each policy: enumeration tells apart what it mentions.
    atoms = [*chance.sample(SHAPE, 4), *REQUEST[theme]]
    tiers = [Tier(name, tuple(chance.sample(ARMS, chance.randint(1, 2)))) for name in ("one", "three", "two")]
    names = [tier.name for tier in tiers]
    budgets = ()
    if chance.random() < 0.4:
        scope = ("org", "labs") if theme == "org" else ("tenant", None)
        budgets = (Budget(scope[0], 10**12, "nanodollars", "month", scope[1], 800_000, chance.choice(names)),)
    return Policy(
        "t/p",
        TASKS,
        tuple(tiers),
        tuple(
            Gate(f"g{n}", "forbid", condition(chance, [*atoms, *MODEL, *MODEL])) for n in range(chance.randint(0, 4))
        ),
        tuple(
            some_route(chance, f"r{n}", condition(chance, atoms, 2), names, atoms) for n in range(chance.randint(0, 4))
        ),
        some_route(chance, "general", And(()), names, atoms),
        tuple(chance.sample(ARMS, chance.randint(1, 2))),
        attributes=(Attribute("plan", ("free", "pro", "trial")),) if theme == "attribute" else (),
        budgets=budgets,
        canaries=(Canary("t/next", 50_000, "call", 30_000),) if chance.random() < 0.15 else (),
        assertions=tuple(
            Assertion(
                f"a{n}",
                chance.choice(("always", "never", "some")),
                condition(chance, [*atoms, *MODEL[:2]], 2),
                condition(chance, [*atoms, *MODEL], 2),
            )
            for n in range(4)
        ),
    )


@dataclass
class Brute:
    """The truth, one call at a time, by `gates.evaluate` alone."""

    policy: Policy
    theme: str

    def __post_init__(self):
        self.memo = {}
        self.tiers = {tier.name: tier.arms for tier in self.policy.tiers}
        self.routes = (*self.policy.routes, self.policy.default)

    @property
    def requests(self):
        """What calls may state; a name that the policy does not mention is any other, as `somebody` is already."""
        told = repr(self.policy)
        return [each for each in REQUESTS[self.theme] if each.get("org") in (None, "somebody") or each["org"] in told]

    @cached_property
    def weights(self):
        """Every call there is, those with equal values in all fields that the policy mentions told once, and counted.

        Any other name of an open field counts as one, so `somebody` stands for all of them.
        """
        policy, routes = self.policy, self.routes
        exprs = (
            [gate.violation for gate in policy.gates] + [r.when for r in routes] + [r.where for r in routes if r.where]
        )
        exprs += [expr for a in policy.assertions for expr in (a.given, a.claim)]
        fields = sorted({name for expr in exprs for name in mentioned_fields(expr)} | {b.scope for b in policy.budgets})
        first, counts = {}, Counter()
        for envelope in ENVELOPES:
            for request in self.requests:
                call = Call(envelope, **request)
                facts = call.facts()
                key = tuple(facts.get(name) for name in fields)
                counts[first.setdefault(key, call)] += 1
        return counts

    @property
    def calls(self):
        return list(self.weights)

    def holds(self, expr, call, arm=None):
        fields = self.memo.setdefault(id(expr), (sorted(mentioned_fields(expr)), {}, expr))
        facts = (self.facts(call), MODEL_FACTS.get(arm, {}))
        key = tuple(facts[name.startswith("model.")].get(name) for name in fields[0])
        if key not in fields[1]:
            fields[1][key] = evaluate(expr, facts[0] | facts[1])
        return fields[1][key]

    def facts(self, call):
        return self.once("facts", call, call.facts)

    def once(self, what, call, work):
        known = self.memo.setdefault(what, {})
        if id(call) not in known:
            known[id(call)] = (work(), call)
        return known[id(call)][0]

    def route(self, call):
        return next(route for route in self.routes if self.holds(route.when, call) is True)

    def barring(self, call, arm):
        return {gate.reason for gate in self.policy.gates if self.holds(gate.violation, call, arm) is not False}

    def in_tiers(self, call, route, names):
        arms = {arm for name in names for arm in self.tiers[name] if not self.barring(call, arm)}
        return {arm for arm in arms if route.where is None or self.holds(route.where, call, arm) is True}

    def counted(self, budget, call):
        return budget.scope == "tenant" or getattr(call, budget.scope) == budget.name

    def degrade_tiers(self, call):
        return [b.degrade for b in self.policy.budgets if b.degrade and self.counted(b, call)]

    def candidates(self, call, route):
        names = [*route.use, *(route.cascade.tiers if route.cascade else ()), *self.degrade_tiers(call)]
        arms = {arm for name in names for arm in self.tiers[name]} | set(self.policy.fallback)
        return arms | ({route.until_proven} if route.until_proven else set())

    def survivors(self, call):
        return self.once("survivors", call, lambda: self.surviving(call))

    def may(self, call):
        return self.once("may", call, lambda: self.serving(call))

    def surviving(self, call):
        route = self.route(call)
        nets = {*self.policy.fallback, *([route.until_proven] if route.until_proven else [])}
        named = [*route.use, *(route.cascade.tiers if route.cascade else ())]
        return {arm for arm in nets if not self.barring(call, arm)} | self.in_tiers(call, route, named)

    def serving(self, call):
        found = self.survivors(call) | self.in_tiers(call, self.route(call), self.degrade_tiers(call))
        if self.policy.canaries:
            found |= {arm for arm in ARMS if not self.barring(call, arm)}
        return found


@pytest.fixture(scope="session")
def small_catalog():
    return CATALOG


@pytest.fixture(scope="session")
def random_policy():
    return lambda seed, theme=None: some_policy(random.Random(seed), theme)


@pytest.fixture(scope="session")
def brute():
    """The truth about a policy by enumeration; made once for each policy of the session."""
    known = {}

    def of(seed):
        if seed not in known:
            theme = list(REQUESTS)[seed % 3]
            known[seed] = Brute(some_policy(random.Random(seed), theme), theme)
        return known[seed]

    return of
