"""What a call is expected to cost: tokens by class times the prices that hold for its size, date and service.

Dates are settled before (`Catalog.on`); here a catalog row holds one price list. Money in whole nano-dollars.
"""

from __future__ import annotations

from typing import NamedTuple

from policy_engine.snapshot import Estimate
from policy_lang.catalog import Model
from policy_lang.envelope import Envelope, typical_tokens

__all__ = ["TOKENS_PER_TOOL", "Usage", "call_cost", "expected_usage", "prefix_cost"]

#: Typical size of one tool schema in a prompt; counted only until an arm's own token counts are known, which include
#: it.
TOKENS_PER_TOOL = 150
_TYPICAL_TOOLS = {"0": 0, "1": 1, "2-4": 3, "5-9": 7, "10-19": 14, "20+": 30}


class Usage(NamedTuple):
    """Tokens of one call: the whole prompt, the parts of it read from and written to the cache, the completion.

    Reasoning tokens are part of `output`: every provider in the catalog bills them at the completion's price.
    """

    prompt: int
    output: int
    cached_read: int = 0
    cached_write: int = 0


def expected_usage(envelope: Envelope, estimate: Estimate) -> Usage:
    """What was learned of the arm in this cell, or the typical size of the shape's buckets plus its tool schemas."""
    prompt, output = estimate.tokens_in, estimate.tokens_out
    if prompt is not None and output is not None:
        return Usage(prompt, output, estimate.tokens_cached_read or 0, estimate.tokens_cached_write or 0)
    prompt, output = typical_tokens(envelope)
    return Usage(prompt + TOKENS_PER_TOOL * _TYPICAL_TOOLS[envelope.tools_used], output)


def call_cost(model: Model, usage: Usage, *, batch: bool = False) -> int:
    """Nano-dollars of one call, rounded half up; a cache class the row does not price costs what fresh input does."""
    prompt, output, cached_read, cached_write = usage
    # A model without tiers is its own price list.
    held = model.prices(prompt, batch=batch) if model.tiers or batch else model
    price = held.price_in
    if not cached_read and not cached_write:
        return (prompt * price + output * held.price_out + 500) // 1000
    read = price if held.price_cached_read is None else held.price_cached_read
    write = price if held.price_cached_write is None else held.price_cached_write
    fresh = max(0, prompt - cached_read - cached_write)
    return (fresh * price + cached_read * read + cached_write * write + output * held.price_out + 500) // 1000


def prefix_cost(model: Model, usage: Usage, *, batch: bool = False) -> int:
    """Nano-dollars that a warm prompt cache saves on the next turn of a session: the whole prompt read, not sent
    anew.
    """
    fresh, warm = Usage(usage.prompt, usage.output), Usage(usage.prompt, usage.output, cached_read=usage.prompt)
    return max(0, call_cost(model, fresh, batch=batch) - call_cost(model, warm, batch=batch))
