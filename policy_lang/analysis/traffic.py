"""Past or stated traffic: how often which calls come, as weights for shares, costs and floors."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import product

from policy_lang.analysis.space import Call, Cells, Space
from policy_lang.envelope import Envelope, cluster_id
from policy_lang.frozen import frozen
from policy_lang.shapes import ENVELOPE_FIELDS, values_of

__all__ = ["Traffic", "traffic_from_histogram"]


@frozen
class Traffic:
    """`mix`: calls with their counts, empty where only the number is known. `daily`: decisions a day."""

    mix: tuple[tuple[Call, int], ...] = ()
    daily: int | None = None

    @property
    def total(self) -> int:
        return sum(count for _, count in self.mix)

    def weight(self, space: Space, cells: Cells) -> int:
        """How many of the counted calls lie in a set of cells."""
        return sum(count for call, count in self.mix if space.cell_of(call.facts()) & cells)


def traffic_from_histogram(
    histogram: Mapping[Call | Envelope | tuple[str | bool, ...] | str, int],
    tasks: Iterable[str],
    daily: int | None = None,
) -> Traffic:
    """A histogram by call, envelope, tuple of an envelope's six values, or cluster id.

    Requests of an envelope alone state no org, team or product. ValueError for a cluster id that no envelope over
    `tasks` has.
    """
    wanted = {key for key in histogram if isinstance(key, str)}
    clusters = _envelopes_by_cluster(tasks, wanted) if wanted else {}
    if unknown := sorted(wanted - clusters.keys()):
        raise ValueError(f"`{unknown[0][:40]}` is not the id of an envelope over these tasks")
    mix: dict[Call, int] = {}
    for key, count in histogram.items():
        call = key if isinstance(key, Call) else Call(_envelope(key, clusters))
        mix[call] = mix.get(call, 0) + count
    return Traffic(tuple(mix.items()), daily)


def _envelope(key: Envelope | tuple[str | bool, ...] | str, clusters: Mapping[str, Envelope]) -> Envelope:
    if isinstance(key, Envelope):
        return key
    return clusters[key] if isinstance(key, str) else Envelope(*key)  # type: ignore[arg-type]  # six values in order


def _envelopes_by_cluster(tasks: Iterable[str], wanted: set[str]) -> dict[str, Envelope]:
    names = frozenset(tasks)
    fields = [[(field, value) for value in values_of(name, names)] for name, field in ENVELOPE_FIELDS.items()]
    every = (Envelope(**dict(values)) for values in product(*fields))  # type: ignore[arg-type]  # as in Space.call
    return {cluster: envelope for envelope in every if (cluster := cluster_id(envelope)) in wanted}
