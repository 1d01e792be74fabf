"""Well-typed policies, catalogs, requests and statistics by seed: every operator of the IR, every feature of a route
that a verdict, an order or a plan can hang on. Plain `random`, because a hundred thousand are wanted in seconds.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, replace

import pytest

from policy_engine.budgets import BudgetReading
from policy_engine.decision import Circumstances, decision_id_for
from policy_engine.snapshot import EMPTY, Snapshot, build_snapshot
from policy_engine.statistics import CellRow, epoch_of, merge_sums, outcome_sums
from policy_engine.wire import RouteRequest, TelemetryRecord
from policy_lang.catalog import Catalog, Model, Prices
from policy_lang.envelope import Envelope, cluster_id
from policy_lang.ir import (
    And,
    Attribute,
    Budget,
    Cascade,
    Check,
    Compare,
    CompareFields,
    Explore,
    Flag,
    Floor,
    Gate,
    Not,
    Or,
    PickTerm,
    Policy,
    Route,
    Tier,
)
from policy_lang.normal import conjunction, disjunction, membership, negation
from policy_lang.vocabulary import FIELDS, REGIONS, STAGES, STRUCTURES

NOW = 1_790_000_000_000
ARMS = ("a/one", "a/two", "b/one", "b/two", "c/one", "c/two", "d/gone")
TASKS = ("extract", "label", "other")
WORDS = {"org": ("acme", "globex"), "team": ("red", "blue"), "product": ("app",), "model.provider": ("a", "b", "c")}
ATTRIBUTES = (Attribute("beta", ("no", "yes")), Attribute("rank", ("gold", "silver", "tin")))
OF_MODEL = tuple(name for name, spec in FIELDS.items() if spec.scope == "model")
OF_REQUEST = tuple(name for name, spec in FIELDS.items() if spec.scope != "model")
OWN = tuple(f"attribute.{attribute.name}" for attribute in ATTRIBUTES)
VALUES = (
    {name: spec.values for name, spec in FIELDS.items() if spec.values}
    | WORDS
    | {"task": TASKS}
    | {f"attribute.{attribute.name}": attribute.values for attribute in ATTRIBUTES}
)
SIZES = (0, 499, 1_999, 2_000, 7_999, 8_000, 31_999, 128_000, 1_000_000)
PRICES = (0, 100_000, 400_000, 1_000_000, 5_000_000)
NUMBERS = {"tokens": SIZES, "price": PRICES}
#: Pairs of fields that compare.
PAIRS = [
    (left, right)
    for left in FIELDS
    for right in FIELDS
    if FIELDS[left].kind in NUMBERS and FIELDS[left].kind == FIELDS[right].kind
]


@dataclass(frozen=True)
class World:
    """One policy and what it is asked over."""

    policy: Policy
    lines: dict[str, int]
    catalogs: tuple[Catalog, ...]
    requests: tuple[RouteRequest, ...]
    snapshot: Snapshot
    circumstances: Circumstances


@pytest.fixture(scope="session")
def world_of(snapshots):
    """The world of a seed; `width` catalogs times `width` requests."""

    def build(seed: int, width: int = 10) -> World:
        chance = random.Random(seed)
        policy = _policy(chance, seed)
        lines = {gate.reason: place for place, gate in enumerate(policy.gates, 2) if chance.random() < 0.8}
        lines |= {f"route:{route.name}": place for place, route in enumerate(policy.routes, 40)}
        return World(
            policy=policy,
            lines=lines,
            catalogs=tuple(_catalog(chance) for _ in range(width)),
            requests=tuple(_requests(chance, width)),
            snapshot=chance.choice(snapshots),
            circumstances=_circumstances(chance),
        )

    return build


@pytest.fixture(scope="session")
def snapshots():
    """Statistics over the envelopes that requests draw from, some cells never seen."""
    chance = random.Random(0)
    return [EMPTY, *(build_snapshot(_rows(chance), NOW) for _ in range(7))]


def _expression(chance: random.Random, fields: tuple[str, ...], depth: int = 3):
    """Any operator over `fields`; half of the inner nodes in normal form, half as an outsider may write them."""
    sort = chance.random()
    if depth == 0 or sort < 0.45:
        return _atom(chance, fields)
    if sort < 0.6:
        inner = _expression(chance, fields, depth - 1)
        return negation(inner) if chance.random() < 0.5 else Not(inner)
    items = tuple(_expression(chance, fields, depth - 1) for _ in range(chance.choice((0, 1, 2, 2, 2, 3, 3))))
    if chance.random() < 0.5:
        return chance.choice((conjunction, disjunction))(items)
    return chance.choice((And, Or))(items)


def _atom(chance: random.Random, fields: tuple[str, ...]):
    field = chance.choice(fields)
    kind = "enum" if field in OWN else FIELDS[field].kind
    if kind == "flag":
        return Flag(field)
    if kind in NUMBERS:
        pairs = [pair for pair in PAIRS if field in pair and set(pair) <= set(fields)]
        if pairs and chance.random() < 0.4:
            left, right = chance.choice(pairs)
            ratio = chance.choice((1, 250_000, 1_000_000, 1_250_000, 4_000_000))
            return CompareFields(left, chance.choice(("lt", "le", "gt", "ge")), ratio, right)
        relation = chance.choice(("eq", "ne", "lt", "le", "gt", "ge"))
        return Compare(field, relation, chance.choice(NUMBERS[kind]))
    values = VALUES[field]
    if chance.random() < 0.3:
        return membership(field, chance.sample(values, chance.randint(1, len(values))))
    relations = ("eq", "ne", "lt", "le", "gt", "ge") if kind == "ordered" else ("eq", "ne")
    return Compare(field, chance.choice(relations), chance.choice(values))


def _policy(chance: random.Random, seed: int) -> Policy:
    tiers = tuple(Tier(name, tuple(chance.sample(ARMS, chance.randint(1, 3)))) for name in ("large", "small", "tiny"))
    everything = (*OF_REQUEST, *OWN, *OF_MODEL)
    gates = [
        Gate(f"gate {n}", chance.choice(("forbid", "require")), _gate(chance, everything))
        for n in range(chance.choice((0, 1, 2, 3, 4, 6)))
    ]
    routes = [
        _route(chance, f"r{n}", _expression(chance, (*OF_REQUEST, *OWN), 2)) for n in range(chance.choice((0, 1, 2)))
    ]
    return Policy(
        name=f"generated/p{seed}",
        tasks=TASKS,
        tiers=tiers,
        gates=tuple(gates),
        routes=tuple(routes),
        default=_route(chance, "default", And(())),
        fallback=tuple(chance.sample(ARMS, chance.randint(1, 3))),
        baseline=_some(chance, 0.3, chance.choice(ARMS)),
        attributes=ATTRIBUTES,
        budgets=(Budget("org", 1_000, "nanodollars", "day", "acme", 800_000, tiers[0].name),),
        audit="on" if chance.random() < 0.1 else "off",
    )


def _gate(chance: random.Random, fields: tuple[str, ...]):
    # Left to themselves random expressions bar nearly everything; most real gates hold for a few shapes.
    inner = _expression(chance, fields, 2)
    return inner if chance.random() < 0.2 else And((_atom(chance, OF_REQUEST), _atom(chance, OF_REQUEST), inner))


def _route(chance: random.Random, name: str, when) -> Route:
    use = tuple(chance.sample(("large", "small", "tiny"), chance.randint(1, 3)))
    floors = tuple(
        Floor(metric, chance.choice((500_000, 800_000, 950_000)), chance.choice((None, 600_000, 900_000)))
        for metric in chance.sample(("success", "quality"), chance.choice((0, 0, 1, 1, 2)))
    )
    proven = any(floor.proven_ppm for floor in floors)
    checks = (Check("json_valid"), Check("judge", 700_000))
    return Route(
        name=name,
        when=when,
        use=use,
        pick=_pick(chance),
        where=_some(chance, 0.3, _expression(chance, (*OF_MODEL, "tokens", "org", *OWN), 2)),
        floors=floors,
        until_proven=_some(chance, 0.6 if proven else 0, chance.choice(ARMS)),
        explore=_some(chance, 0.3, Explore(50_000, 200_000)),
        cascade=_some(chance, 0.4 if len(use) > 1 else 0, Cascade(use, checks)),
        stay_in_floor=_some(chance, 0.2, "yes"),
        batch=_some(chance, 0.3, "allowed"),
        pin_ms=_some(chance, 0.2, 60_000),
    )


def _pick(chance: random.Random) -> tuple[PickTerm, ...]:
    length = chance.choice((1, 1, 2, 3))
    return tuple(_term(chance, last=place == length - 1) for place in range(length))


def _term(chance: random.Random, *, last: bool) -> PickTerm:
    rule = chance.choice(("cheapest", "fastest", "best_quality", "best_value", "prefer"))
    within = 0 if last or rule == "prefer" else chance.choice((1, 50_000, 300_000, 1_000_000))
    return PickTerm(
        rule,
        within,
        metric=chance.choice(("ttft_p95", "latency_p95")) if rule == "fastest" else None,
        value_nanodollars=chance.choice((1_000, 1_000_000, 50_000_000)) if rule == "best_value" else None,
        arms=tuple(chance.sample(ARMS, chance.randint(1, 3))) if rule == "prefer" else (),
    )


def _catalog(chance: random.Random) -> Catalog:
    models = {arm: _model(chance, arm) for arm in ARMS if arm != "d/gone" or chance.random() < 0.5}
    return Catalog(models, {}, f"{chance.getrandbits(64):064x}")


def _model(chance: random.Random, arm: str) -> Model:
    provider, _, name = arm.partition("/")
    prices = chance.choice(PRICES), chance.choice(PRICES)
    tiers = (Prices(prices[0] * 2 + 1, prices[1] * 2, above=4_000),) if chance.random() < 0.2 else ()
    batch = (Prices(prices[0] // 2, prices[1] // 2),) if chance.random() < 0.3 else ()
    facts = {
        "price_cached_read": chance.choice((None, *PRICES)),
        "context": chance.choice((None, *SIZES)),
        "max_output": chance.choice((None, *SIZES)),
        "region": chance.choice((None, *REGIONS)),
        "stage": chance.choice((None, *STAGES)),
    }
    flags = ("tools", "json_schema", "vision", "reasoning", "streaming", "prompt_caching")
    facts |= {flag: chance.choice((None, False, True, True)) for flag in flags}
    return Model(arm, provider, name, *prices, **facts, tiers=tiers, batch=batch)


def _envelope(chance: random.Random) -> Envelope:
    task = chance.choice((*TASKS, *TASKS, "undeclared"))
    sizes = (chance.choice(VALUES[name]) for name in ("context", "tools"))
    return Envelope(task, chance.choice(STRUCTURES), *sizes, chance.random() < 0.5, chance.choice(VALUES["tokens"]))


ENVELOPES = [_envelope(random.Random(seed)) for seed in range(60)]


def _request(chance: random.Random) -> RouteRequest:
    declared = {attribute.name: _some(chance, 0.7, chance.choice(attribute.values)) for attribute in ATTRIBUTES}
    return RouteRequest(
        chance.choice(ENVELOPES),
        policy="generated/p",
        org=_some(chance, 0.7, chance.choice(WORDS["org"])),
        team=_some(chance, 0.5, chance.choice(WORDS["team"])),
        product=_some(chance, 0.5, "app"),
        candidates=_some(chance, 0.15, tuple(chance.sample(ARMS, 3))),
        attributes=tuple((name, value) for name, value in declared.items() if value is not None),
    )


def _requests(chance: random.Random, number: int) -> Iterator[RouteRequest]:
    """Half of them differ from the one before in a single field."""
    last = _request(chance)
    for _ in range(number):
        other = _request(chance)
        field = chance.choice(("envelope", "org", "team", "product", "candidates", "attributes"))
        last = other if chance.random() < 0.5 else replace(last, **{field: getattr(other, field)})
        yield last


def _circumstances(chance: random.Random) -> Circumstances:
    return Circumstances(
        tenant="generated",
        decision_id=decision_id_for(NOW, b""),
        now_ms=NOW,
        breakers=frozenset(chance.sample(ARMS, 1) if chance.random() < 0.2 else ()),
        budgets=(BudgetReading("org", "acme", "day", "nanodollars", chance.choice((0, 0, 0, 900))),),
        degraded=True,
    )


def _rows(chance: random.Random):
    for envelope in ENVELOPES:
        task = envelope.task_type if envelope.task_type in TASKS else "other"
        for arm in ARMS:
            if chance.random() < 0.5:
                yield CellRow(cluster_id(envelope), task, arm, 0, epoch_of(NOW), _sums(chance))


def _sums(chance: random.Random):
    record = {"token": "t" * 20, "hop": 0, "arm": "a/one", "input_tokens": 300, "output_tokens": 100}
    record |= {"latency_ms": chance.choice((100, 900, 5_000)), "ttft_ms": chance.choice((None, 80, 300))}
    counts = {"ok": chance.choice((0, 5, 40, 400)), "wrong": chance.choice((0, 1, 8, 40))}
    return merge_sums(
        [
            {
                name: value * count
                for name, value in outcome_sums(TelemetryRecord(**record, outcome=outcome), NOW).items()
            }
            for outcome, count in counts.items()
        ]
    )


def _some(chance: random.Random, share: float, value):
    """`value` in a share of the cases, else None."""
    return value if chance.random() < share else None
