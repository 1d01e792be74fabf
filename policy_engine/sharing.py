"""What a tenant that opted in tells the others: of each public arm, how many outcomes and the mean of them.

Never from its estimates, which already lean on what the others told: a rumour would confirm itself.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping

from policy_engine.estimate import Belief
from policy_engine.priors import TenantMean, shared_priors
from policy_engine.statistics import CellRow
from policy_lang.catalog import default_catalog
from policy_lang.ir import PPM

__all__ = ["pooled", "tenant_means"]


def tenant_means(rows: Iterable[CellRow], generations: Mapping[str, int]) -> dict[str, TenantMean]:
    """A tenant's record by arm, all cells and what counts of it today: outcomes of the arm's present generation.

    Arms of the tenant's own catalog are nobody else's business.
    """
    public = default_catalog().models
    counts: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    for row in rows:
        if row.arm in public and row.generation == generations.get(row.arm, 0):
            counts[row.arm][0] += row.sums.get("c", 0)
            counts[row.arm][1] += row.sums.get("w", 0)
    return {arm: TenantMean(n, wins * PPM // n) for arm, (n, wins) in sorted(counts.items()) if 0 < n >= wins >= 0}


def pooled(records: Iterable[Mapping[str, TenantMean]]) -> dict[str, Belief]:
    """Shared priors from the records of the tenants that opted in."""
    by_arm: dict[str, list[TenantMean]] = defaultdict(list)
    for record in records:
        for arm, mean in record.items():
            by_arm[arm].append(mean)
    return shared_priors(by_arm)
