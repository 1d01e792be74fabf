"""Session pins: a signed note of which arm a session is on, and when leaving that arm pays.

The caller carries the pin; nothing is stored. A pin never outranks a gate: it is checked anew on every turn.
"""

from __future__ import annotations

import json

from policy_engine.costs import Usage, call_cost, expected_usage, prefix_cost
from policy_engine.selection import Option
from policy_engine.token import SigningKeys, TokenError, sign, signed_payload
from policy_lang.canonical import canonical
from policy_lang.envelope import Envelope
from policy_lang.frozen import frozen
from policy_lang.ir import PPM, Route

__all__ = ["Pin", "PinVerdict", "mint_pin", "verify_pin", "weigh_pin"]


@frozen
class Pin:
    """`session` of `tenant` is on `arm` in `route` until `until_ms`."""

    tenant: str
    session: str
    route: str
    arm: str
    until_ms: int


@frozen
class PinVerdict:
    """Whether the session stays. Nano-dollars a call: what switching gains, and the warm prefix it gives up."""

    kept: bool
    gain_nanodollars: int
    switch_cost_nanodollars: int


def mint_pin(pin: Pin, keys: SigningKeys) -> str:
    """The pin as a signed string for the caller to carry."""
    return sign("pin", canonical([pin.tenant, pin.session, pin.route, pin.arm, pin.until_ms]), keys)


def verify_pin(text: str, keys: SigningKeys) -> Pin:
    """The pin of a signed string; TokenError when it is not ours or was altered."""
    fields = json.loads(signed_payload("pin", text, keys))
    if not isinstance(fields, list) or len(fields) != 5:
        raise TokenError("malformed_token")
    return Pin(*fields)


def weigh_pin(
    pinned: Option, best: Option, route: Route, shape: Envelope, *, batch: bool = False, climbing: int = 0
) -> PinVerdict:
    """Stay unless the arm has failed its floor, or the gain of `best` a call beats re-paying the cached prefix.

    The gain is in money: cost saved, plus quality gained at V where the route prices a success. Both prompts are taken
    as sent anew, for what the cache saves is the other side of the scales: it must not be counted twice. climbing: what
    the further steps of a cascade cost the one more than the other.
    """
    lost = prefix_cost(pinned.candidate.model, expected_usage(shape, pinned.estimate), batch=batch)
    saved = _uncached(pinned, shape, batch) - _uncached(best, shape, batch) + climbing
    gain = saved + _quality_gain(pinned, best, route)
    failed = pinned.state == "failed" and best.state != "failed"
    return PinVerdict(not failed and (best is pinned or gain <= lost), gain, lost)


def _uncached(option: Option, shape: Envelope, batch: bool) -> int:
    usage = expected_usage(shape, option.estimate)
    return call_cost(option.candidate.model, Usage(usage.prompt, usage.output), batch=batch)


def _quality_gain(pinned: Option, best: Option, route: Route) -> int:
    value = route.pick[0].value_nanodollars or 0
    return (best.estimate.quality_ppm - pinned.estimate.quality_ppm) * value // PPM
