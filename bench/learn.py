"""Transactions and write units of `learn`, counted from the requests it sends: Zipf traffic over 30 cells.

    python bench/learn.py [events]

A client reports in batches of ten, which become a message each; the event source hands over one message or several at a
time. Exits with 1 where batches of 100 events and more need more than 60 transactions per 1,000 events or more than 3
write units an event. Cells are billed at the size they have in the end. An invocation cannot do with less than one
transaction, nor an event with less than two units: its marker, doubled by the transaction.
"""

from __future__ import annotations

import sys
from random import Random

from metering import Metered

from policy_engine.token import TokenArm, TokenClaims, mint

MOST_TRANSACTIONS = 60
MOST_UNITS = 3.0
CELLS = 30
#: (records in a message, messages in a batch)
BATCHES = ((1, 1), (1, 10), (10, 1), (1, 100), (10, 10), (10, 100))


def main(events: int = 4_000) -> int:
    print(f"{'records x messages':20}{'events':>8}{'transactions / 1,000':>22}{'write units / event':>21}")
    held = True
    with Metered() as cloud:
        for records, messages in BATCHES:
            transactions, units, count = learned(cloud, records, messages, events)
            print(f"{f'{records} x {messages}':20}{count:8}{transactions:22.1f}{units:21.2f}")
            if records * messages >= 100:
                held &= transactions <= MOST_TRANSACTIONS and units <= MOST_UNITS
    verdict = "held" if held else "NOT held"
    print(f"from 100 events on: at most {MOST_TRANSACTIONS} and {MOST_UNITS:.0f}; {verdict}")
    return 0 if held else 1


def learned(cloud: Metered, records: int, messages: int, events: int) -> tuple[float, float, int]:
    """Transactions per 1,000 events and write units an event, and how many events it was measured on."""
    from functions.stores.secrets import keys_from_secret

    secret = cloud.resources.client("secretsmanager").get_secret_value(SecretId=cloud.resources.name("SigningSecret"))
    keys = keys_from_secret(secret["SecretString"])
    chance = Random(f"{records} {messages}")
    count = max(events // (records * messages), 1) * records * messages
    made = [decided(chance, cloud.now_ms, f"{records:04x}{messages:04x}{number:024x}") for number in range(count)]
    told = [reported(chance, mint(claims, keys), claims.arms[0].arm) for claims in made]
    for first in range(0, count, records):
        cloud.post("IngestFunction", "/v1/telemetry", {"records": told[first : first + records]})
    cloud.start_counting()
    while cloud.deliver("LearnFunction", messages):
        pass
    used = cloud.totals()["LearnFunction"]
    sent = used.calls["dynamodb.TransactWriteItems"]
    return 1000 * sent / count, used.units["dynamodb write units"] / count, count


def decided(chance: Random, now_ms: int, decision_id: str) -> TokenClaims:
    """A decision in one of the cells, the n-th n times as rare as the first; one in twenty explored."""
    (cell,) = chance.choices(range(CELLS), [1 / rank for rank in range(1, CELLS + 1)])
    arm = TokenArm(f"provider-{cell % 3}/model-with-a-usual-name-{cell % 8}", 0, 250_000, 2_000_000, 25_000, 250_000)
    cluster = f"{cell // 8:02x}" + "ab" * 9
    explored = chance.random() < 0.05
    return TokenClaims("bench", decision_id, cluster, "label", "general", (arm,), 950_000, explored, now_ms)


def reported(chance: Random, token: str, arm: str) -> dict[str, object]:
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
