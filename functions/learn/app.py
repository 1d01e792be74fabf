"""Telemetry queue to statistics, exactly once, and to an outcome record for every record ever accepted."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from functions.learn.news import News
from functions.observability import observe
from functions.settings import LearnSettings, load, running_in_lambda
from functions.stores import clients
from functions.stores.errors import ConflictError, StoreError
from functions.stores.invocations import Callee
from functions.stores.messages import MessageError, RecordLines, pack_lines, split_lines, unpack_telemetry
from functions.stores.queues import DeadLetters, Queue
from functions.stores.secrets import KeyRing
from functions.stores.statistics import StatisticsStore
from functions.stores.transactions import transactions
from policy_engine.settlement import (
    Effect,
    Field,
    MarkerKey,
    Settlement,
    State,
    Telemetry,
    outcome_record,
    record_state,
    settle,
)
from policy_lang.vocabulary import OUTCOMES

__all__ = ["Learner", "handler"]


@dataclass(slots=True)
class _Batch:
    """One delivery: settlements by message id; messages given up and messages that must come again, with why."""

    settled: dict[str, list[Settlement]] = field(default_factory=dict)
    poison: dict[str, str] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)

    def remaining(self) -> list[Settlement]:
        """Settlements of messages that have not failed, one per record even if a message came twice in the batch."""
        kept = (found for message, found in self.settled.items() if message not in self.failed)
        return list({each.telemetry.record_id: each for found in kept for each in found}.values())


class Learner:
    """Applies batches of telemetry.

    Powertools' BatchProcessor hands over one message at a time; here the batch is one unit, because grouping it by cell
    before writing is what keeps the cost per record low. Its contract is kept by hand: what failed, and only that, is
    named in `batchItemFailures`. A message is acknowledged after its effects and its outcome records are durable, or
    after it has been set aside with the reason why it can have neither.
    """

    def __init__(
        self, statistics: StatisticsStore, outcomes: Queue, dead: DeadLetters, keys: KeyRing, news: News
    ) -> None:
        self._statistics = statistics
        self._outcomes = outcomes
        self._dead = dead
        self._keys = keys
        self._news = news

    def absorb(self, event: Mapping[str, Any]) -> dict[str, Any]:
        """Learn from one SQS event; the answer names the messages to deliver again."""
        batch = self._judged(event["Records"])
        owners = self._applied(batch)
        states = {each.telemetry.record_id: _field_states(each, owners) for each in batch.remaining()}
        self._recorded(batch, states)
        # Asked again: if the outcome records could not be queued, all of it is counted when the batch comes again.
        kept = batch.remaining()
        told = [each for each in kept if states[each.telemetry.record_id].get("outcome") == "applied"]
        asked = self._news.heard(each.telemetry for each in told)
        _report(batch, {each.telemetry.record_id: states[each.telemetry.record_id] for each in kept}, told, asked)
        return {"batchItemFailures": [{"itemIdentifier": message} for message in batch.failed]}

    def _judged(self, messages: Iterable[Mapping[str, Any]]) -> _Batch:
        batch = _Batch()
        accepted: dict[str, list[Telemetry]] = {}
        for message in messages:
            try:
                accepted[message["messageId"]] = unpack_telemetry(message["body"])
            except MessageError as poison:
                kept = self._dead.take(message, str(poison))
                (batch.failed if kept else batch.poison)[message["messageId"]] = kept or str(poison)
        if accepted:
            newest_ms = max(each.received_ms for telemetry in accepted.values() for each in telemetry)
            try:
                keys = self._keys.at(newest_ms)
            except StoreError as outage:
                batch.failed |= dict.fromkeys(accepted, outage.code)
            else:
                batch.settled = {name: [settle(each, keys) for each in told] for name, told in accepted.items()}
        return batch

    def _applied(self, batch: _Batch) -> dict[MarkerKey, str]:
        """Commit every effect; of several records for one marker the first that was delivered is tried."""
        effects: dict[MarkerKey, Effect] = {}
        messages: dict[MarkerKey, set[str]] = defaultdict(set)
        for message, settlements in batch.settled.items():
            for effect in (effect for each in settlements for effect in each.effects):
                effects.setdefault(effect.marker, effect)
                messages[effect.marker].add(message)
        owners: dict[MarkerKey, str] = {}
        down: StoreError | None = None
        for group in transactions(list(effects.values()), {}):
            # A table that is down is asked once: each further group would wait in vain until the function is stopped.
            if down is None:
                try:
                    owners |= self._statistics.commit(group)
                    continue
                except ConflictError as lost:
                    batch.failed |= _coming_again(group, messages, lost)
                    continue
                except StoreError as outage:
                    down = outage
            batch.failed |= _coming_again(group, messages, down)
        return owners

    def _recorded(self, batch: _Batch, states: Mapping[str, Mapping[Field, State]]) -> None:
        """Send an outcome record per record towards S3; if that fails, the whole batch comes again."""
        lines: dict[tuple[str, int], list[str]] = defaultdict(list)
        for each in batch.remaining():
            told = each.telemetry
            hour_ms = told.received_ms - told.received_ms % 3_600_000
            document = outcome_record(each, states[told.record_id])
            lines[told.tenant, hour_ms].append(json.dumps(document, separators=(",", ":")))
        pieces = [
            piece
            for (tenant, hour_ms), found in lines.items()
            for piece in split_lines(RecordLines(tenant, "outcome", hour_ms, tuple(found)))
        ]
        try:
            self._outcomes.send_all([pack_lines(piece) for piece in pieces])
        except StoreError as outage:
            batch.failed |= dict.fromkeys(batch.settled, outage.code)


def handler(event: Mapping[str, Any], _context: object) -> dict[str, Any]:
    """SQS entry."""
    return learner().absorb(event)


@cache
def learner() -> Learner:
    """The environment's learner, built from its settings."""
    settings = load(LearnSettings)
    sqs = clients.patient("sqs")
    return Learner(
        StatisticsStore(clients.patient("dynamodb"), settings.statistics_table),
        Queue(sqs, settings.records_queue_url, "records_unavailable"),
        DeadLetters(sqs, settings.telemetry_dead_letter_queue_url),
        KeyRing(clients.patient("secretsmanager"), settings.signing_secret_arn),
        # Telemetry does not wait for long to be told that nobody can look at it now.
        News(Callee(clients.impatient("lambda"), settings.watch_function_arn)),
    )


def _coming_again(group: Iterable[Effect], messages: Mapping[MarkerKey, set[str]], why: StoreError) -> dict[str, str]:
    return {message: f"{why.code}: {why.cause}" for effect in group for message in messages[effect.marker]}


def _field_states(settlement: Settlement, owners: Mapping[MarkerKey, str]) -> dict[Field, State]:
    states: dict[Field, State] = dict.fromkeys(settlement.late, "late")
    for effect in settlement.effects:
        states[effect.marker.field] = "applied" if owners[effect.marker] == effect.record_id else "duplicate"
    return states


def _report(
    batch: _Batch,
    states: Mapping[str, Mapping[Field, State]],
    told: Sequence[Settlement],
    asked: Mapping[str, Any],
) -> None:
    """`told`: the records whose outcome was applied. `asked`: facts of the looks that were asked for."""
    found = Counter(record_state(each, states[each.telemetry.record_id]) for each in batch.remaining())
    counts = {f"Telemetry{state.capitalize()}": found[state] for state in ("applied", "duplicate", "late", "rejected")}
    facts: dict[str, Any] = {"messages": len(batch.settled), **asked}
    if batch.failed:
        facts["failed"] = batch.failed
        counts["MessagesFailed"] = len(batch.failed)
    if batch.poison:
        facts["poison"] = batch.poison
        counts["MessagesPoisoned"] = len(batch.poison)
    observe(
        "learn",
        "learned",
        counts | _outcome_counts(told),
        facts,
        failed=bool(batch.failed or batch.poison),
        milliseconds={"Latency": [ms for each in told if (ms := each.telemetry.record.latency_ms) is not None]},
    )


def _outcome_counts(told: Sequence[Settlement]) -> dict[str, int]:
    """What the dashboard's rates are made of, over the records whose outcome was applied."""
    records = [each.telemetry.record for each in told]
    return {
        "FirstHops": sum(record.hop == 0 for record in records),
        "LaterHops": sum(record.hop > 0 for record in records),
        "ModelFaults": sum(OUTCOMES[record.outcome] == "model" for record in records if record.outcome),
        "CostMicrodollars": sum(each.cost_nanodollars or 0 for each in told) // 1000,
    }


if running_in_lambda():
    learner()
