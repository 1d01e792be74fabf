"""Tenants that have told enough since their last snapshot to be worth one before the minute is over.

Counted in memory: an environment that is lost, or an ask that is, costs a tenant the time until the next one or until
the minute's look. Several environments count each for itself; between them a tenant is asked for once in
`BUSY_OUTCOMES` outcomes, and `watch` leaves out those whose snapshot is young (docs/decisions/0011).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from functions.caching import Recent
from functions.stores.errors import StoreError
from functions.stores.invocations import Callee
from policy_engine.settlement import Telemetry

__all__ = ["BUSY_OUTCOMES", "News"]

#: As many calls as a breaker is judged by. A look costs about as much as four decisions: at most a fifth on top.
BUSY_OUTCOMES = 20
_HELD_TENANTS = 4096


class News:
    """Outcomes by tenant that were applied since `watch` was last asked to look at it."""

    def __init__(self, watch: Callee) -> None:
        self._watch = watch
        self._counts: Recent[str, int] = Recent(_HELD_TENANTS)

    def heard(self, applied: Iterable[Telemetry]) -> dict[str, Any]:
        """Count outcomes and ask for looks at the busy tenants, once a batch; what to log of it.

        Asked as of the newest arrival: no handler reads a clock. Where `watch` cannot be asked, the count stands.
        """
        applied = list(applied)
        told = Counter(each.tenant for each in applied)
        counts = {tenant: self._counts.put(tenant, (self._counts.get(tenant) or 0) + n) for tenant, n in told.items()}
        busy = sorted(tenant for tenant, count in counts.items() if count >= BUSY_OUTCOMES)
        if not busy:
            return {}
        newest = datetime.fromtimestamp(max(each.received_ms for each in applied) / 1000, UTC)
        try:
            self._watch.call({"busy": busy, "time": newest.isoformat(timespec="milliseconds")})
        except StoreError as outage:
            return {"busy": busy, "unasked": outage.cause}
        for tenant in busy:
            self._counts.put(tenant, 0)
        return {"busy": busy}
