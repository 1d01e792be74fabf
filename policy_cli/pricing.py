"""The past at other prices: what stored decisions cost, and would have cost, by another day's price list.

Nothing is decided anew: the arms that served and the tokens that were expected or used stay what they were. Money in
nano-dollars.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from policy_cli.receipts import ReceiptFileError, receipt_lines
from policy_engine.cascade import chain_cost
from policy_engine.costs import Usage, call_cost, expected_usage
from policy_engine.estimate import estimate_from_row
from policy_engine.receipt import ReceiptError, open_sealed
from policy_engine.replay import PolicyStore
from policy_lang.admission import policy_from_document
from policy_lang.catalog import Catalog, Model
from policy_lang.envelope import EnvelopeError, envelope_from_wire

__all__ = ["Priced", "Sum", "outcome_files", "price_files", "price_list", "undated"]


@dataclass(slots=True)
class Sum:
    """Money of some calls: as recorded, and at the other prices. Only calls that have both are in it."""

    calls: int = 0
    recorded: int = 0
    repriced: int = 0

    def add(self, recorded: int, repriced: int) -> None:
        self.calls += 1
        self.recorded += recorded
        self.repriced += repriced


@dataclass(slots=True)
class Priced:
    """What pricing came to.

    expected: what was expected of the plans served. baseline: the same of their baselines. spent: what the calls that
    telemetry reported did cost; spent_baseline: the tokens of each decision's last answer, had the baseline used them.
    used: how often each arm's prices were asked for. unpriced: decisions and calls whose arm has no price on that day,
    by arm. list_service: decisions whose policy is
    not at hand, so that batch prices could not be considered. unreadable: lines that are no receipt or outcome of ours.
    """

    decisions: int = 0
    expected: Sum = field(default_factory=Sum)
    baseline: Sum = field(default_factory=Sum)
    spent: Sum = field(default_factory=Sum)
    spent_baseline: Sum = field(default_factory=Sum)
    arms: dict[str, Sum] = field(default_factory=dict)
    used: dict[str, int] = field(default_factory=dict)
    unpriced: dict[str, int] = field(default_factory=dict)
    list_service: int = 0
    unreadable: list[str] = field(default_factory=list)


def price_list(catalog: Catalog, date: str) -> Mapping[str, Model]:
    """The arms that have a price on an ISO date; one whose dated prices all begin later has none."""
    later = {arm for arm, dated in catalog.schedule.items() if all(first > date for first, _ in dated)}
    return {arm: model for arm, model in catalog.on(date).models.items() if arm not in later}


def undated(catalog: Catalog, arms: Iterable[str], date: str) -> list[str]:
    """Those of `arms` of which no dated price is known, so that before the catalog's day its list price stands in."""
    return sorted(arm for arm in arms if arm not in catalog.schedule) if date < catalog.as_of else []


def price_files(
    receipts: Iterable[Path], outcomes: Iterable[Path], policies: PolicyStore, prices: Mapping[str, Model]
) -> Priced:
    """Price every decision that served somebody once, and every call that counted."""
    result = Priced()
    baselines: dict[str, tuple[str, bool]] = {}
    for where, line in _lines(receipts, result):
        try:
            receipt = open_sealed(line)
            decision_id = receipt["circumstances"]["decision_id"]
            if decision_id not in baselines and receipt["decision"]["status"] == "served":
                baselines[decision_id] = _price_receipt(receipt, policies, prices, result)
        except (ReceiptError, EnvelopeError, KeyError, TypeError, ValueError) as problem:
            result.unreadable.append(f"{where}: {problem}")
    _price_outcomes(outcomes, baselines, prices, result)
    return result


def outcome_files(folders: Iterable[Path]) -> list[Path]:
    """Files of outcome records below `folders`: JSON Lines, gzipped or not, in a folder named `outcomes`."""
    found = {path for folder in folders if folder.is_dir() for path in folder.rglob("*.jsonl*")}
    return sorted(path for path in found if "outcomes" in path.parts)


def _price_receipt(
    receipt: Mapping[str, Any], policies: PolicyStore, prices: Mapping[str, Model], result: Priced
) -> tuple[str, bool]:
    result.decisions += 1
    made = receipt["decision"]
    envelope = envelope_from_wire(receipt["request"]["envelope"])
    batch = _in_batch(receipt, policies, result) and not envelope.time_sensitive
    estimates = {
        row["arm"]: estimate_from_row(row["estimate"]) for row in (*receipt["candidates"], receipt["baseline"])
    }
    served = [made["arm"], *(step["arm"] for step in made["plan"][1:] if step["role"] == "cascade")]

    def costs(arms: list[str]) -> list[int]:
        return [call_cost(prices[arm], expected_usage(envelope, estimates[arm]), batch=batch) for arm in arms]

    if _known(served, prices, result):
        cost = chain_cost(costs(served), [estimates[arm].success_ppm for arm in served])
        result.expected.add(made["expected_cost_nanodollars"], cost)
        result.arms.setdefault(made["arm"], Sum()).add(made["expected_cost_nanodollars"], cost)
    baseline = made["baseline"]["arm"]
    if _known([baseline], prices, result):
        result.baseline.add(made["baseline"]["cost_nanodollars"], costs([baseline])[0])
    return baseline, batch


def _price_outcomes(
    files: Iterable[Path], baselines: Mapping[str, tuple[str, bool]], prices: Mapping[str, Model], result: Priced
) -> None:
    seen: set[str] = set()
    last: dict[str, tuple[int, int, Usage]] = {}
    for where, line in _lines(files, result):
        try:
            told = json.loads(line)
            counted = told["fields"].get("outcome") == "applied" and told["record_id"] not in seen
            seen.add(told["record_id"])
            if not counted or "cost_nanodollars" not in told or told["decision_id"] not in baselines:
                continue
            used = Usage(
                *(told.get(f"{name}_tokens", 0) for name in ("input", "output", "cached_read", "cached_write"))
            )
            if _known([told["arm"]], prices, result):
                batch = baselines[told["decision_id"]][1]
                result.spent.add(told["cost_nanodollars"], call_cost(prices[told["arm"]], used, batch=batch))
            hop = told["hop"], told["cost_nanodollars"], used
            last[told["decision_id"]] = max(hop, last.get(told["decision_id"], hop), key=lambda each: each[0])
        except (KeyError, TypeError, ValueError, AttributeError) as problem:
            result.unreadable.append(f"{where}: not an outcome record: {problem!r}")
    for decision_id, (_, cost, used) in last.items():
        baseline, batch = baselines[decision_id]
        if baseline in prices:
            result.spent_baseline.add(cost, call_cost(prices[baseline], used, batch=batch))


def _known(arms: list[str], prices: Mapping[str, Model], result: Priced) -> bool:
    missing = [arm for arm in arms if arm not in prices]
    for arm in missing:
        result.unpriced[arm] = result.unpriced.get(arm, 0) + 1
    for arm in () if missing else arms:
        result.used[arm] = result.used.get(arm, 0) + 1
    return not missing


def _in_batch(receipt: Mapping[str, Any], policies: PolicyStore, result: Priced) -> bool:
    """Whether the decision's route may count on batch prices."""
    inline = receipt["request"].get("inline")
    stored = policies.get(receipt["fingerprints"]["policy"])
    if inline is None and stored is None:
        result.list_service += 1
        return False
    policy = policy_from_document(inline) if inline is not None else stored[0]  # type: ignore[index]  # one of them is
    named = receipt["decision"]["route"]
    return any(route.batch is not None for route in (*policy.routes, policy.default) if route.name == named)


def _lines(files: Iterable[Path], result: Priced) -> Iterable[tuple[str, str]]:
    for file in files:
        try:
            for number, line in enumerate(receipt_lines(file), 1):
                yield f"{file}:{number}", line
        except ReceiptFileError as problem:
            result.unreadable.append(str(problem))
