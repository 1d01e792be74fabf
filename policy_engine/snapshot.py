"""The snapshot: estimates that decisions use, derived from the statistics rows of one tenant, content-addressed.

Shrinkage cell -> task -> tenant -> prior, parents leave-one-out: a cell borrows from what its siblings saw, never
twice from itself. A parent's mean enters as at most K pseudo-outcomes, fewer while the parent itself has seen little.
Everything is integers (milli-outcomes, ppm, tokens, ms), so a snapshot is the same bytes wherever it is read.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from policy_engine.soundness import sifted
from policy_engine.statistics import HALF_LIVES_PER_EPOCH, CellRow, Sums, decay_weight, epoch_of, merge_sums
from policy_lang.fingerprint import fingerprint
from policy_lang.ir import PPM

__all__ = [
    "EMPTY",
    "PRIOR",
    "Estimate",
    "Snapshot",
    "SnapshotError",
    "build_snapshot",
    "estimate_from_row",
    "estimate_row",
    "snapshot_document",
    "snapshot_from_document",
]

_DOMAIN = "pointsman/snapshot/1"
MILLI = 1000
# Pseudo-outcomes a parent may contribute to a child (measured on the benchmark, see docs/learning.md).
TASK_WEIGHT_MILLI = 30 * MILLI
TENANT_WEIGHT_MILLI = 12 * MILLI
PRIOR_WEIGHT_MILLI = 4 * MILLI
PRIOR_MEAN_PPM = 700_000


class SnapshotError(ValueError):
    """A stored snapshot or estimate is not one of ours."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """What is believed of one arm in one cell.

    alpha, beta: Beta posterior of success in milli-outcomes, parents included. n_milli: decayed own outcomes. count:
    raw
    own outcomes ever. quality_ppm: posterior mean of quality (success where none is reported). tokens_in/out: mean per
    call, None while unseen. latency and ttft: p95 in ms, None while unseen.
    """

    alpha_milli: int
    beta_milli: int
    n_milli: int
    count: int
    quality_ppm: int
    tokens_in: int | None = None
    tokens_out: int | None = None
    latency_p95_ms: int | None = None
    ttft_p95_ms: int | None = None
    tokens_cached_read: int | None = None
    tokens_cached_write: int | None = None

    @property
    def success_ppm(self) -> int:
        """Posterior mean of success."""
        return self.alpha_milli * PPM // (self.alpha_milli + self.beta_milli)


PRIOR = Estimate(
    alpha_milli=PRIOR_WEIGHT_MILLI * PRIOR_MEAN_PPM // PPM,
    beta_milli=PRIOR_WEIGHT_MILLI * (PPM - PRIOR_MEAN_PPM) // PPM,
    n_milli=0,
    count=0,
    quality_ppm=PRIOR_MEAN_PPM,
)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Estimates of one tenant at `made_ms`.

    `cells` by cluster; `tasks` and `overall` hold what an unseen cell of that task, or of an unseen task, is given: the
    parent at its capped weight, no outcomes of its own. `outcomes`: raw floor-relevant outcomes ever, by arm.
    `spent_nanodollars`: money spent on exploration today (UTC day `day`) by route, for `explore at most $N/day`.
    `left_out`: rows that could not be believed, by reason.
    """

    made_ms: int
    cells: Mapping[str, Mapping[str, Estimate]]
    tasks: Mapping[str, Mapping[str, Estimate]]
    overall: Mapping[str, Estimate]
    generations: Mapping[str, int]
    outcomes: Mapping[str, int]
    day: int
    spent_nanodollars: Mapping[str, int]
    fingerprint: str
    left_out: Mapping[str, int] = field(default_factory=dict)

    def estimate(self, cluster: str, task: str, arm: str) -> Estimate:
        """Best available: the cell, else its task, else the tenant, else the prior."""
        for level in (self.cells.get(cluster), self.tasks.get(task), self.overall):
            if level is not None and (found := level.get(arm)) is not None:
                return found
        return PRIOR


def build_snapshot(
    rows: Iterable[CellRow], now_ms: int, *, spent_nanodollars: Mapping[str, int] | None = None
) -> Snapshot:
    """Derive every estimate from stored sums, as of `now_ms`.

    Rows of generations older than an arm's newest are left out, and so are rows that cannot be believed.
    """
    sound, left_out = sifted(rows, now_ms)
    leaves, generations = _leaves(sound, now_ms)
    by_task: dict[tuple[str, str], list[Sums]] = defaultdict(list)
    by_arm: dict[str, list[Sums]] = defaultdict(list)
    for (_, task, arm), sums in leaves.items():
        by_task[task, arm].append(sums)
        by_arm[arm].append(sums)
    task_sums = {key: merge_sums(parts) for key, parts in by_task.items()}
    arm_sums = {arm: merge_sums(parts) for arm, parts in by_arm.items()}
    now_weight = decay_weight(now_ms)

    cells: dict[str, dict[str, Estimate]] = defaultdict(dict)
    tasks: dict[str, dict[str, Estimate]] = defaultdict(dict)
    overall: dict[str, Estimate] = {}
    for arm, sums in sorted(arm_sums.items()):
        posterior = _estimate(sums, (sums,), PRIOR, PRIOR_WEIGHT_MILLI, now_weight)
        overall[arm] = _estimate({}, (sums,), posterior, TENANT_WEIGHT_MILLI, now_weight)
    for (task, arm), sums in sorted(task_sums.items()):
        siblings = _less(arm_sums[arm], sums)
        above = _estimate(siblings, (siblings,), PRIOR, PRIOR_WEIGHT_MILLI, now_weight)
        posterior = _estimate(sums, (sums,), above, TENANT_WEIGHT_MILLI, now_weight)
        tasks[task][arm] = _estimate({}, (sums, arm_sums[arm]), posterior, TASK_WEIGHT_MILLI, now_weight)
    for (cluster, task, arm), sums in sorted(leaves.items()):
        grand = _less(arm_sums[arm], task_sums[task, arm])
        above = _estimate(grand, (grand,), PRIOR, PRIOR_WEIGHT_MILLI, now_weight)
        siblings = _less(task_sums[task, arm], sums)
        parent = _estimate(siblings, (siblings,), above, TENANT_WEIGHT_MILLI, now_weight)
        sources = (sums, task_sums[task, arm], arm_sums[arm])
        cells[cluster][arm] = _estimate(sums, sources, parent, TASK_WEIGHT_MILLI, now_weight)
    day = now_ms // 86_400_000
    outcomes = {arm: sums.get("c", 0) for arm, sums in sorted(arm_sums.items())}
    spent = dict(spent_nanodollars or {})
    return _sealed(now_ms, dict(cells), dict(tasks), overall, generations, outcomes, day, spent, left_out)


def snapshot_document(snapshot: Snapshot) -> dict[str, Any]:
    """A snapshot as JSON values; an estimate is the array of its fields."""
    return {
        "cells": {cluster: _rows(arms) for cluster, arms in snapshot.cells.items()},
        "day": snapshot.day,
        "generations": dict(snapshot.generations),
        "left_out": dict(snapshot.left_out),
        "made_ms": snapshot.made_ms,
        "outcomes": dict(snapshot.outcomes),
        "overall": _rows(snapshot.overall),
        "spent_nanodollars": dict(snapshot.spent_nanodollars),
        "tasks": {task: _rows(arms) for task, arms in snapshot.tasks.items()},
    }


def snapshot_from_document(document: Mapping[str, Any]) -> Snapshot:
    """The inverse of `snapshot_document`; the fingerprint is computed anew."""
    return _sealed(
        document["made_ms"],
        {cluster: _estimates(arms) for cluster, arms in document["cells"].items()},
        {task: _estimates(arms) for task, arms in document["tasks"].items()},
        _estimates(document["overall"]),
        document["generations"],
        document["outcomes"],
        document["day"],
        document["spent_nanodollars"],
        document["left_out"],
    )


def estimate_row(estimate: Estimate) -> list[int | None]:
    """An estimate as the array of its fields, in field order."""
    return [getattr(estimate, name) for name in _ESTIMATE_FIELDS]


def estimate_from_row(row: list[Any]) -> Estimate:
    """The inverse of `estimate_row`; SnapshotError for numbers that no estimate can hold."""
    found = Estimate(*row)
    numbers = [number for number in row if number is not None]
    if not all(type(number) is int and 0 <= number < _TOO_LARGE for number in numbers):
        raise SnapshotError("an estimate holds whole numbers from 0 to below 10^15")
    if found.alpha_milli < 1 or found.beta_milli < 1 or found.quality_ppm > PPM:
        raise SnapshotError("an estimate needs alpha and beta of at least 1 and a quality of at most 1,000,000")
    return found


_TOO_LARGE = 10**15
_ESTIMATE_FIELDS = tuple(Estimate.__slots__)


def _sealed(
    made_ms: int,
    cells: Mapping[str, Mapping[str, Estimate]],
    tasks: Mapping[str, Mapping[str, Estimate]],
    overall: Mapping[str, Estimate],
    generations: Mapping[str, int],
    outcomes: Mapping[str, int],
    day: int,
    spent: Mapping[str, int],
    left_out: Mapping[str, int],
) -> Snapshot:
    unsealed = Snapshot(made_ms, cells, tasks, overall, generations, outcomes, day, spent, "", left_out)
    return replace(unsealed, fingerprint=fingerprint(_DOMAIN, snapshot_document(unsealed)))


def _rows(arms: Mapping[str, Estimate]) -> dict[str, list[int | None]]:
    return {arm: estimate_row(estimate) for arm, estimate in arms.items()}


def _estimates(rows: Mapping[str, list[Any]]) -> dict[str, Estimate]:
    return {arm: estimate_from_row(row) for arm, row in rows.items()}


def _leaves(rows: Iterable[CellRow], now_ms: int) -> tuple[dict[tuple[str, str, str], Sums], dict[str, int]]:
    """Sums per (cluster, task, arm) of each arm's newest generation, older epochs scaled down to the current
    landmark.
    """
    kept = list(rows)
    generations: dict[str, int] = {}
    for row in kept:
        generations[row.arm] = max(row.generation, generations.get(row.arm, 0))
    now_epoch = epoch_of(now_ms)
    parts: dict[tuple[str, str, str], list[Sums]] = defaultdict(list)
    for row in kept:
        if row.generation == generations[row.arm]:
            # A row of the next landmark comes from a clock a moment ahead of this one.
            up, down = (
                HALF_LIVES_PER_EPOCH * max(0, ahead) for ahead in (row.epoch - now_epoch, now_epoch - row.epoch)
            )
            scaled = {name: value if name in ("c", "p") else value << up >> down for name, value in row.sums.items()}
            parts[row.cluster, row.task, row.arm].append(scaled)
    return {key: merge_sums(found) for key, found in parts.items()}, dict(sorted(generations.items()))


def _less(total: Sums, part: Sums) -> Sums:
    return {name: value - part.get(name, 0) for name, value in total.items()}


def _estimate(own: Sums, sources: tuple[Sums, ...], parent: Estimate, weight_milli: int, now_weight: int) -> Estimate:
    n_milli = own.get("n", 0) * MILLI // now_weight
    s_milli = min(n_milli, own.get("s", 0) * MILLI // now_weight)
    parent_milli = parent.alpha_milli + parent.beta_milli
    borrowed = min(weight_milli, parent_milli)
    alpha = s_milli + parent.alpha_milli * borrowed // parent_milli
    beta = n_milli - s_milli + borrowed - parent.alpha_milli * borrowed // parent_milli
    q_milli = own.get("qn", 0) * MILLI // now_weight
    if q_milli:
        q_sum = own["q"] * MILLI // now_weight
        quality = (q_sum + parent.quality_ppm * borrowed) // (q_milli + borrowed)
    elif n_milli:
        quality = (s_milli * PPM + parent.quality_ppm * borrowed) // (n_milli + borrowed)
    else:
        quality = parent.quality_ppm
    return Estimate(
        alpha_milli=max(1, alpha),
        beta_milli=max(1, beta),
        n_milli=n_milli,
        count=own.get("c", 0),
        quality_ppm=min(PPM, quality),
        tokens_in=_first_mean(sources, "ti", "tn"),
        tokens_out=_first_mean(sources, "to", "tn"),
        latency_p95_ms=_first_p95(sources, "h"),
        ttft_p95_ms=_first_p95(sources, "g"),
        tokens_cached_read=_first_mean(sources, "tr", "tn"),
        tokens_cached_write=_first_mean(sources, "tw", "tn"),
    )


def _first_mean(sources: tuple[Sums, ...], total: str, weight: str) -> int | None:
    for sums in sources:
        if sums.get(weight, 0) > 0:
            return (sums.get(total, 0) + sums[weight] // 2) // sums[weight]
    return None


def _first_p95(sources: tuple[Sums, ...], prefix: str) -> int | None:
    for sums in sources:
        if (found := _p95(sums, prefix)) is not None:
            return found
    return None


def _p95(sums: Sums, prefix: str) -> int | None:
    """95th percentile from log2 buckets, linear inside the bucket that holds it."""
    buckets = sorted((int(name[1:]), value) for name, value in sums.items() if name[0] == prefix and name[1:].isdigit())
    total = sum(value for _, value in buckets)
    if total <= 0:
        return None
    target, below = total * 95 // 100, 0
    for bits, value in buckets:
        if value and below + value >= target:
            low, high = (1 << bits) >> 1, 1 << bits
            return low + (high - low) * (target - below) // value
        below += value
    return (1 << buckets[-1][0]) - 1


EMPTY = build_snapshot((), 0)
