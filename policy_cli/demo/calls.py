"""What a demo is made of: policies to publish, calls to route, and a world that knows what every arm would do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from policy_lang.catalog import Model
from policy_lang.envelope import Envelope
from policy_lang.frozen import frozen
from policy_lang.vocabulary import Outcome

__all__ = ["START_MS", "Call", "PolicyText", "Result", "Scenario", "ScenarioError", "World"]

#: Where every virtual clock starts: 2026-01-01T00:00:00Z.
START_MS = 1_767_225_600_000


class ScenarioError(ValueError):
    """The input of a demo cannot be used; the message says what would be accepted."""


@frozen
class PolicyText:
    """One policy of one tenant, as written."""

    tenant: str
    name: str
    source: str
    origin: str


@frozen
class Call:
    """One LLM call that wants a model. `key` is what the world knows it by; tokens of the prompt and of the answer."""

    number: int
    at_ms: int
    tenant: str
    policy: str
    envelope: Envelope
    key: str
    input_tokens: int = 0
    output_tokens: int = 0
    org: str | None = None


@frozen
class Result:
    """What one arm makes of one call. `quality` 0..1 is what the answer is worth; `graded`: the caller reports it."""

    outcome: Outcome
    quality: float
    cost_nanodollars: int
    input_tokens: int | None = None
    output_tokens: int | None = None
    latency_ms: int | None = None
    ttft_ms: int | None = None
    graded: bool = False


class World(Protocol):
    """The truth that routing has to find out. Fixed: the same call and arm always come to the same result."""

    def result(self, call: Call, arm: str) -> Result: ...


@dataclass(frozen=True, slots=True)
class Scenario:
    """`arms`: the single models to compare with, where all of them could serve every call; empty elsewhere.

    `value_nanodollars`: what a success is worth, for net utility = quality - cost / value. `notes`: what was left out
    or derived, for the reader.
    """

    title: str
    policies: tuple[PolicyText, ...]
    calls: Sequence[Call]
    world: World
    overlay: tuple[Model, ...] = ()
    arms: tuple[str, ...] = ()
    value_nanodollars: int | None = None
    notes: tuple[str, ...] = field(default=())
