"""Effects in groups that fit a transaction each, and what each group comes to, item by item.

Events of one batch share cells on one side and items of markers on the other. Either can be kept together, at the price
of writing the other more often; which is cheaper depends on how the traffic came, so both are tried.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence

from functions.stores.keys import shard_of
from functions.stores.markers import AT_ONCE, MarkerItem, marker_item
from policy_engine.settlement import CellKey, Effect, LaneTally, MarkerKey
from policy_engine.statistics import Sums, merge_sums
from policy_engine.trials import TrialLane
from policy_lang.frozen import frozen

__all__ = ["MAX_TRANSACTION_ITEMS", "Additions", "Depths", "Place", "TallyItem", "additions", "shelved", "transactions"]

#: DynamoDB's limit on distinct items in one transaction.
MAX_TRANSACTION_ITEMS = 100

#: How many full items a marker has been looked for in.
Depths = Mapping[MarkerKey, int]
Place = tuple[str, int, int]


@frozen
class TallyItem:
    """The item of a lane that lies beside the cells of one shard."""

    tenant: str
    shard: int
    lane: TrialLane


@frozen
class Additions:
    """What the effects of one transaction add, one entry an item. A lane's item is kept as long as the newest marker
    of what it counts, seconds: a trial that nothing was added to for so long is over.
    """

    cells: Mapping[CellKey, Sums]
    settled: Mapping[Place, Mapping[str, int]]
    tallies: Mapping[TallyItem, tuple[Sums, int]]


def transactions(effects: Sequence[Effect], depths: Depths) -> list[list[Effect]]:
    """`effects` in groups that fit one transaction each, so that few items are written."""
    orders = (_cell_by_cell, _item_by_item)
    return min((_grouped(effects, depths, order) for order in orders), key=lambda groups: _written(groups, depths))


def shelved(effects: Sequence[Effect], depths: Depths) -> dict[MarkerItem, list[Effect]]:
    """The effects whose markers belong into one item, item by item."""
    found: dict[MarkerItem, list[Effect]] = defaultdict(list)
    for effect in effects:
        found[_shelf(effect, depths)].append(effect)
    return dict(found)


def additions(effects: Sequence[Effect]) -> Additions:
    """What `effects` add up to."""
    cells: dict[CellKey, list[Sums]] = {}
    settled: dict[Place, Counter[str]] = defaultdict(Counter)
    tallies: dict[TallyItem, list[Effect]] = {}
    for effect in effects:
        if effect.sums:
            cells.setdefault(effect.cell, []).append(effect.sums)
        if effect.charges:
            settled[_place(effect)].update(dict(effect.charges))
        if effect.tally:
            tallies.setdefault(_tally_item(effect, effect.tally), []).append(effect)
    return Additions(
        {cell: merge_sums(parts) for cell, parts in cells.items()},
        settled,
        {item: _tallied(found) for item, found in tallies.items()},
    )


_Order = Callable[[Effect], tuple[str, ...]]


def _cell_by_cell(effect: Effect) -> tuple[str, ...]:
    cell = effect.cell
    return (cell.tenant, f"{shard_of(cell.cluster)}", cell.cluster, cell.arm, *_item_by_item(effect))


def _item_by_item(effect: Effect) -> tuple[str, ...]:
    """By the time of the decision, and with it by item, however deep: what shares an item has ids that begin alike."""
    marker = effect.marker
    return (marker.tenant, marker.field, marker.decision_id, f"{marker.hop:02}")


def _grouped(effects: Sequence[Effect], depths: Depths, order: _Order) -> list[list[Effect]]:
    groups: list[list[Effect]] = []
    over: list[Effect] = []
    items: set[object] = set()
    put: Counter[MarkerItem] = Counter()
    for effect in sorted(effects, key=order):
        needed, shelf = _items(effect, depths), _shelf(effect, depths)
        if not groups or len(items | needed) > MAX_TRANSACTION_ITEMS:
            groups.append([])
            items, put = set(), Counter()
        if put[shelf] == AT_ONCE:
            over.append(effect)
            continue
        groups[-1].append(effect)
        items |= needed
        put[shelf] += 1
    return groups + (_grouped(over, depths, order) if over else [])


def _written(groups: Sequence[Sequence[Effect]], depths: Depths) -> int:
    return sum(len(set[object]().union(*(_items(effect, depths) for effect in group))) for group in groups)


def _items(effect: Effect, depths: Depths) -> set[object]:
    needed: set[object] = {_shelf(effect, depths)}
    if effect.sums:
        needed.add(effect.cell)
    if effect.charges:
        needed.add(_place(effect))
    if effect.tally:
        needed.add(_tally_item(effect, effect.tally))
    return needed


def _shelf(effect: Effect, depths: Depths) -> MarkerItem:
    return marker_item(effect.marker, depths.get(effect.marker, 0))


def _tallied(effects: Sequence[Effect]) -> tuple[Sums, int]:
    sums = merge_sums(effect.tally.sums for effect in effects if effect.tally)
    return sums, max(effect.expires_ms for effect in effects) // 1000


def _tally_item(effect: Effect, tally: LaneTally) -> TallyItem:
    """Beside the cell that the same effect adds to: a lane is spread over partitions as the cells are."""
    return TallyItem(effect.cell.tenant, shard_of(effect.cell.cluster), tally.lane)


def _place(effect: Effect) -> Place:
    """Where charges are settled: by the shard of their cell, so that few transactions meet there that do not already
    meet at the cell.
    """
    return (effect.cell.tenant, effect.day, shard_of(effect.cell.cluster))
