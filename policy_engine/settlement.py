"""What becomes of a telemetry record: verified against its token, judged field by field, turned into increments.

A record carries up to two fields, `outcome` and `quality`, each counted once per (decision, hop). Whether one was
counted before is not known here; the store that applies the effects finds that out.
Every accepted record ends in one state: applied, duplicate (another record came first), late, rejected (with a reason).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from policy_engine.accounts import Charge, settled
from policy_engine.soundness import CLOCK_SKEW_MS
from policy_engine.statistics import Sums, epoch_of, outcome_sums, quality_sums
from policy_engine.token import SigningKeys, TokenArm, TokenClaims, TokenError, verify
from policy_engine.trials import Tally, TrialLane, outcome_tally, quality_tally
from policy_engine.wire import TelemetryRecord, record_to_wire
from policy_lang.frozen import frozen

__all__ = [
    "DAY_MS",
    "OUTCOME_LIMIT_MS",
    "QUALITY_LIMIT_MS",
    "REDRIVE_LIMIT_MS",
    "CellKey",
    "Effect",
    "Field",
    "LaneTally",
    "MarkerKey",
    "Settlement",
    "State",
    "Telemetry",
    "outcome_record",
    "record_state",
    "settle",
]

Field = Literal["outcome", "quality"]
State = Literal["applied", "duplicate", "late", "rejected"]

DAY_MS = 24 * 3600 * 1000
#: How long after the decision a field still teaches; from then on it is recorded as late.
OUTCOME_LIMIT_MS = DAY_MS
QUALITY_LIMIT_MS = 35 * DAY_MS
# A marker must outlive every way a message can come back: 14 days in its queue and the dead-letter queue, redriven at
# the last moment, and as long again.
_REDELIVERY_MS = 29 * DAY_MS
#: How long after its acceptance a report may still be redriven: its queue, which keeps a message for four days, must be
#: done with it before its markers go.
REDRIVE_LIMIT_MS = _REDELIVERY_MS - 4 * DAY_MS


@frozen
class Telemetry:
    """A record as `ingest` accepted it. `tenant` is the authenticated sender, `record_id` is unique per acceptance."""

    tenant: str
    record_id: str
    received_ms: int
    record: TelemetryRecord


@frozen
class MarkerKey:
    """What is counted at most once."""

    tenant: str
    decision_id: str
    hop: int
    field: Field


@frozen
class CellKey:
    """The statistics item that a field adds to."""

    tenant: str
    cluster: str
    task: str
    arm: str
    generation: int
    epoch: int


@frozen
class LaneTally:
    """What a field adds to a lane of a trial."""

    lane: TrialLane
    sums: Tally


@frozen
class Effect:
    """One field of one record: the marker that makes it count once, and what it adds. `expires_ms`: of the marker.

    `charges`: what the decision's accounts are to be charged beyond what was expected, or less than nothing; `day` is
    the decision's (UTC, since 1970). `tally`: what it adds to the lane that a stop-loss watches, where the decision was
    drawn for one.
    """

    marker: MarkerKey
    record_id: str
    cell: CellKey
    sums: Sums
    charges: tuple[Charge, ...]
    day: int
    expires_ms: int
    tally: LaneTally | None = None


@frozen
class Settlement:
    """A judged record. Either `reason` says why it is rejected, or every field is in `effects` or in `late`."""

    telemetry: Telemetry
    claims: TokenClaims | None = None
    cost_nanodollars: int | None = None
    effects: tuple[Effect, ...] = ()
    late: tuple[Field, ...] = ()
    reason: str | None = None


def settle(telemetry: Telemetry, keys: SigningKeys) -> Settlement:
    """Judge one record. Reasons to reject: malformed_token, bad_signature, foreign_tenant, unknown_arm, and
    decided_later: by the decision's clock it is yet to be made, so its weight would outgrow every honest one.
    """
    record = telemetry.record
    try:
        claims = verify(record.token, keys)
    except TokenError as problem:
        return Settlement(telemetry, reason=problem.code)
    # The claims are withheld from here on: one tenant's records never show what another one's decisions were.
    if claims.tenant != telemetry.tenant:
        return Settlement(telemetry, reason="foreign_tenant")
    arm = next((arm for arm in claims.arms if arm.arm == record.arm), None)
    if arm is None:
        return Settlement(telemetry, claims, reason="unknown_arm")
    age = telemetry.received_ms - claims.at_ms
    if age < -CLOCK_SKEW_MS:
        return Settlement(telemetry, claims, reason="decided_later")
    cost = _cost(arm, record)
    effects, late = [], []
    for field, limit in _reported(record):
        if age > limit:
            late.append(field)
        else:
            effects.append(_effect(telemetry, claims, arm, field, limit, cost))
    return Settlement(telemetry, claims, cost, tuple(effects), tuple(late))


def record_state(settlement: Settlement, fields: Mapping[Field, State]) -> State:
    """The one state of a record, for counting: its best field's, in the order applied, duplicate, late."""
    if settlement.reason is not None:
        return "rejected"
    found = set(fields.values())
    return "applied" if "applied" in found else "duplicate" if "duplicate" in found else "late"


def outcome_record(settlement: Settlement, fields: Mapping[Field, State]) -> dict[str, Any]:
    """What is kept of a record for ever. `fields` says what became of each; sums over `cost_nanodollars` take only
    records whose `fields.outcome` is `applied`."""
    told = settlement.telemetry
    document = record_to_wire(told.record)
    del document["token"]
    document |= {
        "format": 1,
        "record_id": told.record_id,
        "tenant": told.tenant,
        "received_ms": told.received_ms,
        "state": record_state(settlement, fields),
        "fields": dict(fields),
    }
    if "quality" in document:
        del document["quality"]
        document["quality_ppm"] = told.record.quality_ppm
    if settlement.reason is not None:
        document["reason"] = settlement.reason
    if (claims := settlement.claims) is not None:
        document |= {
            "decision_id": claims.decision_id,
            "at_ms": claims.at_ms,
            "cluster": claims.cluster,
            "task": claims.task,
            "route": claims.route,
            "explored": claims.explored,
            "propensity_ppm": claims.propensity_ppm,
        }
        if claims.decided is not None:
            document |= {"mode": "shadow", "decided": claims.decided}
    if settlement.cost_nanodollars is not None:
        document["cost_nanodollars"] = settlement.cost_nanodollars
    return document


def _reported(record: TelemetryRecord) -> list[tuple[Field, int]]:
    reported: list[tuple[Field, int]] = []
    if record.outcome is not None:
        reported.append(("outcome", OUTCOME_LIMIT_MS))
    if record.quality_ppm is not None:
        reported.append(("quality", QUALITY_LIMIT_MS))
    return reported


def _effect(
    telemetry: Telemetry, claims: TokenClaims, arm: TokenArm, field: Field, limit_ms: int, cost: int | None
) -> Effect:
    record, at_ms = telemetry.record, claims.at_ms
    charges: tuple[Charge, ...] = ()
    if field == "outcome":
        sums = outcome_sums(record, at_ms, claims.trips) | ({"k": cost} if cost else {})
        charges = settled(claims.charges, record, cost)
    else:
        assert record.quality_ppm is not None
        sums = quality_sums(record.quality_ppm, at_ms)
    return Effect(
        marker=MarkerKey(claims.tenant, claims.decision_id, record.hop, field),
        record_id=telemetry.record_id,
        cell=CellKey(claims.tenant, claims.cluster, claims.task, arm.arm, arm.generation, epoch_of(at_ms)),
        sums=sums,
        charges=charges,
        day=at_ms // DAY_MS,
        expires_ms=at_ms + limit_ms + _REDELIVERY_MS,
        tally=_tally(claims, record, field),
    )


def _tally(claims: TokenClaims, record: TelemetryRecord, field: Field) -> LaneTally | None:
    if claims.trial is None:
        return None
    sums = outcome_tally(record) if field == "outcome" else quality_tally(record.quality_ppm or 0)
    return LaneTally(claims.trial, sums) if sums else None


def _cost(arm: TokenArm, record: TelemetryRecord) -> int | None:
    """Nano-dollars of the hop at the prices of its decision; None where the tokens were not reported."""
    if record.input_tokens is None or record.output_tokens is None:
        return None
    cached = (record.cached_read_tokens or 0, record.cached_write_tokens or 0)
    return arm.cost_nanodollars(record.input_tokens, record.output_tokens, *cached)
