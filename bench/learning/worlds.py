"""Simulated worlds: 30 shapes x 8 models and a newcomer, drift, one degradation, one quality flip, floors.

Success rates follow price with exceptions: logit = ability(model) - difficulty(task, shape) + an own term of the model
in the task and in the shape. Feedback is as late as anywhere in this folder. Nothing here is known to a router.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from math import exp, log

from online import Call, Outcome
from recorded import arrivals

from policy_lang.catalog import Catalog, Model
from policy_lang.envelope import Envelope, build_envelope

TASKS = ("analysis", "classify", "code", "extract", "qa", "summarize")
SIZES = ((300, 0), (1_000, 2), (3_000, 0), (5_000, 6), (9_000, 0))
MODELS = 8
NEWCOMER = "new/newcomer"
VALUE_NANODOLLARS = 20_000_000
FLOOR = 0.80


@dataclass(frozen=True)
class World:
    """One seed: calls, success rates by (phase, shape, arm), mean costs by (shape, arm), and when what changes.

    Phases follow each other at `changes`: start, degraded (`degraded` has fallen), newcomer (it may serve), flipped
    (the two best static arms of the last phase have exchanged their success rates; `sunk` was the better one).
    """

    calls: tuple[Call, ...]
    catalog: Catalog
    rates: tuple[Mapping[tuple[Envelope, str], float], ...]
    costs: Mapping[tuple[Envelope, str], float]
    changes: tuple[int, int, int]
    degraded: str
    sunk: str
    drift: Mapping[tuple[Envelope, str], float]
    seed: int

    def phase(self, number: int) -> int:
        return sum(number >= change for change in self.changes)

    def rate(self, number: int, arm: str) -> float:
        """Success rate at a call: that of its phase, drifted in proportion to the time gone."""
        return self._known[number][arm][0]

    def utility(self, number: int, arm: str) -> float:
        """Expected net utility of one decision."""
        return self._known[number][arm][1]

    def best(self, number: int) -> str:
        return self._best[number]

    @cached_property
    def _known(self) -> list[dict[str, tuple[float, float]]]:
        """Rate and net utility by arm at every call; every router of a world is held to them."""
        found = []
        for number, call in enumerate(self.calls):
            rates, gone, row = self.rates[self.phase(number)], number / len(self.calls), {}
            for arm in call.arms:
                rate = _clamped(rates[call.envelope, arm] + self.drift[call.envelope, arm] * gone)
                row[arm] = rate, rate - self.costs[call.envelope, arm] / VALUE_NANODOLLARS
            found.append(row)
        return found

    @cached_property
    def _best(self) -> list[str]:
        return [max(call.arms, key=lambda arm: row[arm][1]) for call, row in zip(self.calls, self._known, strict=True)]

    def answer(self, call: Call, arm: str) -> Outcome:
        chance = random.Random(f"{self.seed} {call.number} {arm}")
        model = self.catalog.models[arm]
        cost = self.costs[call.envelope, arm] * chance.lognormvariate(-0.08, 0.4)
        tokens_out = max(1, round(cost * 1000 / (3 * model.price_in + model.price_out)))
        billed = (3 * tokens_out * model.price_in + tokens_out * model.price_out) // 1000
        right = chance.random() < self.rate(call.number, arm)
        latency = round(chance.lognormvariate(7.0, 0.5))
        fault = chance.random() < 0.01
        return Outcome(float(right), billed, latency, 3 * tokens_out, tokens_out, provider_fault=fault)


def world(seed: int, length: int = 15_000, *, degrade: bool = True) -> World:
    """Degradation at 30 %, newcomer at 50 %, flip at 75 % of the calls."""
    chance = random.Random(f"world {seed}")
    models = [_model(place, chance) for place in range(MODELS)]
    newcomer_price = round(models[1].price_in * chance.uniform(0.8, 1.5))
    catalog = Catalog.build([*models, Model(NEWCOMER, "new", "newcomer", newcomer_price, 4 * newcomer_price)], {})
    envelopes = tuple(
        build_envelope(task_type=task, context_tokens=size, tools_used=tools, estimated_tokens=size + 300)
        for task in TASKS
        for size, tools in SIZES
    )
    arms = tuple(model.arm for model in models)
    changes = (length * 3 // 10, length // 2, length * 3 // 4)
    costs = _costs(envelopes, catalog, chance)
    start = _rates(envelopes, catalog, chance)
    weights = [1 / (1 + place) ** 0.7 for place in range(len(envelopes))]
    chance.shuffle(weights)
    favourite = _favourite(envelopes, weights, start, costs, arms)
    degraded = {**start}
    if degrade:
        fall = chance.uniform(0.15, 0.40)
        degraded |= {(e, favourite): _clamped(start[e, favourite] - fall) for e in envelopes}
    sunk, risen = _ranked(envelopes, weights, degraded, costs, (*arms, NEWCOMER))[:2]
    flipped = {**degraded}
    for envelope in envelopes:
        flipped[envelope, sunk], flipped[envelope, risen] = degraded[envelope, risen], degraded[envelope, sunk]
    times = arrivals(length, chance)
    shapes = chance.choices(envelopes, weights=weights, k=length)
    calls = tuple(
        Call(number, at, shape, (*arms, NEWCOMER) if number >= changes[1] else arms)
        for number, (at, shape) in enumerate(zip(times, shapes, strict=True))
    )
    drift = {key: chance.gauss(0, 0.03) for key in start}
    return World(calls, catalog, (start, degraded, degraded, flipped), costs, changes, favourite, sunk, drift, seed)


def _model(place: int, chance: random.Random) -> Model:
    """Prices from $0.10 to $10 per million input tokens, output at four to five times that."""
    price = round(100_000 * 100 ** (place / (MODELS - 1)) * chance.uniform(0.8, 1.25))
    provider = ("ash", "birch", "cedar")[place % 3]
    return Model(f"{provider}/m{place}", provider, f"m{place}", price, round(price * chance.uniform(4, 5)))


def _rates(
    envelopes: tuple[Envelope, ...], catalog: Catalog, chance: random.Random
) -> dict[tuple[Envelope, str], float]:
    rates = {}
    hard = {task: chance.gauss(0, 0.7) for task in TASKS}
    shape_hard = {envelope: chance.gauss(0, 0.4) for envelope in envelopes}
    for arm, model in catalog.models.items():
        ability = 1.1 + 0.28 * log(model.price_in / 100_000) + chance.gauss(0, 0.35)
        if arm == NEWCOMER:
            ability = 2.4
        skill = {task: chance.gauss(0, 0.5) for task in TASKS}
        for envelope in envelopes:
            own = skill[envelope.task_type] + chance.gauss(0, 0.3)
            logit = ability - hard[envelope.task_type] - shape_hard[envelope] + own
            rates[envelope, arm] = _clamped(1 / (1 + exp(-logit)))
    return rates


def _costs(
    envelopes: tuple[Envelope, ...], catalog: Catalog, chance: random.Random
) -> dict[tuple[Envelope, str], float]:
    found = {}
    for arm, model in catalog.models.items():
        wordy = chance.uniform(0.7, 1.4)
        for place, envelope in enumerate(envelopes):
            tokens_out = wordy * (60 + 12 * (place % len(SIZES)) ** 2)
            found[envelope, arm] = tokens_out * (3 * model.price_in + model.price_out) / 1000
    return found


def _favourite(
    envelopes: tuple[Envelope, ...],
    weights: list[float],
    rates: Mapping[tuple[Envelope, str], float],
    costs: Mapping[tuple[Envelope, str], float],
    arms: tuple[str, ...],
) -> str:
    """The arm that is best in most of the traffic."""
    won = dict.fromkeys(arms, 0.0)
    for envelope, weight in zip(envelopes, weights, strict=True):
        best = max(arms, key=lambda arm: rates[envelope, arm] - costs[envelope, arm] / VALUE_NANODOLLARS)
        won[best] += weight
    return max(won, key=won.__getitem__)


def _ranked(
    envelopes: tuple[Envelope, ...],
    weights: list[float],
    rates: Mapping[tuple[Envelope, str], float],
    costs: Mapping[tuple[Envelope, str], float],
    arms: tuple[str, ...],
) -> list[str]:
    """Arms by their mean net utility over the traffic, best first."""

    def mean(arm: str) -> float:
        return sum(
            w * (rates[e, arm] - costs[e, arm] / VALUE_NANODOLLARS) for e, w in zip(envelopes, weights, strict=True)
        )

    return sorted(arms, key=mean, reverse=True)


def _clamped(rate: float) -> float:
    return min(0.985, max(0.02, rate))


def flip_world(seed: int, length: int = 8_000) -> World:
    """A quality flip alone: the arm that is best by a clear margin and a middling one exchange rates half-way."""
    chance = random.Random(f"flip {seed}")
    models = [Model(f"ash/m{place}", "ash", f"m{place}", 200_000, 800_000) for place in range(MODELS)]
    catalog = Catalog.build(models, {})
    envelopes = tuple(
        build_envelope(task_type=task, context_tokens=size, tools_used=tools, estimated_tokens=size + 300)
        for task in TASKS
        for size, tools in SIZES
    )
    arms = tuple(model.arm for model in models)
    best, middling = chance.sample(arms, 2)
    means = {arm: chance.uniform(0.60, 0.78) for arm in arms} | {best: 0.92, middling: 0.74}
    start = {(e, arm): _clamped(means[arm] + chance.gauss(0, 0.02)) for e in envelopes for arm in arms}
    flipped = start | {(e, best): start[e, middling] for e in envelopes}
    flipped |= {(e, middling): start[e, best] for e in envelopes}
    times = arrivals(length, chance)
    shapes = chance.choices(envelopes, k=length)
    calls = tuple(Call(n, at, shape, arms) for n, (at, shape) in enumerate(zip(times, shapes, strict=True)))
    never = length + 1
    changes = (length // 2, never, never)
    costs = {(e, arm): 100_000.0 for e in envelopes for arm in arms}
    return World(
        calls, catalog, (start, flipped, flipped, flipped), costs, changes, best, best, dict.fromkeys(start, 0.0), seed
    )
