"""The pin of a session: carried by the caller and checked here, or kept in the ledger for callers that cannot."""

from __future__ import annotations

import json

from functions.stores.errors import StoreError
from functions.stores.ledger import Ledger
from policy_engine.pins import Pin, mint_pin, verify_pin
from policy_engine.token import SigningKeys, TokenError
from policy_engine.wire import STORED_PIN, RequestError, RouteRequest

__all__ = ["Sessions"]


class Sessions:
    """Pins on their way in and out. One that is kept costs a read a request, and a write when it changes.

    While the ledger cannot be reached, sessions that rely on it are decided without a pin.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def pin(self, wanted: RouteRequest, tenant: str, keys: SigningKeys) -> Pin | None:
        """The pin of the request's session; RequestError when it is forged or another tenant's or session's."""
        if wanted.pin is None:
            return None
        if wanted.pin == STORED_PIN:
            return self._kept(wanted, tenant)
        try:
            pin = verify_pin(wanted.pin, keys)
        except TokenError as problem:
            raise RequestError(400, "invalid_pin", f"`pin` is not one that a reply carried: {problem.code}") from None
        if (pin.tenant, pin.session) != (tenant, wanted.session):
            message = "`pin` belongs to another session; send it with the session it was given to"
            raise RequestError(400, "invalid_pin", message)
        return pin

    def hand_on(self, wanted: RouteRequest, before: Pin | None, after: Pin | None, keys: SigningKeys) -> str | None:
        """The signed pin for the reply; None where there is none, or where it is kept here."""
        if after is None:
            return None
        if wanted.pin != STORED_PIN:
            return mint_pin(after, keys)
        if after != before:
            kept = json.dumps([after.route, after.arm, after.until_ms])
            try:
                self._ledger.keep_session(after.tenant, after.session, kept, after.until_ms)
            except StoreError:
                return None  # The next turn is decided without it, as it would be if this one had been lost.
        return None

    def _kept(self, wanted: RouteRequest, tenant: str) -> Pin | None:
        assert wanted.session is not None
        try:
            kept = self._ledger.session(tenant, wanted.session)
        except StoreError:
            return None
        return Pin(tenant, wanted.session, *json.loads(kept)) if kept is not None else None
