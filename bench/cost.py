"""Dollars per million decisions, from what a run of the deployed functions would be billed for.

    python bench/cost.py              measure, keep the counts in bench/profile.json, print the parts
    python bench/cost.py --stored     the parts, from the counts that are kept
    python bench/cost.py --scale      docs/scale.md's tables, from the same counts
    python bench/cost.py --check      count a shorter run and compare: does the code still do what the counts say?

The profile: 8 candidates, ten decisions a second in one environment, one telemetry record a decision, told when its
call has ended and in batches of ten, 20 % under a budget, 30 % in pinned sessions. Counted after a warm-up, so that
what is read once in a while (state every 15 s, credentials and keys every 5 minutes) weighs what it weighs. Prices and
their sources: bench/prices.json.
Exits with 1 where the decisions cost more than $2.60 a million.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from heapq import heappop, heappush
from pathlib import Path
from random import Random
from typing import Any

import scale
from learn import TRAFFIC, learned
from metering import LOG_EVENT_BYTES, Metered, Usage

from policy_cli.dev.template import read_template

HERE = Path(__file__).parent
PRICES = json.loads((HERE / "prices.json").read_text())
KEPT = HERE / "profile.json"
LIMIT_USD = 2.60
PER_SECOND = 10
REPORTS = 10
WARM_UP_S, COUNTED_S = 60, 300
LEARNED_EVENTS = 2_000
MILLION = 1_000_000
MONTH_S = 730 * 3600
GB = 1 << 30
POLICY = """policy "bench/profile" language 1
tasks label, classify, extract
tier eight = [claude-haiku-4-5, claude-sonnet-4-6, gpt-5.4-mini, gpt-5.4-nano, gemini-3.7-flash, nova-lite-eu,
              nova-micro-eu, mistral-large-4]
forbid "no previews" when model.stage == preview
require "price ceiling" model.price_out <= $75/Mtok
route sessions when time_sensitive {
  use eight
  floor success >= 90% proven 90%
  pick cheapest
  pin session 30m
}
default route general {
  use eight
  floor success >= 90% proven 90%
  pick cheapest
  explore at most 5%, 30% while unproven
}
fallback claude-haiku-4-5
budget org growth $4000/month warn 80%
"""
#: From this much memory on a function has a whole core; below, its share of one.
CORE_MB = 1769
#: Assumed milliseconds that a function waits for AWS, by call: medians within a region. CPU is measured, this is not.
WAIT_MS = {
    "dynamodb.BatchGetItem": 6,
    "dynamodb.GetItem": 4,
    "dynamodb.PutItem": 6,
    "dynamodb.Query": 6,
    "dynamodb.Scan": 10,
    "dynamodb.UpdateItem": 6,
    "dynamodb.TransactWriteItems": 20,
    "lambda.Invoke": 15,
    "s3.DeleteObject": 20,
    "s3.DeleteObjects": 50,
    "s3.GetObject": 25,
    "s3.PutObject": 40,
    "s3.ListObjectsV2": 30,
    "secrets-manager.GetSecretValue": 15,
    "sqs.SendMessage": 8,
    "sqs.SendMessageBatch": 12,
}
#: Bytes of the lines that Lambda itself logs for an invocation at its level INFO: `platform.start`, `platform.report`.
PLATFORM_LOG_BYTES = 150 + 360 + 2 * LOG_EVENT_BYTES
#: Months that receipts stay: three in the standard class, then Glacier Instant Retrieval (template.yaml).
MONTHS_STANDARD, MONTHS_GLACIER = 3, 9
#: What DynamoDB adds to every stored item, and the months that it keeps markers.
ITEM_OVERHEAD_BYTES, MARKER_MONTHS = 100, 1
DEPLOYED = {
    name: resource["Properties"]
    for name, resource in read_template().document["Resources"].items()
    if resource["Type"] == "AWS::Lambda::Function"
}
#: Environments that either consumer may have at a time.
MOST_CONSUMERS = min(
    resource["Properties"]["ScalingConfig"]["MaximumConcurrency"]
    for resource in read_template().document["Resources"].values()
    if resource["Type"] == "AWS::Lambda::EventSourceMapping"
)
ALARMS = (HERE.parent / "infra" / "monitoring.yaml").read_text().count("AWS::CloudWatch::Alarm")
#: Full batches of `learn` at the rates of docs/scale.md.
BATCHES = [each for each in TRAFFIC if each.rate in scale.RATES and each.records == 10 and each.batch >= 100]
STEADY = ("RouteFunction", "IngestFunction", "LearnFunction", "RecordFunction")


#: Units that every decision adds to, and by how much a short run's may differ.
LASTING = {"bytes out", "dynamodb bytes kept", "dynamodb write units", "log bytes", "sqs requests"}
TOLERANCE = 0.15
#: Of what is rarer than this in a million decisions a short run has too little to be compared; of bytes, by the item.
RARE = 10_000
ITEM_BYTES = 100


@dataclass(frozen=True)
class Part:
    """One line of the bill, for a million decisions; `quantity` in the unit that `name` says."""

    name: str
    quantity: float
    usd: float


def main(*options: str) -> int:
    profile = json.loads(KEPT.read_text()) if options else measured()
    if options == ("--check",):
        found = differences(profile, measured(WARM_UP_S, 60, 0))
        print("\n".join(found) or "the counts are those of bench/profile.json")
        return int(bool(found))
    if options == ("--scale",):
        print("\n".join(scale.tables(profile, terms(profile))))
        return 0
    if not options:
        KEPT.write_text(json.dumps(profile, indent=1, sort_keys=True) + "\n")
    bill = list(parts(profile))
    total = sum(part.usd for part in bill)
    for part in bill:
        print(f"{part.name:52}{part.quantity:16,.0f}{part.usd:9.3f}")
    print(f"{'a million decisions':52}{'':16}{total:9.2f}")
    month = list(standing(profile))
    print("\nstanding, a month (one stack, one tenant)")
    for part in month:
        print(f"{part.name:52}{part.quantity:16,.0f}{part.usd:9.2f}")
    print(f"{'a month':52}{'':16}{sum(part.usd for part in month):9.2f}")
    looks, usd_busy = profile["busy"]["invocations"], watched_usd(profile["busy"], 1)
    print(f"{'and for each tenant that is busy all month: looks':52}{looks:16,.0f}{usd_busy:9.2f}")
    print("\n" + "\n".join(break_even(profile, bill)))
    print(f"\n{'within' if total <= LIMIT_USD else 'OVER'} ${LIMIT_USD:.2f} a million")
    return int(total > LIMIT_USD)


def measured(
    warm_up_s: int = WARM_UP_S, counted_s: int = COUNTED_S, learned_events: int = LEARNED_EVENTS
) -> dict[str, Any]:
    """Counts for a million decisions by function, the metrics emitted, and counts of one run of `watch`."""
    chance = Random(1)
    with Metered() as cloud:
        cloud.post("PublishFunction", "/v1/policies/bench/profile", {"source": POLICY})
        traffic = seconds(cloud, chance)
        for _ in range(warm_up_s):
            next(traffic)
        emptied(cloud)
        cloud.start_counting()
        for _ in range(counted_s):
            next(traffic)
        emptied(cloud)
        used = cloud.totals()
        metrics = sorted(f"{service} {name}" for service, name in cloud.metrics)
        batches = {each.rate: learned(cloud, each, learned_events) for each in BATCHES if learned_events}
    decisions = counted_s * PER_SECOND
    watched, asked_for = (used.pop(name, Usage()) for name in ("WatchFunction", "WatchFunction, asked for"))
    return {
        "busy": scaled(asked_for, MONTH_S / counted_s),
        "decisions": decisions,
        "learn": {str(rate): asdict(found) for rate, found in batches.items()},
        "metrics": metrics,
        "per_million": {name: scaled(used[name], MILLION / decisions) for name in STEADY},
        "watch": scaled(watched, 1 / max(1, watched.invocations)),
    }


def emptied(cloud: Metered) -> None:
    """Work both queues off; outcome records follow the telemetry."""
    for function in ("LearnFunction", "RecordFunction"):
        while cloud.deliver(function):
            pass


def seconds(cloud: Metered, chance: Random) -> Iterator[None]:
    """Traffic, a second a step: decisions, telemetry of calls that ended, consumers when their windows are over."""
    pins: dict[str, str] = {}
    calls: list[tuple[int, int, dict[str, Any]]] = []
    ended: list[dict[str, Any]] = []
    since: dict[str, int] = {}
    for second in range(1_000_000):
        for number in range(second * PER_SECOND, (second + 1) * PER_SECOND):
            cloud.now_ms += 1000 // PER_SECOND
            report = decided(cloud, chance, pins, number)
            heappush(calls, (cloud.now_ms + report["latency_ms"], number, report))
        while calls and calls[0][0] <= cloud.now_ms:
            ended.append(heappop(calls)[2])
        while len(ended) >= REPORTS:
            cloud.post("IngestFunction", "/v1/telemetry", {"records": ended[:REPORTS]})
            del ended[:REPORTS]
        for function in ("LearnFunction", "RecordFunction"):
            source = cloud.sources[function]
            began = since.setdefault(function, second)
            if cloud.waiting(function) >= source.batch_size or second - began >= source.window_s:
                cloud.deliver(function)
                del since[function]
        if second % 60 == 59:
            cloud.schedule("WatchFunction")
        yield


def decided(cloud: Metered, chance: Random, pins: dict[str, str], number: int) -> dict[str, Any]:
    """One decision, and what will be told of it."""
    pinned, budgeted = number % 10 in (0, 3, 6), number % 5 == 1
    envelope = {
        "task_type": chance.choices(("label", "classify", "extract"), (6, 3, 1))[0],
        "structure_type": "json",
        "context_length": "short",
        "tools_used": chance.choices(("0", "1", "2-4"), (6, 3, 1))[0],
        "time_sensitive": pinned,
        "estimated_tokens": "small",
    }
    wanted: dict[str, Any] = {"policy": "bench/profile", "envelope": envelope}
    if budgeted:
        wanted["org"] = "growth"
    if pinned:
        session = f"session-{chance.randrange(40)}"
        wanted |= {"session": session} | ({"pin": pins[session]} if session in pins else {})
    reply = cloud.post("RouteFunction", "/v1/route", wanted)
    if pinned and "session_pin" in reply:
        pins[session] = reply["session_pin"]
    return {
        "token": reply["token"],
        "arm": reply["plan"][0]["arm"],
        "hop": 0,
        "outcome": "ok" if chance.random() < 0.95 else "wrong",
        "input_tokens": chance.randint(200, 4_000),
        "output_tokens": chance.randint(10, 800),
        "latency_ms": round(chance.lognormvariate(7, 0.8)),
        "ttft_ms": round(chance.lognormvariate(6, 0.6)),
    }


def scaled(used: Usage, factor: float) -> dict[str, Any]:
    return {
        "invocations": round(used.invocations * factor, 1),
        "cpu_ms": round(used.cpu_s * 1000 * factor, 1),
        "calls": {name: round(count * factor, 1) for name, count in sorted(used.calls.items())},
        "units": {name: round(count * factor, 1) for name, count in sorted(used.units.items())},
    }


def differences(kept: Mapping[str, Any], found: Mapping[str, Any]) -> list[str]:
    """What is billed differently by more than `TOLERANCE`; CPU and what a short run has too little of are let pass."""
    said = []
    for name in STEADY:
        before, now = kept["per_million"][name]["units"], found["per_million"][name]["units"]
        for unit in sorted({*before, *now} & LASTING):
            was, is_now = before.get(unit, 0), now.get(unit, 0)
            rare = RARE * (ITEM_BYTES if "bytes" in unit else 1)
            if abs(is_now - was) > max(TOLERANCE * max(was, is_now), rare):
                said.append(f"{name}, {unit}: {was:,.0f} a million were counted, now {is_now:,.0f}; run bench/cost.py")
    return said


def parts(profile: Mapping[str, Any]) -> Iterator[Part]:
    """The bill for a million decisions."""
    by_function = profile["per_million"]
    for name, counts in by_function.items():
        seconds = gb_seconds(name, counts)
        title, invocations = f"Lambda, {name[:-8].lower()}", counts["invocations"]
        yield Part(f"{title}: requests", invocations, priced("lambda requests", invocations))
        yield Part(f"{title}: GB-seconds", seconds, seconds * usd("per_gb_second", "lambda arm64"))
    for unit, title in (
        ("sqs requests", "SQS: requests"),
        ("dynamodb write units", "DynamoDB: write units"),
        ("dynamodb read units", "DynamoDB: read units"),
        ("s3 puts", "S3: PUTs"),
        ("s3 gets", "S3: GETs"),
        ("secret reads", "Secrets Manager: reads"),
    ):
        quantity = units(by_function, unit)
        yield Part(title, quantity, priced(unit, quantity))
    logged = units(by_function, "log bytes")
    yield Part("CloudWatch: bytes logged by us", logged, per_gb("log bytes", logged))
    platform = sum(counts["invocations"] * platform_bytes(name) for name, counts in by_function.items())
    yield Part("CloudWatch: bytes logged by Lambda", platform, per_gb("log bytes", platform))
    stored = units(by_function, "s3 bytes stored")
    months = MONTHS_STANDARD * usd("per_gb_month", "s3 standard")
    months += MONTHS_GLACIER * usd("per_gb_month", "s3 glacier instant retrieval")
    yield Part("S3: bytes kept for a year", stored, stored / GB * months)
    markers = (
        units(by_function, "dynamodb bytes kept") + units(by_function, "dynamodb items kept") * ITEM_OVERHEAD_BYTES
    )
    kept = usd("per_gb_month", "dynamodb") + usd("per_gb_month", "dynamodb point-in-time recovery")
    yield Part("DynamoDB: bytes of markers for a month", markers, markers / GB * kept * MARKER_MONTHS)
    out = units(by_function, "bytes out")
    yield Part("Replies: bytes out, within the region", out, per_gb("bytes out", out))


def standing(profile: Mapping[str, Any]) -> Iterator[Part]:
    """What a month costs without a single decision."""
    minutes = MONTH_S // 60
    yield Part("watch: runs", minutes, watched_usd(profile["watch"], minutes))
    # Five pollers ask a quiet queue every twenty seconds.
    polls = 2 * 5 * 3 * minutes
    yield Part("SQS: polling two quiet queues", polls, priced("sqs requests", polls))
    snapshots = sum(memory_mb(name) for name, function in DEPLOYED.items() if "SnapStart" in function) / 1024
    cached = snapshots * 730 * 3600 * usd("per_gb_second", "snapstart cache")
    yield Part("Lambda: GB of snapshots kept by SnapStart", snapshots, cached)
    counted = {"metric": len(profile["metrics"]), "alarm": ALARMS, "dashboard": 1, "kms key": 1, "secret": 1}
    for name, count in counted.items():
        yield Part(f"{name}s", count, count * usd("per_month", name))


def watched_usd(watch: Mapping[str, Any], times: int) -> float:
    """What runs of `watch` cost that use this so many times."""
    usage = gb_seconds("WatchFunction", watch) * usd("per_gb_second", "lambda arm64")
    usage += sum(priced(unit, watch["units"].get(unit, 0)) for unit in PRICES["per_million"])
    usage += per_gb("log bytes", watch["units"].get("log bytes", 0))
    return times * (usage + priced("lambda requests", watch["invocations"]))


def terms(profile: Mapping[str, Any]) -> dict[str, Any]:
    """What `scale` needs beside the counts: settings of the template, durations, and the bill."""
    sources = {source.function: source for source in read_template().sources}
    learn, record = sources["LearnFunction"], sources["RecordFunction"]
    counts = profile["per_million"]
    durations = {name: billed_ms(name, counts[name]) / counts[name]["invocations"] / 1000 for name in STEADY}
    return {
        "learn_window_s": learn.window_s,
        "learn_messages": learn.batch_size,
        "record_window_s": record.window_s,
        "record_messages": record.batch_size,
        "most_consumers": MOST_CONSUMERS,
        "duration_s": durations,
        # Seconds of a consumer for one decision; a fuller batch takes no longer for each.
        "consumer_s": {name: billed_ms(name, counts[name]) / MILLION / 1000 for name in STEADY},
        "profile_units": profile["learn"][str(PER_SECOND)]["write_units"],
        "watch_s": billed_ms("WatchFunction", profile["watch"]) / 1000,
        "watch_cpu_s": cpu_ms("WatchFunction", profile["watch"]) / 1000,
        "watch_workers": int(DEPLOYED["WatchFunction"]["Environment"]["Variables"]["WATCH_WORKERS"]),
        "watch_timeout_s": DEPLOYED["WatchFunction"]["Timeout"],
        "put_usd": priced("s3 puts", 1),
        "bill": list(parts(profile)),
        "standing_usd": sum(part.usd for part in standing(profile)),
    }


def break_even(profile: Mapping[str, Any], bill: list[Part]) -> Iterator[str]:
    """Against two small containers that do the functions' work; queues, tables and buckets stay as they are."""
    functions = sum(part.usd for part in bill if part.name.startswith("Lambda"))
    task = usd("per_hour", "fargate arm64 vcpu") + 2 * usd("per_hour", "fargate arm64 gb")
    month = 730 * (2 * task + 2 * usd("per_hour", "load balancer"))
    cpu_ms = sum(counts["cpu_ms"] for counts in profile["per_million"].values()) / MILLION
    capacity = 2 * 0.6 * 1000 / cpu_ms
    yield f"Lambda's share: ${functions:.2f} a million."
    yield f"Two Fargate tasks (1 vCPU, 2 GB) and a load balancer: ${month:.0f} a month,"
    yield f"at 60 % of their CPU enough for {capacity:.0f} decisions/s ({cpu_ms:.2f} ms of CPU each)."
    rate = month / functions * MILLION / (730 * 3600)
    yield f"Break-even: {month / functions:.0f} million decisions a month, {rate:.0f} a second around the clock."


def gb_seconds(function: str, counts: Mapping[str, Any]) -> float:
    """Billed duration times memory."""
    return billed_ms(function, counts) / 1000 * memory_mb(function) / 1024


def billed_ms(function: str, counts: Mapping[str, Any]) -> float:
    """CPU, which below a whole core takes as much longer; waiting; and half a millisecond of rounding up each time."""
    waited = sum(WAIT_MS[call] * count for call, count in counts["calls"].items())
    return float(waited + cpu_ms(function, counts) + 0.5 * counts["invocations"])


def cpu_ms(function: str, counts: Mapping[str, Any]) -> float:
    """As the memory's share of a core makes it."""
    return float(counts["cpu_ms"] * max(1.0, CORE_MB / memory_mb(function)))


def memory_mb(function: str) -> int:
    return int(DEPLOYED[function]["MemorySize"])


def platform_bytes(function: str) -> int:
    level = DEPLOYED[function]["LoggingConfig"].get("SystemLogLevel", "INFO")
    return PLATFORM_LOG_BYTES if level in ("DEBUG", "INFO") else 0


def units(by_function: Mapping[str, Any], unit: str) -> float:
    return float(sum(counts["units"].get(unit, 0) for counts in by_function.values()))


def usd(table: str, name: str) -> float:
    return float(PRICES[table][name]["usd"])


def priced(unit: str, quantity: float) -> float:
    return quantity / MILLION * usd("per_million", unit)


def per_gb(name: str, quantity: float) -> float:
    return quantity / GB * usd("per_gb", name)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
