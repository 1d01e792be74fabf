"""Transactions and write units of `learn`, counted from the requests it sends: Zipf traffic over 30 cells.

    python bench/learn.py [events]

Decisions come at a steady rate, with the packing that `watch` would give their tenant. Each is reported when its call
ends, by clients that put `records` into a message; the event source hands over `messages` at a time. Where several
consumers share the queue, one is measured, with its share of the messages. Exits with 1 where batches of 100 events and
more need more than 60 transactions per 1,000 events, or batches of ten and more above 3 write units an event. Items are
billed at the size they have in the end.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from random import Random
from typing import Any

from metering import Metered

from policy_engine.decision import decision_id_for
from policy_engine.packing import packed, packing_for
from policy_engine.token import TokenArm, TokenClaims, mint

MOST_TRANSACTIONS = 60
MOST_UNITS = 3.0
CELLS = 30


@dataclass(frozen=True)
class Traffic:
    """Decisions a second, over all `consumers`; records in a message, messages in a batch."""

    rate: int
    records: int
    messages: int
    consumers: int = 1

    @property
    def batch(self) -> int:
        return self.records * self.messages


@dataclass(frozen=True)
class Learned:
    """What it took: `hottest` is how often, per 1,000 events, a transaction updated the item that most did."""

    events: int
    transactions: float
    write_units: float
    hottest: float


#: With the template's window of ten seconds, and batches that are smaller than what then waits.
TRAFFIC = (
    Traffic(1, 1, 1),
    Traffic(10, 1, 10),
    Traffic(10, 10, 1),
    Traffic(10, 1, 100),
    Traffic(10, 10, 10),
    Traffic(100, 10, 100),
    Traffic(1_000, 10, 100, 2),
    Traffic(100_000, 10, 100, 120),
)


def main(events: int = 4_000) -> int:
    print(
        f"{'decisions/s':>12}{'records x messages':>20}{'consumers':>11}"
        f"{'transactions / 1,000':>22}{'write units / event':>21}"
    )
    held = True
    with Metered() as cloud:
        for traffic in TRAFFIC:
            found = learned(cloud, traffic, events)
            size = f"{traffic.records} x {traffic.messages}"
            print(
                f"{traffic.rate:12,}{size:>20}{traffic.consumers:11}{found.transactions:22.1f}{found.write_units:21.2f}"
            )
            held &= traffic.batch < 100 or found.transactions <= MOST_TRANSACTIONS
            held &= traffic.batch < 10 or found.write_units <= MOST_UNITS
    verdict = "held" if held else "NOT held"
    print(f"at most {MOST_TRANSACTIONS} from 100 events on, at most {MOST_UNITS:.0f} units from ten on; {verdict}")
    return 0 if held else 1


def learned(cloud: Metered, traffic: Traffic, events: int) -> Learned:
    """Work off as many events of `traffic` as fill whole batches."""
    from functions.stores.secrets import keys_from_secret

    secret = cloud.resources.client("secretsmanager").get_secret_value(SecretId=cloud.resources.name("SigningSecret"))
    keys = keys_from_secret(secret["SecretString"])
    chance = Random(f"{traffic}")
    count = max(events // traffic.batch, 1) * traffic.batch
    packing = packing_for(traffic.rate * 60, 60_000)
    told = []
    for number in range(count):
        at_ms = cloud.now_ms + 1000 * number * traffic.consumers // traffic.rate
        claims = decided(chance, at_ms, packed(decision_id_for(at_ms, f"{traffic} {number}".encode()), packing))
        report = reported(chance, mint(claims, keys), claims.arms[0].arm)
        told.append((at_ms + report["latency_ms"], number, report))
    cloud.now_ms = max(ended_ms for ended_ms, _, _ in told)
    records = [report for _, _, report in sorted(told)]
    for first in range(0, count, traffic.records):
        cloud.post("IngestFunction", "/v1/telemetry", {"records": records[first : first + traffic.records]})
    cloud.start_counting()
    while cloud.deliver("LearnFunction", traffic.messages):
        pass
    hottest = cloud.most_updated("LearnFunction")
    used = cloud.totals()["LearnFunction"]
    sent = used.calls["dynamodb.TransactWriteItems"]
    return Learned(count, 1000 * sent / count, used.units["dynamodb write units"] / count, 1000 * hottest / count)


def decided(chance: Random, now_ms: int, decision_id: str) -> TokenClaims:
    """A decision in one of the cells, the n-th n times as rare as the first; one in twenty explored."""
    (cell,) = chance.choices(range(CELLS), [1 / rank for rank in range(1, CELLS + 1)])
    arm = TokenArm(f"provider-{cell % 3}/model-with-a-usual-name-{cell % 8}", 0, 250_000, 2_000_000, 25_000, 250_000)
    cluster = f"{cell // 8:02x}" + "ab" * 9
    explored = chance.random() < 0.05
    return TokenClaims("bench", decision_id, cluster, "label", "general", (arm,), 950_000, explored, now_ms)


def reported(chance: Random, token: str, arm: str) -> dict[str, Any]:
    """What a caller tells of a call that went as usual, or failed as one in ten does."""
    return {
        "token": token,
        "arm": arm,
        "hop": 0,
        "outcome": "ok" if chance.random() < 0.9 else "wrong",
        "input_tokens": chance.randint(200, 4_000),
        "output_tokens": chance.randint(10, 800),
        "latency_ms": round(chance.lognormvariate(7, 0.8)),
        "ttft_ms": round(chance.lognormvariate(6, 0.6)),
    }


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))
