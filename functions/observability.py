"""One record per invocation: metrics in EMF, and in it what a log line would say. Names, ids, counts and codes: no
prose of a caller.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from aws_lambda_powertools.metrics import EphemeralMetrics

__all__ = ["METRICS_NAMESPACE", "observe"]

METRICS_NAMESPACE = "Pointsman"

# EMF takes 100 values a metric; Powertools flushes by itself there, and warns when it is then told to flush nothing.
_RECORD_VALUES = 99


def observe(
    service: str,
    message: str,
    counts: Mapping[str, int],
    facts: Mapping[str, Any],
    *,
    failed: bool = False,
    milliseconds: Mapping[str, Sequence[int]] | None = None,
) -> None:
    """Emit `counts`, at least one, and `milliseconds` with the service as the only dimension; `level`, `message` and
    `facts` are members of the same record, which CloudWatch takes for a line to search and not for metrics.

    A tenant is a fact and never a dimension: dimensions are billed per distinct value.
    """
    # Ephemeral: the ordinary class shares its buffer among all instances, and local servers answer in threads.
    metrics = EphemeralMetrics(namespace=METRICS_NAMESPACE, service=service)
    for name, fact in {"level": "ERROR" if failed else "INFO", "message": message, **facts}.items():
        metrics.add_metadata(name, fact)
    for name, value in counts.items():
        metrics.add_metric(name, "Count", value)
    measured = [(name, value) for name, values in (milliseconds or {}).items() for value in values]
    for position, (name, value) in enumerate(measured, start=1):
        metrics.add_metric(name, "Milliseconds", value)
        if position % _RECORD_VALUES == 0:
            metrics.flush_metrics()
    if len(measured) % _RECORD_VALUES or (counts and not measured):
        metrics.flush_metrics()
