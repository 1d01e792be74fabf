"""The decision token: what `learn` must know about a decision, signed, so that telemetry never waits for a look-up.

`1.<key id>.<payload>.<mac>`; payload is base64url canonical JSON, mac is HMAC-SHA256 (RFC 2104) over the three parts
before it.
The prices of the plan's arms travel in it, so the cost of a hop is computed at the prices the decision was made at.
"""

from __future__ import annotations

import hmac
import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as Base64Error
from collections.abc import Mapping

from policy_engine.trials import TrialLane
from policy_lang.canonical import canonical
from policy_lang.catalog import Model, Prices
from policy_lang.frozen import frozen

__all__ = [
    "SigningKeys",
    "TokenArm",
    "TokenClaims",
    "TokenError",
    "fitting",
    "mint",
    "priced_arm",
    "sign",
    "signed_payload",
    "verify",
]

#: Of the arms' rows in the payload, in bytes. In base64url five sixths of the 16,384 characters that telemetry admits;
#: the sixth that is left is more than tenant, names and key id can fill.
_MOST_ARM_BYTES = 10_240


class TokenError(ValueError):
    """The token is not one of ours, or was altered. `code` is `malformed_token` or `bad_signature`."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


@frozen
class SigningKeys:
    """The key that signs and those that still verify, by key id; rotation adds one and keeps the old for 35 days."""

    current: str
    secrets: Mapping[str, bytes]


@frozen
class TokenArm:
    """One arm of the plan with the learning generation and the prices (pico-dollars per token) it was chosen at.

    `tiers`: prompt tokens above which other prices hold, and those four, ascending.
    """

    arm: str
    generation: int
    price_in: int
    price_out: int
    price_cached_read: int
    price_cached_write: int
    tiers: tuple[tuple[int, int, int, int, int], ...] = ()

    def cost_nanodollars(
        self, input_tokens: int, output_tokens: int, cached_read: int = 0, cached_write: int = 0
    ) -> int:
        """Cost of one hop; cached tokens are part of `input_tokens`, as providers report them. Rounded half up."""
        price_in, price_out, price_read, price_write = self._prices(input_tokens)
        fresh = max(0, input_tokens - cached_read - cached_write)
        picodollars = (
            fresh * price_in + cached_read * price_read + cached_write * price_write + output_tokens * price_out
        )
        return (picodollars + 500) // 1000

    def _prices(self, input_tokens: int) -> tuple[int, int, int, int]:
        for above, *prices in reversed(self.tiers):
            if input_tokens > above:
                return _four(*prices)
        return self.price_in, self.price_out, self.price_cached_read, self.price_cached_write


def priced_arm(model: Model, generation: int, *, batch: bool = False) -> TokenArm:
    """The arm at the prices it was chosen at: those of its batch service where they counted and it has one."""
    first, *longer = model.steps(batch=batch)
    return TokenArm(model.arm, generation, *_classes(first), tuple((step.above, *_classes(step)) for step in longer))


def _classes(step: Prices) -> tuple[int, int, int, int]:
    """Input, output, cached reads and writes; a cache class without a price costs what fresh input does."""
    read = step.price_in if step.price_cached_read is None else step.price_cached_read
    write = step.price_in if step.price_cached_write is None else step.price_cached_write
    return step.price_in, step.price_out, read, write


@frozen
class TokenClaims:
    """A decision as telemetry needs it. `at_ms` is the decision's time; `arms` are the plan's, in hop order.

    `decided`: in shadow, the arm that would have served; then `arms` holds candidates behind the plan's, all of them
    where a token has room (`fitting`). `trial`:
    the lane whose stop-loss counts the decision. `trips`: outcomes after which the route says `open breaker`.
    `charges`: what it was expected to use of each account (`accounts.py`), by key.
    """

    tenant: str
    decision_id: str
    cluster: str
    task: str
    route: str
    arms: tuple[TokenArm, ...]
    propensity_ppm: int
    explored: bool
    at_ms: int
    decided: str | None = None
    trial: TrialLane | None = None
    trips: tuple[str, ...] = ()
    charges: tuple[tuple[str, int], ...] = ()


def fitting(plan: tuple[TokenArm, ...], others: tuple[TokenArm, ...]) -> tuple[TokenArm, ...]:
    """The first of `others`, in their order and up to the one that a token beside the arms of the plan has no room for.

    So that telemetry admits every token; with names and prices as they are, it holds about 140 arms.
    """
    planned = {arm.arm for arm in plan}
    room = _MOST_ARM_BYTES - sum(_size(arm) for arm in plan)
    for count, arm in enumerate(others):
        room -= 0 if arm.arm in planned else _size(arm)
        if room < 0:
            return others[:count]
    return others


def mint(claims: TokenClaims, keys: SigningKeys) -> str:
    """Sign `claims` with the current key."""
    arms = [_row(arm) for arm in claims.arms]
    payload = [
        claims.tenant,
        claims.decision_id,
        claims.cluster,
        claims.task,
        claims.route,
        arms,
        claims.propensity_ppm,
        int(claims.explored),
        claims.at_ms,
        _seldom(claims),
    ]
    return sign("1", canonical(payload), keys)


def verify(token: str, keys: SigningKeys) -> TokenClaims:
    """Claims of a token signed with any known key; TokenError otherwise."""
    payload = json.loads(signed_payload("1", token, keys))
    tenant, decision_id, cluster, task, route, arms, propensity, explored, at_ms, seldom = payload
    return TokenClaims(
        tenant,
        decision_id,
        cluster,
        task,
        route,
        tuple(_arm(*arm) for arm in arms),
        propensity,
        bool(explored),
        at_ms,
        decided=seldom.get("decided"),
        trial=TrialLane(*seldom["trial"]) if "trial" in seldom else None,
        trips=tuple(seldom.get("trips", ())),
        charges=tuple((key, amount) for key, amount in seldom.get("charges", ())),
    )


def _row(arm: TokenArm) -> list[object]:
    prices = arm.price_in, arm.price_out, arm.price_cached_read, arm.price_cached_write
    return [arm.arm, arm.generation, *prices, *map(list, arm.tiers)]


def _size(arm: TokenArm) -> int:
    """Bytes of the row and the comma behind it."""
    return len(canonical(_row(arm))) + 1


def _arm(arm: str, generation: int, base_in: int, base_out: int, read: int, write: int, *tiers: list[int]) -> TokenArm:
    longer = tuple((above, *_four(*prices)) for above, *prices in tiers)
    return TokenArm(arm, generation, base_in, base_out, read, write, longer)


def _four(price_in: int, price_out: int, read: int, write: int) -> tuple[int, int, int, int]:
    return price_in, price_out, read, write


def sign(kind: str, payload: bytes, keys: SigningKeys) -> str:
    """`<kind>.<key id>.<payload>.<mac>` with the current key; `kind` keeps one sort of token from passing for
    another.
    """
    head = f"{kind}.{keys.current}.{_b64(payload)}"
    return f"{head}.{_mac(head, keys.secrets[keys.current])}"


def signed_payload(kind: str, token: str, keys: SigningKeys) -> bytes:
    """The payload of a token of this kind signed with any known key; TokenError otherwise."""
    head, _, mac = token.rpartition(".")
    parts = head.split(".")
    if len(parts) != 3 or parts[0] != kind:
        raise TokenError("malformed_token")
    secret = keys.secrets.get(parts[1])
    if secret is None or not hmac.compare_digest(_mac(head, secret).encode(), mac.encode()):
        raise TokenError("bad_signature")
    try:
        return urlsafe_b64decode(parts[2] + "=" * (-len(parts[2]) % 4))
    except (Base64Error, ValueError):
        raise TokenError("malformed_token") from None


def _seldom(claims: TokenClaims) -> dict[str, object]:
    """What most decisions lack, by name, so that their tokens stay short."""
    found: dict[str, object] = {}
    if claims.decided is not None:
        found["decided"] = claims.decided
    if claims.trial is not None:
        found["trial"] = [claims.trial.trial, claims.trial.lane]
    if claims.trips:
        found["trips"] = list(claims.trips)
    if claims.charges:
        found["charges"] = [list(charge) for charge in claims.charges]
    return found


def _mac(head: str, secret: bytes) -> str:
    return _b64(hmac.digest(secret, head.encode(), "sha256"))


def _b64(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()
