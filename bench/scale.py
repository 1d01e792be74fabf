"""The arithmetic of docs/scale.md: what the counted profile comes to at 10, 1,000 and 100,000 decisions a second.

    python bench/cost.py --scale

Every number follows from bench/profile.json, the prices, the template and the limits below; nothing is measured here.
Batches fill with the rate, so write units and transactions an event are those that bench/learn.py counts at that rate.
One busy tenant is assumed: it is the worst case for keys, and the best for objects.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

RATES = (10, 1_000, 100_000)
DAY_S, MONTH_S = 86_400, 730 * 3600
GB = 1 << 30

#: Limits of AWS, as they are before anybody asks for more.
PARTITION_WRITE_UNITS = 1_000
TABLE_WRITE_UNITS = 40_000
ACCOUNT_CONCURRENCY = 1_000
REQUESTS_PER_ENVIRONMENT = 10
IN_FLIGHT_MESSAGES = 120_000
#: Seconds that a transaction holds its items, assumed; two that meet conflict, and one of them tries again.
TRANSACTION_S = 0.02
OUTAGE_S = 600
ATHENA_USD_PER_TB = 5.0

Row = tuple[str, Callable[["Load"], str]]


class Load:
    """The profile at one rate; all properties are per second unless their name says otherwise."""

    def __init__(self, rate: int, profile: Mapping[str, Any], terms: Mapping[str, Any]) -> None:
        self.rate, self.terms = rate, terms
        self._functions = profile["per_million"]
        #: Records that the event source can have together when its window closes, at most what a batch holds.
        self.batch = min(max(10, rate * terms["learn_window_s"]), 10 * terms["learn_messages"])
        self.learned = profile["learn"][str(rate)]
        self.transactions = rate * self.learned["transactions"] / 1000
        self.write_units = rate * self.learned["write_units"]

    def concurrency(self, function: str) -> float:
        """Environments busy on average; a Function URL's environment also takes at most ten requests a second."""
        counts = self._functions[function]
        invocations = counts["invocations"] / 1e6 * self.rate
        return float(max(self.terms["duration_s"][function] * invocations, invocations / REQUESTS_PER_ENVIRONMENT))

    def consumers(self, function: str) -> float:
        """Environments that a queue's consumer needs with full batches."""
        return float(self.rate * self.terms["consumer_s"][function])

    @property
    def hottest(self) -> float:
        """Transactions on the most frequent of 30 cells."""
        return self.rate * float(self.learned["hottest"]) / 1000

    @property
    def in_flight(self) -> float:
        """Receipts that were handed to a batch, waiting for it to fill or being filed."""
        filled_s: float = min(self.terms["record_window_s"], self.terms["record_messages"] / self.rate)
        return self.rate * (filled_s + filled_s * self.consumers("RecordFunction"))

    @property
    def objects_a_day(self) -> float:
        """Two objects, receipts and outcomes, for every batch of the records queue."""
        batch: float = min(self.rate * self.terms["record_window_s"], self.terms["record_messages"])
        return 2 * self.rate / batch * DAY_S

    def bytes_a_day(self, unit: str) -> float:
        units: float = sum(counts["units"].get(unit, 0) for counts in self._functions.values())
        return units / 1e6 * self.rate * DAY_S

    @property
    def usd_a_million(self) -> float:
        """The bill of the profile, with the write units and objects of this rate's batches."""
        bill = {part.name: part for part in self.terms["bill"]}
        fixed = sum(part.usd for name, part in bill.items() if name not in ("DynamoDB: write units", "S3: PUTs"))
        written = bill["DynamoDB: write units"]
        per_unit = written.usd / written.quantity
        # What is written besides statistics does not depend on the batch.
        other = max(0.0, written.quantity - 1e6 * self.terms["profile_units"])
        units = 1e6 * self.learned["write_units"] + other
        puts = bill["S3: PUTs"]
        objects = self.objects_a_day / DAY_S / self.rate * 1e6
        return float(fixed + units * per_unit + objects * puts.usd / puts.quantity)


def tables(profile: Mapping[str, Any], terms: Mapping[str, Any]) -> Iterator[str]:
    """The page's tables, as Markdown."""
    loads = [Load(rate, profile, terms) for rate in RATES]
    for title, rows in SECTIONS:
        yield f"| {title} | " + " | ".join(f"{rate:,}/s" for rate in RATES) + " |"
        yield "| --- |" + " ---: |" * len(RATES)
        for name, figure in rows:
            yield f"| {name} | " + " | ".join(figure(load) for load in loads) + " |"
        yield ""
    yield from _watched(terms)


def _watched(terms: Mapping[str, Any]) -> Iterator[str]:
    """Side by side, tenants wait together and take turns at the one core that Python uses."""
    took, cpu, most, workers = (terms[f"watch_{name}"] for name in ("s", "cpu_s", "timeout_s", "workers"))
    together = max(cpu, took / workers)
    yield f"`watch` takes {took:.2f} s a tenant, {cpu:.2f} s of them CPU. One after another its {most} s would do"
    yield f"for {most / took:,.0f} tenants in a run; {workers} at a time they are enough for {most / together:,.0f}."


def _whole(number: float) -> str:
    return f"{number:,.0f}" if number >= 10 else f"{number:.2g}"


def _size(size: float) -> str:
    for unit, least in (("TB", GB * 1024), ("GB", GB), ("MB", GB / 1024)):
        if size >= least:
            return f"{size / least:,.1f} {unit}"
    return f"{size / 1024:,.0f} KB"


def _drained(load: Load) -> str:
    """How long the backlog of an outage takes the consumers that the template allows."""
    most = load.terms["most_consumers"]
    spare = most / load.terms["consumer_s"]["RecordFunction"] - load.rate
    return f"{OUTAGE_S * load.rate / spare:,.0f} s" if spare > 0 else "never"


def _of_partition(load: Load) -> str:
    return f"{2 * load.hottest / PARTITION_WRITE_UNITS:.1%}"


SECTIONS: tuple[tuple[str, tuple[Row, ...]], ...] = (
    (
        "Lambda",
        (
            ("environments of `route`", lambda load: _whole(load.concurrency("RouteFunction"))),
            ("environments of `ingest`", lambda load: _whole(load.concurrency("IngestFunction"))),
            ("consumers `learn` needs", lambda load: _whole(load.consumers("LearnFunction"))),
            ("consumers `record` needs", lambda load: _whole(load.consumers("RecordFunction"))),
            (f"of the account's {ACCOUNT_CONCURRENCY:,}", lambda load: f"{_total(load) / ACCOUNT_CONCURRENCY:.0%}"),
        ),
    ),
    (
        "DynamoDB, statistics",
        (
            ("events in a batch of `learn`", lambda load: _whole(load.batch)),
            ("transactions a second", lambda load: _whole(load.transactions)),
            ("write units a second", lambda load: _whole(load.write_units)),
            ("partitions that takes", lambda load: _whole(-(-load.write_units // PARTITION_WRITE_UNITS))),
            (f"of a table's {TABLE_WRITE_UNITS:,}", lambda load: f"{load.write_units / TABLE_WRITE_UNITS:.0%}"),
            ("transactions on the hottest cell", lambda load: _whole(load.hottest)),
            ("under way at any time", lambda load: _whole(load.hottest * TRANSACTION_S)),
            (
                f"of its partition's {PARTITION_WRITE_UNITS:,} write units",
                lambda load: f"{2 * load.hottest / PARTITION_WRITE_UNITS:.1%}",
            ),
        ),
    ),
    (
        "Queues and objects",
        (
            ("receipts waiting after 10 minutes without `record`", lambda load: _whole(OUTAGE_S * load.rate)),
            ("worked off with the template's consumers in", _drained),
            (f"in flight, of {IN_FLIGHT_MESSAGES:,}", lambda load: _whole(load.in_flight)),
            ("objects a day", lambda load: _whole(load.objects_a_day)),
            ("PUTs, dollars a day", lambda load: f"{load.objects_a_day * load.terms['put_usd']:,.2f}"),
            ("stored a day", lambda load: _size(load.bytes_a_day("s3 bytes stored"))),
            ("an Athena query over a day, dollars", lambda load: f"{_athena(load):,.4f}"),
            ("logged a day", lambda load: _size(load.bytes_a_day("log bytes"))),
        ),
    ),
    (
        "Dollars",
        (
            ("a million decisions", lambda load: f"{load.usd_a_million:.2f}"),
            ("a month, decisions", lambda load: f"{load.usd_a_million * load.rate * MONTH_S / 1e6:,.0f}"),
            ("a month, standing", lambda load: f"{load.terms['standing_usd']:,.0f}"),
        ),
    ),
)


def _total(load: Load) -> float:
    doors = sum(load.concurrency(name) for name in ("RouteFunction", "IngestFunction"))
    return doors + sum(load.consumers(name) for name in ("LearnFunction", "RecordFunction"))


def _athena(load: Load) -> float:
    return load.bytes_a_day("s3 bytes stored") / (GB * 1024) * ATHENA_USD_PER_TB
