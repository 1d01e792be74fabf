"""Published prices as whole pico-dollars per token, with their tiers, dates and daily windows.

One US dollar per million tokens is 1,000,000 pico-dollars per token.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from policy_lang.frozen import frozen

__all__ = ["PRICE_FIELDS", "PriceRow", "Rates", "ScheduledRates", "picodollars", "standing"]

PRICE_FIELDS = ("price_in", "price_out", "price_cached_read", "price_cached_write")
_PER_MTOK = Decimal(1_000_000)


@frozen
class Rates:
    """Base prices by field, and per tier the input length above which its prices hold for the whole request.

    `rounded` names the fields whose published price is no whole number of pico-dollars.
    """

    base: Mapping[str, int]
    tiers: tuple[tuple[int, Mapping[str, int]], ...] = ()
    rounded: tuple[str, ...] = ()

    def document(self) -> dict[str, Any]:
        tiers = [{"above": above, **prices} for above, prices in self.tiers]
        return {**self.base, **({"tiers": tiers} if tiers else {})}

    def pair(self) -> tuple[int | None, int | None]:
        return self.base.get("price_in"), self.base.get("price_out")


@frozen
class ScheduledRates:
    """Rates from a date on, or within a daily UTC window; of several that hold, the last listed counts."""

    rates: Rates
    start: date | None = None
    daily: tuple[str, str] | None = None

    def document(self) -> dict[str, Any]:
        when: dict[str, Any] = {}
        if self.start is not None:
            when["from"] = self.start.isoformat()
        if self.daily is not None:
            when["daily"] = list(self.daily)
        return {**when, **self.rates.document()}


@frozen
class PriceRow:
    """A model of the price source. `schedule` is never empty."""

    id: str
    schedule: Sequence[ScheduledRates]
    context: int | None = None
    deprecated: bool = False
    batch: Rates | None = None


def standing(row: PriceRow, as_of: date) -> Rates:
    """The list price on a day: the last dated entry in force or a dearer daily window, so that it bounds every hour."""
    in_force = row.schedule[0].rates
    windows: list[Rates] = []
    for entry in row.schedule:
        if entry.daily is not None:
            windows.append(entry.rates)
        elif entry.start is None or entry.start <= as_of:
            in_force, windows = entry.rates, []
    return max((in_force, *windows), key=lambda rates: tuple(price or 0 for price in rates.pair()))


def picodollars(usd_per_mtok: Decimal) -> tuple[int, bool]:
    """Whole pico-dollars per token, half up, and whether that rounded."""
    exact = usd_per_mtok * _PER_MTOK
    whole = exact.to_integral_value(ROUND_HALF_UP)
    return int(whole), whole != exact
