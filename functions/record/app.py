"""Records queue to S3: receipts and outcome records, filed by tenant, kind and hour as compressed JSON Lines."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

from functions.observability import observe
from functions.settings import RecordSettings, load, running_in_lambda
from functions.stores import clients
from functions.stores.errors import StoreError
from functions.stores.messages import MessageError, RecordLines, unpack_lines
from functions.stores.queues import DeadLetters
from functions.stores.records import Records
from policy_engine.receipt import ReceiptError, open_sealed

__all__ = ["Recorder", "handler"]

_HOUR_MS = 3_600_000
_FOLDERS = {"receipt": "receipts", "outcome": "outcomes"}


class Recorder:
    """Files batches. An object's key comes from the messages in it; readers count a record by its id, because a message
    that is delivered again in other company is filed again.
    """

    def __init__(self, records: Records, dead: DeadLetters) -> None:
        self._records = records
        self._dead = dead

    def file(self, event: Mapping[str, Any]) -> dict[str, Any]:
        """Write one object per tenant, kind and hour; the answer names the messages to deliver again.

        What is not a whole and unaltered batch is set aside with the reason.
        """
        failed: dict[str, str] = {}
        poison: dict[str, str] = {}
        written: Counter[str] = Counter()
        found = _sorted_out(event["Records"], poison)
        for message in event["Records"]:
            if (reason := poison.get(message["messageId"])) and (kept := self._dead.take(message, reason)):
                failed[message["messageId"]] = kept
        for (tenant, kind, hour), batches in found.items():
            lines = [line for batch in batches.values() for line in batch.lines]
            try:
                self._records.write(tenant, _FOLDERS[kind], hour * _HOUR_MS, batches, lines)
            except StoreError as outage:
                failed |= dict.fromkeys(batches, outage.code)
            else:
                written[kind] += len(lines)
        counts = {"ReceiptsWritten": written["receipt"], "OutcomesWritten": written["outcome"]}
        facts: dict[str, Any] = dict(written)
        if failed:
            facts["failed"] = failed
            counts["MessagesFailed"] = len(failed)
        if poison:
            facts["poison"] = poison
            counts["MessagesPoisoned"] = len(poison)
        observe("record", "recorded", counts, facts, failed=bool(failed or poison))
        return {"batchItemFailures": [{"itemIdentifier": message} for message in failed]}


def handler(event: Mapping[str, Any], _context: object) -> dict[str, Any]:
    """SQS entry."""
    return recorder().file(event)


@cache
def recorder() -> Recorder:
    """The environment's recorder, built from its settings."""
    settings = load(RecordSettings)
    return Recorder(
        Records(clients.patient("s3"), settings.records_bucket),
        DeadLetters(clients.patient("sqs"), settings.records_dead_letter_queue_url),
    )


def _sorted_out(
    messages: Iterable[Mapping[str, Any]], bad: dict[str, str]
) -> dict[tuple[str, str, int], dict[str, RecordLines]]:
    """Batches by message id under (tenant, kind, hour); what is not a whole and unaltered batch goes to `bad`."""
    found: dict[tuple[str, str, int], dict[str, RecordLines]] = defaultdict(dict)
    for message in messages:
        try:
            batch = unpack_lines(message["body"])
            _check(batch)
        except (MessageError, ReceiptError) as poison:
            bad[message["messageId"]] = str(poison)
        else:
            found[batch.tenant, batch.kind, batch.at_ms // _HOUR_MS][message["messageId"]] = batch
    return found


def _check(batch: RecordLines) -> None:
    for line in batch.lines:
        tenant = open_sealed(line)["tenant"] if batch.kind == "receipt" else _outcome_tenant(line)
        if tenant != batch.tenant:
            raise MessageError("a line belongs to another tenant than its message")


def _outcome_tenant(line: str) -> Any:
    try:
        return json.loads(line)["tenant"]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise MessageError("a line is not an outcome record") from None


if running_in_lambda():
    recorder()
