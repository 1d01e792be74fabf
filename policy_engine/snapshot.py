"""The snapshot: estimates that decisions use, derived from the statistics rows of one tenant, content-addressed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import astuple, field, replace
from typing import Any, NamedTuple

from policy_engine.degradation import CALM, Arrivals, Score, Watch, advanced, moved_ppm
from policy_engine.estimate import (
    MILLI,
    PRIOR,
    Belief,
    Estimate,
    Evidence,
    estimate_from_row,
    estimate_row,
    evidence_of,
    updated,
)
from policy_engine.priors import catalog_priors
from policy_engine.shrinkage import STRANGER, Leaf, Levels, shrunk
from policy_engine.soundness import sifted
from policy_engine.statistics import HALF_LIVES_PER_EPOCH, CellRow, Sums, decay_weight, epoch_of, merge_sums
from policy_lang.catalog import Model
from policy_lang.fingerprint import fingerprint
from policy_lang.frozen import frozen

__all__ = [
    "EMPTY",
    "PRIOR",
    "Estimate",
    "Known",
    "Snapshot",
    "build_snapshot",
    "estimate_row",
    "snapshot_document",
    "snapshot_from_document",
]

_DOMAIN = "pointsman/snapshot/1"
_RAW = frozenset(("b", "c", "p", "w", "x"))
#: What an arm's record is worth in its new generation, moved by what was measured.
_MOVED_WEIGHT_MILLI = 12 * MILLI
_STRANGER = Belief(PRIOR.success_ppm, PRIOR.quality_ppm, PRIOR.strength_milli)


class Known(NamedTuple):
    """What a snapshot holds of one arm in one cell. `outcomes`: the tenant's with this arm, raw, of its generation."""

    estimate: Estimate
    outcomes: int
    generation: int


@frozen
class Snapshot:
    """Estimates of one tenant at `made_ms`.

    `cells` by cluster; `tasks` and `overall` hold what an unseen cell of that task, or of an unseen task, is given; in
    both, arm `*` stands for arms never tried; in a cell it holds the usual size of a call there. `generations`,
    `moves`: how often an arm's record was set aside, and how far (ppm, signed) it had moved then. `watches`: the scores
    that notice. `outcomes`: raw floor-relevant outcomes by arm, of its generation. `spent_nanodollars`: money spent on
    exploration today (UTC day `day`) by policy and route, `acme/support/labelling`. `left_out`: rows that could not be
    believed, by reason.
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
    moves: Mapping[str, int]
    watches: Mapping[str, Watch]
    left_out: Mapping[str, int] = field(default_factory=dict)

    def estimate(self, cluster: str, task: str, arm: str) -> Estimate:
        """Best available: the cell, else its task, else the tenant, else what untried arms are given.

        Sizes do not carry over between shapes: an arm unseen in a cell is expected to use what the others use there.
        """
        cell = self.cells.get(cluster, {})
        if (own := cell.get(arm)) is not None:
            return own
        above = self.tasks.get(task, {}).get(arm) or self.overall.get(arm)
        if above is None:
            above = self.tasks.get(task, self.overall).get(STRANGER, PRIOR)
        usual = cell.get(STRANGER)
        if usual is None or usual.tokens_in is None:
            return above
        return above._replace(tokens_in=usual.tokens_in, tokens_out=usual.tokens_out)

    def known(self, cluster: str, task: str, arms: Iterable[str]) -> dict[str, Known]:
        """All that a decision in a cell asks of the snapshot about `arms`."""
        cell, outcomes, generations = self.cells.get(cluster, {}), self.outcomes, self.generations
        return {
            arm: Known(
                cell.get(arm) or self.estimate(cluster, task, arm), outcomes.get(arm, 0), generations.get(arm, 0)
            )
            for arm in arms
        }


def build_snapshot(
    rows: Iterable[CellRow],
    now_ms: int,
    *,
    spent_nanodollars: Mapping[str, int] | None = None,
    previous: Snapshot | None = None,
    models: Iterable[Model] = (),
    shared: Mapping[str, Belief] | None = None,
) -> Snapshot:
    """Derive every estimate from stored sums, as of `now_ms`.

    `previous` carries the scores on: an arm that has moved from its record starts a new generation, whose prior is the
    old record moved as far. Without it nothing is watched. `models`: catalog rows of the arms that may serve, whose
    priors come from their neighbours; `shared` priors go before those.
    """
    before = previous or EMPTY
    kept, left_out = sifted(rows, now_ms)
    generations = dict(before.generations)
    for row in kept:
        generations[row.arm] = max(row.generation, generations.get(row.arm, 0))
    watches = _watched(_leaves(kept, generations, now_ms), before, generations) if previous else {}
    moves = {arm: move for arm, move in before.moves.items() if generations.get(arm) == before.generations.get(arm)}
    for arm, watch in list(watches.items()):
        if (move := moved_ppm(watch)) is not None:
            generations[arm] += 1
            moves[arm] = move
            del watches[arm]
    leaves = _leaves(kept, generations, now_ms)
    neighbours = catalog_priors(models, _records(leaves, now_ms))
    priors = {**neighbours, **(shared or {}), **_set_aside(kept, generations, moves, now_ms)}
    return _sealed(
        Snapshot(
            made_ms=now_ms,
            **_levels(shrunk(leaves, priors, _STRANGER, decay_weight(now_ms))),
            generations=dict(sorted(generations.items())),
            outcomes=_counted(leaves),
            day=now_ms // 86_400_000,
            spent_nanodollars=dict(spent_nanodollars or {}),
            fingerprint="",
            moves=dict(sorted(moves.items())),
            watches=dict(sorted(watches.items())),
            left_out=left_out,
        )
    )


def snapshot_document(snapshot: Snapshot) -> dict[str, Any]:
    """A snapshot as JSON values; an estimate is the array of its fields."""
    return {
        "cells": {cluster: _rows(arms) for cluster, arms in snapshot.cells.items()},
        "day": snapshot.day,
        "generations": dict(snapshot.generations),
        "left_out": dict(snapshot.left_out),
        "made_ms": snapshot.made_ms,
        "moves": dict(snapshot.moves),
        "outcomes": dict(snapshot.outcomes),
        "overall": _rows(snapshot.overall),
        "spent_nanodollars": dict(snapshot.spent_nanodollars),
        "tasks": {task: _rows(arms) for task, arms in snapshot.tasks.items()},
        "watches": {arm: [*astuple(watch.fall), *astuple(watch.rise)] for arm, watch in snapshot.watches.items()},
    }


def snapshot_from_document(document: Mapping[str, Any]) -> Snapshot:
    """The inverse of `snapshot_document`; the fingerprint is computed anew."""
    return _sealed(
        Snapshot(
            made_ms=document["made_ms"],
            cells={cluster: _estimates(arms) for cluster, arms in document["cells"].items()},
            tasks={task: _estimates(arms) for task, arms in document["tasks"].items()},
            overall=_estimates(document["overall"]),
            generations=document["generations"],
            outcomes=document["outcomes"],
            day=document["day"],
            spent_nanodollars=document["spent_nanodollars"],
            fingerprint="",
            moves=document["moves"],
            watches={arm: Watch(Score(*row[:3]), Score(*row[3:])) for arm, row in document["watches"].items()},
            left_out=document["left_out"],
        )
    )


def _sealed(unsealed: Snapshot) -> Snapshot:
    return replace(unsealed, fingerprint=fingerprint(_DOMAIN, snapshot_document(unsealed)))


def _rows(arms: Mapping[str, Estimate]) -> dict[str, list[int | None]]:
    return {arm: estimate_row(estimate) for arm, estimate in arms.items()}


def _estimates(rows: Mapping[str, list[Any]]) -> dict[str, Estimate]:
    return {arm: estimate_from_row(row) for arm, row in rows.items()}


def _levels(levels: Levels) -> dict[str, Any]:
    return {"cells": levels.cells, "tasks": levels.tasks, "overall": levels.overall}


def _leaves(rows: Iterable[CellRow], generations: Mapping[str, int], now_ms: int) -> dict[Leaf, Sums]:
    """Sums per leaf of each arm's generation, older epochs scaled down to the current landmark."""
    now_epoch = epoch_of(now_ms)
    parts: dict[Leaf, list[Sums]] = defaultdict(list)
    for row in rows:
        if row.generation == generations[row.arm]:
            # A row of the next landmark comes from a clock a moment ahead of this one.
            up = HALF_LIVES_PER_EPOCH * max(0, row.epoch - now_epoch)
            down = HALF_LIVES_PER_EPOCH * max(0, now_epoch - row.epoch)
            scaled = {name: value if name in _RAW else value << up >> down for name, value in row.sums.items()}
            parts[row.cluster, row.task, row.arm].append(scaled)
    return {key: merge_sums(found) for key, found in sorted(parts.items())}


def _counted(leaves: Mapping[Leaf, Sums]) -> dict[str, int]:
    counts: dict[str, int] = defaultdict(int)
    for (_, _, arm), sums in leaves.items():
        if sums.get("c", 0):
            counts[arm] += sums["c"]
    return dict(sorted(counts.items()))


def _watched(leaves: Mapping[Leaf, Sums], before: Snapshot, generations: Mapping[str, int]) -> dict[str, Watch]:
    """Scores advanced by what came in since `before`; an arm of a newer generation starts calm."""
    arrived: dict[str, list[Arrivals]] = defaultdict(list)
    for (cluster, task, arm), sums in leaves.items():
        expected = before.estimate(cluster, task, arm)
        seen = expected if arm in before.cells.get(cluster, {}) else PRIOR
        arrived[arm].append(Arrivals(expected, sums.get("c", 0) - seen.count, sums.get("w", 0) - seen.wins))
    found = {}
    for arm, arrivals in arrived.items():
        same = generations[arm] == before.generations.get(arm, 0)
        watch = advanced(before.watches.get(arm, CALM) if same else CALM, arrivals)
        if watch != CALM:
            found[arm] = watch
    return found


def _set_aside(
    rows: Iterable[CellRow], generations: Mapping[str, int], moves: Mapping[str, int], now_ms: int
) -> dict[str, Belief]:
    """Prior of each moved arm: what its last generation had come to, moved as far."""
    last = {arm: generations[arm] - 1 for arm in moves}
    old = [row for row in rows if row.arm in last]
    return {
        arm: replace(record.moved(moves[arm]), weight_milli=min(record.weight_milli, _MOVED_WEIGHT_MILLI))
        for arm, record in _records(_leaves(old, last, now_ms), now_ms).items()
    }


def _records(leaves: Mapping[Leaf, Sums], now_ms: int) -> dict[str, Belief]:
    """What each arm's own outcomes say of it, all cells taken together."""
    evidence: dict[str, Evidence] = defaultdict(Evidence)
    for (_, _, arm), sums in leaves.items():
        evidence[arm] += evidence_of(sums, decay_weight(now_ms))
    return {arm: updated(found, _STRANGER, PRIOR.strength_milli) for arm, found in evidence.items()}


EMPTY = _sealed(Snapshot(0, {}, {}, {}, {}, {}, 0, {}, "", {}, {}))
