"""The field's routers and bandits on the same calls: same context features, same reward, same late feedback.

Reward is net utility, quality - cost / V. The defaults are the best of the grids of `tuning.py` (README.md says how far
they were run).
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable, Sequence
from hashlib import sha256
from typing import Any

from online import Call, Outcome

from policy_lang.vocabulary import CONTEXT_BUCKETS, TOKEN_BUCKETS, TOOL_BUCKETS


class Rival:
    """Common ground: an own source of chance, what a success is worth, list prices of a typical call."""

    name = "rival"

    def __init__(
        self, arms: Sequence[str], tasks: Sequence[str], value: float, prices: dict[str, float], seed: int
    ) -> None:
        self.arms, self.tasks, self.value, self.prices = tuple(arms), tuple(tasks), value, prices
        self.chance = random.Random(f"{self.name} {seed}")
        self.seed = seed

    def choose(self, call: Call) -> str:
        raise NotImplementedError

    def learn(self, call: Call, arm: str, outcome: Outcome) -> None:
        """Nothing, for the ones that never learn."""

    def reward(self, outcome: Outcome) -> float:
        return outcome.quality - outcome.cost_nanodollars / self.value


class Random(Rival):
    name = "random"

    def choose(self, call: Call) -> str:
        return self.chance.choice(call.arms)


class Always(Rival):
    """One arm for everything."""

    def __init__(self, *common: Any, arm: str, name: str) -> None:
        self.name = name
        super().__init__(*common)
        self.arm = arm

    def choose(self, call: Call) -> str:
        return self.arm if self.arm in call.arms else call.arms[0]


class VowpalSquareCb(Rival):
    """Vowpal Wabbit's SquareCB (Foster et al. 2021) over action-dependent features, shape crossed with arm."""

    name = "vw_squarecb"

    def __init__(self, *common: Any, gamma_scale: float = 100.0, rate: float = 1.0) -> None:
        super().__init__(*common)
        import vowpalwabbit

        self.vw = vowpalwabbit.Workspace(
            f"--cb_explore_adf --squarecb --gamma_scale {gamma_scale} -l {rate} --cb_type mtr -q sa "
            f"--quiet --random_seed {self.seed + 1}"
        )
        self.shown: dict[int, float] = {}

    def choose(self, call: Call) -> str:
        odds = self.vw.predict(self._example(call))
        place = self.chance.choices(range(len(odds)), weights=odds)[0]
        self.shown[call.number] = odds[place]
        return call.arms[place]

    def learn(self, call: Call, arm: str, outcome: Outcome) -> None:
        example = self._example(call)
        place = call.arms.index(arm)
        example[place + 1] = f"0:{-self.reward(outcome):.6f}:{self.shown.pop(call.number):.6f} {example[place + 1]}"
        self.vw.learn(example)

    def _example(self, call: Call) -> list[str]:
        return ["shared |s " + " ".join(_words(call)), *(f"|a {_safe(arm)}" for arm in call.arms)]


class MabwiserLinear(Rival):
    """MABWiser's LinUCB (Li et al. 2010) and LinTS (Agrawal and Goyal 2013), one ridge regression an arm."""

    def __init__(self, *common: Any, policy: str = "LinUCB", alpha: float = 0.6) -> None:
        self.name = f"mabwiser_{policy.lower()}"
        super().__init__(*common)
        from mabwiser.mab import MAB, LearningPolicy

        self.mab = MAB(list(self.arms), getattr(LearningPolicy, policy)(alpha=alpha), seed=self.seed)
        self.fitted = False
        self.waiting: list[tuple[str, float, list[float]]] = []

    def choose(self, call: Call) -> str:
        # One fit for all that arrived since the last call: the same regression, fewer inversions.
        self._fit()
        if not self.fitted:
            return self.chance.choice(call.arms)
        scores = self.mab.predict_expectations([_vector(call, self.tasks)])
        return max(call.arms, key=lambda arm: scores[arm])

    def learn(self, call: Call, arm: str, outcome: Outcome) -> None:
        self.waiting.append((arm, self.reward(outcome), _vector(call, self.tasks)))

    def _fit(self) -> None:
        if self.waiting:
            arms, rewards, contexts = (list(column) for column in zip(*self.waiting, strict=True))
            (self.mab.partial_fit if self.fitted else self.mab.fit)(arms, rewards, contexts)
            self.fitted, self.waiting = True, []


class Thompson(Rival):
    """Beta posterior an (cell, arm), cost at its running mean (Thompson 1933; Chapelle and Li 2011)."""

    name = "thompson_cell"

    def __init__(self, *common: Any, prior: float = 1.0) -> None:
        super().__init__(*common)
        self.prior = prior
        self.counts: dict[tuple[object, ...], list[float]] = defaultdict(lambda: [0.0, 0.0])
        self.costs: dict[object, list[float]] = defaultdict(lambda: [0.0, 0.0])

    def choose(self, call: Call) -> str:
        return max(call.arms, key=lambda arm: self._sample(call, arm))

    def learn(self, call: Call, arm: str, outcome: Outcome) -> None:
        for key in self._keys(call, arm):
            good, bad = self.counts[key]
            self.counts[key] = [good + outcome.quality, bad + 1 - outcome.quality]
        number, total = self.costs[arm]
        self.costs[arm] = [number + 1, total + outcome.cost_nanodollars]

    def _keys(self, call: Call, arm: str) -> tuple[tuple[object, ...], ...]:
        return ((call.envelope, arm),)

    def _sample(self, call: Call, arm: str) -> float:
        good, bad = self.counts[call.envelope, arm]
        quality = self.chance.betavariate(good + self.prior * 0.7, bad + self.prior * 0.3)
        return quality - self._cost(arm) / self.value

    def _cost(self, arm: str) -> float:
        number, total = self.costs[arm]
        return (total + self.prices[arm]) / (number + 1)


class HierarchicalThompson(Thompson):
    """The same with parents (task and arm, arm) and a reset of an arm whose recent record falls off (CUSUM-free)."""

    name = "thompson_hierarchical"

    def __init__(self, *common: Any, weight: float = 35.0) -> None:
        super().__init__(*common)
        self.weight = weight
        self.recent: dict[str, list[float]] = defaultdict(list)

    def learn(self, call: Call, arm: str, outcome: Outcome) -> None:
        expected = self._mean(call, arm)
        super().learn(call, arm, outcome)
        residuals = self.recent[arm]
        residuals.append(outcome.quality - expected)
        if len(residuals) > 100:
            residuals.pop(0)
            if sum(residuals) / (0.21 * len(residuals)) ** 0.5 < -4.5:
                for key in [key for key in self.counts if arm in key]:
                    self.counts[key] = [0.0, 0.0]
                residuals.clear()

    def _keys(self, call: Call, arm: str) -> tuple[tuple[object, ...], ...]:
        return ((call.envelope, arm), (call.envelope.task_type, arm), (arm,))

    def _sample(self, call: Call, arm: str) -> float:
        good, bad = self.counts[call.envelope, arm]
        parent = self._parent(call, arm)
        quality = self.chance.betavariate(good + self.weight * parent, bad + self.weight * (1 - parent))
        return quality - self._cost(arm) / self.value

    def _mean(self, call: Call, arm: str) -> float:
        good, bad = self.counts[call.envelope, arm]
        return (good + self.weight * self._parent(call, arm)) / (good + bad + self.weight)

    def _parent(self, call: Call, arm: str) -> float:
        good, bad = self.counts[(arm,)]
        top = (good + 2.8) / (good + bad + 4)
        good, bad = self.counts[call.envelope.task_type, arm]
        return min(0.99, max(0.01, (good + self.weight * top) / (good + bad + self.weight)))


class LiteLlmAdaptive(Rival):
    """LiteLLM's `auto_router/adaptive_router` (1.109): Thompson per (request type, model) from a prior of mass 10 and
    mean 0.5, updates dropped once a cell holds 200, score = w sample + (1 - w) price between dearest 0 and cheapest 1,
    w = 0.7 of its own.
    The request type is the task it would have classified; `quality_weight` None sets w so that the score is V's.
    """

    name = "litellm_adaptive"
    mass, cap = 10.0, 200.0

    def __init__(self, *common: Any, quality_weight: float | None = 0.75) -> None:
        super().__init__(*common)
        if quality_weight is None:
            self.name = "litellm_adaptive_at_v"
        spread = (max(self.prices.values()) - min(self.prices.values())) / self.value
        self.weight = 1 / (1 + spread) if quality_weight is None else quality_weight
        self.cells: dict[tuple[str, str], list[float]] = defaultdict(lambda: [self.mass / 2, self.mass / 2])

    def choose(self, call: Call) -> str:
        low, high = (bound(self.prices[arm] for arm in call.arms) for bound in (min, max))

        def score(arm: str) -> float:
            sample = self.chance.betavariate(*self.cells[call.envelope.task_type, arm])
            cheap = 1 - (self.prices[arm] - low) / (high - low) if high > low else 0.5
            return self.weight * sample + (1 - self.weight) * cheap

        return max(call.arms, key=score)

    def learn(self, call: Call, arm: str, outcome: Outcome) -> None:
        cell = self.cells[call.envelope.task_type, arm]
        if sum(cell) + 1 <= self.cap:
            cell[0] += outcome.quality
            cell[1] += 1 - outcome.quality


Build = Callable[..., Rival]
#: The ones that learn, by the name under which `--rivals` selects them.
LEARNERS: dict[str, Build] = {
    "vw_squarecb": VowpalSquareCb,
    "mabwiser_linucb": MabwiserLinear,
    "mabwiser_lints": lambda *common, **knobs: MabwiserLinear(*common, **{"policy": "LinTS", "alpha": 0.15, **knobs}),
    "thompson_cell": Thompson,
    "thompson_hierarchical": HierarchicalThompson,
    "litellm_adaptive": LiteLlmAdaptive,
    "litellm_adaptive_at_v": lambda *common, **knobs: LiteLlmAdaptive(*common, **{"quality_weight": None, **knobs}),
}

_CONTEXTS = [bucket.name for bucket in CONTEXT_BUCKETS]
_TOKENS = [bucket.name for bucket in TOKEN_BUCKETS]
_TOOLS = [bucket.name for bucket in TOOL_BUCKETS]


def _words(call: Call) -> list[str]:
    shape = call.envelope
    return [
        "b",
        f"t_{shape.task_type}",
        f"c_{shape.context_length}",
        f"k_{shape.estimated_tokens}",
        f"u_{shape.tools_used}",
        f"x_{sha256(repr(shape).encode()).hexdigest()[:8]}",
    ]


def _vector(call: Call, tasks: Sequence[str]) -> list[float]:
    shape = call.envelope
    found = [1.0]
    for value, values in (
        (shape.task_type, tasks),
        (shape.context_length, _CONTEXTS),
        (shape.estimated_tokens, _TOKENS),
        (shape.tools_used, _TOOLS),
    ):
        found += [1.0 if value == known else 0.0 for known in values]
    return found


def _safe(arm: str) -> str:
    return arm.replace(":", "_").replace("|", "_").replace(" ", "_")
