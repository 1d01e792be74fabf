"""Means over seeds with their 95 % intervals."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import NormalDist, fmean, stdev


def mean_interval(values: Sequence[float]) -> dict[str, float]:
    """Mean and two-sided 95 % Student interval; the interval is the mean itself for a single value."""
    mean = fmean(values)
    half = 0.0 if len(values) < 2 else student(len(values) - 1) * stdev(values) / len(values) ** 0.5
    return {"mean": round(mean, 4), "low": round(mean - half, 4), "high": round(mean + half, 4)}


def student(freedom: int, level: float = 0.975) -> float:
    """Quantile of Student's t by Hill's expansion (Abramowitz and Stegun 26.7.5), exact to 1 % from 3 degrees on."""
    z = NormalDist().inv_cdf(level)
    first = (z**3 + z) / 4
    second = (5 * z**5 + 16 * z**3 + 3 * z) / 96
    third = (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384
    return z + first / freedom + second / freedom**2 + third / freedom**3


def median(values: Sequence[float]) -> float:
    ordered = sorted(values)
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2
