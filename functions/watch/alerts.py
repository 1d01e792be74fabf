"""Alerts on their way out: a record with the ids and a count that an alarm of `infra/monitoring.yaml` watches."""

from __future__ import annotations

from threading import Lock

from functions.observability import observe
from policy_engine.alerts import Alert, AlertKind

__all__ = ["raise_alert"]

_METRICS: dict[AlertKind, str] = {
    "arm_degraded": "ArmsDegraded",
    "arm_improved": "ArmsImproved",
    "breaker_opened": "BreakersOpened",
    "breaker_closed": "BreakersClosed",
    "canary_stopped": "CanariesStopped",
    "snapshot_stale": "SnapshotsStale",
}
# Tenants are looked at side by side, and a metric is printed in more than one write.
_telling = Lock()
_GOOD_NEWS = ("arm_improved", "breaker_closed")


def raise_alert(alert: Alert) -> None:
    """One event: message `alert`, its kind, tenant and subject, and what is known of it."""
    facts = {"alert": alert.kind, "tenant": alert.tenant, "subject": alert.subject, **alert.facts}
    with _telling:
        observe("watch", "alert", {_METRICS[alert.kind]: 1}, facts, failed=alert.kind not in _GOOD_NEWS)
