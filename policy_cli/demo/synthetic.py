"""A hidden, seeded world of models: how often each succeeds at each task, how fast, how wordy. Routing has to find out.

Every number hangs on a hash of (seed, what it is about), so any arm can be asked what it would have made of any call.
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha256
from typing import get_args

from policy_cli.demo.calls import Call, Result
from policy_lang.catalog import Model
from policy_lang.vocabulary import OUTCOMES, Outcome

__all__ = ["SyntheticWorld", "drawn"]

_PROVIDER_FAULTS: tuple[Outcome, ...] = ("rate_limited", "timeout", "unavailable")
_MODEL_FAULTS = tuple(name for name in get_args(Outcome) if OUTCOMES[name] == "model")
_FAULT_RATE = 0.006
_GRADED_SHARE = 0.25


def drawn(*about: object) -> float:
    """A number in [0, 1) that hangs on `about` alone."""
    return int.from_bytes(sha256("/".join(map(str, about)).encode()).digest()[:8]) / 2**64


class SyntheticWorld:
    """Dearer models are better on the whole; how much, and where a cheap one is as good, is the seed's secret."""

    def __init__(self, models: Iterable[Model], seed: int) -> None:
        self._seed = seed
        self._models = {model.arm: model for model in models}
        by_price = sorted(self._models.values(), key=lambda model: (model.price_out, model.price_in, model.arm))
        steps = max(1, len(by_price) - 1)
        self._rank = {model.arm: place / steps for place, model in enumerate(by_price)}

    def success_rate(self, task: str, arm: str) -> float:
        """P(ok | the provider answers). A model is up to a task or it is not; dear ones more often are."""
        slips = self._drawn("slips", task, arm)
        able = self._drawn("able", task, arm) < 0.5 + 0.45 * self._rank[arm]
        return 1 - (0.002 + 0.013 * slips if able else 0.06 + 0.3 * slips)

    def result(self, call: Call, arm: str) -> Result:
        about = (call.key, call.number, arm)
        first_token, total, answer = self._timing(call, arm)
        if self._drawn("fault", *about) < _FAULT_RATE:
            return Result(self._one_of(_PROVIDER_FAULTS, *about), 0.0, 0, latency_ms=first_token)
        model = self._models[arm]
        ok = self._drawn("success", *about) < self.success_rate(call.envelope.task_type, arm)
        quality = 1.0 if ok else 0.0
        if graded := self._drawn("graded", call.key, call.number) < _GRADED_SHARE:
            worth = self._drawn("worth", *about)
            quality = round(0.85 + 0.15 * worth if ok else 0.5 * worth, 3)
        return Result(
            outcome="ok" if ok else self._one_of(_MODEL_FAULTS, *about),
            quality=quality,
            cost_nanodollars=(call.input_tokens * model.price_in + answer * model.price_out + 500) // 1000,
            input_tokens=call.input_tokens,
            output_tokens=answer,
            latency_ms=total,
            ttft_ms=first_token,
            graded=graded,
        )

    def _timing(self, call: Call, arm: str) -> tuple[int, int, int]:
        """Milliseconds to the first token, to the last, and the tokens of the answer."""
        wordiness = 0.7 + 0.6 * self._drawn("wordiness", arm)
        answer = max(1, round(call.output_tokens * wordiness))
        jitter = 0.6 + 0.8 * self._drawn("jitter", call.key, call.number, arm) ** 3 * 2
        first = (120 + 700 * self._rank[arm] * self._drawn("start", arm) + call.input_tokens / 60) * jitter
        per_second = 40 + 140 * (1 - self._rank[arm] * self._drawn("speed", arm))
        return round(first), round(first + 1000 * answer / per_second * jitter), answer

    def _one_of(self, outcomes: tuple[Outcome, ...], *about: object) -> Outcome:
        return outcomes[int(self._drawn("kind", *about) * len(outcomes))]

    def _drawn(self, *about: object) -> float:
        return drawn(self._seed, *about)
