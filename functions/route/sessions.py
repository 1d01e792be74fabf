"""The pin of a session: carried by the caller and checked here, or kept in the ledger for callers that cannot."""

from __future__ import annotations

import json
from contextlib import suppress

from functions.stores.errors import StoreError
from functions.stores.ledger import Ledger
from policy_engine.decision import Decision
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

    def carried(self, wanted: RouteRequest, decision: Decision, keys: SigningKeys) -> str | None:
        """The signed pin for the reply; None where there is none, or where it is kept here."""
        pin = decision.pin(wanted.session)
        return None if pin is None or wanted.pin == STORED_PIN else mint_pin(pin, keys)

    def keep(self, wanted: RouteRequest, decision: Decision) -> None:
        """Keep the pin of a decision that was answered, where it is kept here and has changed."""
        pin = decision.pin(wanted.session)
        if pin is None or wanted.pin != STORED_PIN or pin == decision.circumstances.pin:
            return
        kept = json.dumps([pin.route, pin.arm, pin.until_ms])
        # Without it the next turn is decided as if this one had been lost.
        with suppress(StoreError):
            self._ledger.keep_session(pin.tenant, pin.session, kept, pin.until_ms)

    def _kept(self, wanted: RouteRequest, tenant: str) -> Pin | None:
        assert wanted.session is not None
        try:
            kept = self._ledger.session(tenant, wanted.session)
        except StoreError:
            return None
        return Pin(tenant, wanted.session, *json.loads(kept)) if kept is not None else None
