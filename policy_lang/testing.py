"""What a policy says about itself, for `pointsman test`: envelopes, named statistics, expected decisions.

Tests are no part of the policy: they do not enter the IR or its fingerprint.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from policy_lang.diagnostics import Span
from policy_lang.envelope import Envelope
from policy_lang.frozen import frozen

__all__ = ["SUBJECTS", "Evidence", "Expectation", "PolicyTest"]

Subject = Literal["route", "tier", "model", "candidate", "floor", "status"]
#: What `expect` may speak about. candidate: an arm that survives every gate. model: the one that serves.
SUBJECTS: tuple[Subject, ...] = ("route", "tier", "model", "candidate", "floor", "status")


@frozen
class Evidence:
    """What one arm did on one task, in every shape of it: outcomes counted, mean quality over all of them, p95s."""

    arm: str
    task: str
    outcomes: Mapping[str, int]
    quality_ppm: int | None
    ttft_p95_ms: int | None
    latency_p95_ms: int | None
    span: Span


@frozen
class Expectation:
    """`subject` is one of `values`, or with `holds` False none of them; models as arm ids."""

    subject: Subject
    holds: bool
    values: tuple[str, ...]
    span: Span


@frozen
class PolicyTest:
    """One `test`: the call, what was learned before it, what is expected of the decision.

    `attributes` holds declared attributes by name. Without statistics nothing was learned yet.
    """

    name: str
    envelope: Envelope
    org: str | None
    team: str | None
    product: str | None
    attributes: Mapping[str, str]
    statistics: tuple[Evidence, ...]
    expectations: tuple[Expectation, ...]
    span: Span
