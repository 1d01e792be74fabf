"""List prices of an arm from what its calls were published to cost.

Where the costs are linear in the tokens, least squares gives both prices exactly (whole pico-dollars per token, none
negative). Where they are not, or the tokens were never published, one blended price is taken that reproduces the arm's
total cost: expected costs then order the arms as the file's mean costs do.
"""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["Priced", "list_prices"]

#: (input tokens, output tokens, cost in dollars) of one call.
Priced = tuple[int, int, float]

_PICO = 1e12
_TOLERANCE = 0.01


def list_prices(calls: Sequence[Priced]) -> tuple[int, int]:
    """Price in and price out in pico-dollars per token; (0, 0) for an arm that cost nothing."""
    fitted = _least_squares(calls)
    return fitted if fitted is not None and _fits(calls, fitted) else _blended(calls)


def _least_squares(calls: Sequence[Priced]) -> tuple[int, int] | None:
    """The 2 x 2 normal equations; None where input and output never vary apart from one another."""
    ii = sum(i * i for i, _, _ in calls)
    oo = sum(o * o for _, o, _ in calls)
    io = sum(i * o for i, o, _ in calls)
    determinant = ii * oo - io * io
    if determinant <= 0:
        return None
    ic = sum(i * cost for i, _, cost in calls) * _PICO
    oc = sum(o * cost for _, o, cost in calls) * _PICO
    price_in, price_out = (ic * oo - oc * io) / determinant, (oc * ii - ic * io) / determinant
    if price_in < 0:
        return 0, round(oc / oo)
    if price_out < 0:
        return round(ic / ii), 0
    return round(price_in), round(price_out)


def _fits(calls: Sequence[Priced], prices: tuple[int, int]) -> bool:
    """Whether the absolute errors of the calls come to less than one percent of their cost."""
    missed = sum(abs(i * prices[0] + o * prices[1] - cost * _PICO) for i, o, cost in calls)
    return missed <= _TOLERANCE * sum(cost for _, _, cost in calls) * _PICO


def _blended(calls: Sequence[Priced]) -> tuple[int, int]:
    tokens = sum(i + o for i, o, _ in calls)
    price = round(sum(cost for _, _, cost in calls) * _PICO / tokens) if tokens else 0
    return price, price
