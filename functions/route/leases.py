"""The leases of an environment: what it may spend of its tenants' accounts before it asks the ledger again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from functions.caching import Recent
from functions.stores.errors import StoreError
from functions.stores.ledger import Ledger
from policy_engine.accounts import Allowance, Charge, read_key
from policy_engine.budgets import BudgetReading
from policy_engine.leases import Lease, Need, asked, need, opened, renewed

__all__ = ["INLINE_ACCOUNTS", "MAX_ACCOUNTS", "STALE_LEASE_MS", "Leases"]

#: Age at which a lease no longer serves, however unreachable the ledger.
STALE_LEASE_MS = 5 * 60 * 1000
#: Accounts of one tenant in use at a time: all of them are in one item, which holds 400 KB.
MAX_ACCOUNTS = 2_000
#: With so many in use, those that only inline policies name get no further ones: whoever makes names up must not take
#: the place of a published budget.
INLINE_ACCOUNTS = 500
# While the ledger is down every request would wait for it in vain; one in this many milliseconds does.
_RETRY_MS = 2_000
_HELD_TENANTS = 128
_STALE_AT_ONCE = 50


@dataclass(slots=True)
class _Book:
    """The leases of one tenant by account, each with the key of its period."""

    leases: dict[str, tuple[str, Lease]] = field(default_factory=dict)
    known: frozenset[str] = frozenset()
    stale: tuple[str, ...] = ()
    failed_ms: int | None = None

    def lease(self, allowance: Allowance, now_ms: int) -> Lease:
        """The lease of the running period; a new one where the period has just begun."""
        account, limit = allowance
        key, before = self.leases.get(account.text, ("", None))
        if before is None or key != account.key(now_ms):
            before = opened(limit, before)
            self.leases[account.text] = (account.key(now_ms), before)
        return before


class Leases:
    """Leases by tenant, and the readings that follow from them. Ages are of event time, in either direction."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._books: Recent[str, _Book] = Recent(_HELD_TENANTS)

    def readings(
        self,
        tenant: str,
        allowances: Sequence[Allowance],
        settled: Mapping[str, int],
        now_ms: int,
        *,
        hurried: bool = False,
    ) -> tuple[BudgetReading, ...]:
        """What each account has used, in order; all of them renewed in one call when one is due.

        hurried: this request has waited for other things already, so that a lease that still has something left waits
        for the next one.
        """
        if not allowances:
            return ()
        book = self._books.get(tenant) or self._books.put(tenant, _Book())
        needs = [need(book.lease(each, now_ms), _granted(each, settled, now_ms), now_ms) for each in allowances]
        if max(needs) > (Need.SOON if hurried else Need.NONE) and not _resting(book, now_ms):
            self._renew(tenant, book, allowances, settled, now_ms)
        return tuple([_reading(book, each, settled, now_ms) for each in allowances])

    def crowded(self, tenant: str, allowances: Sequence[Allowance], now_ms: int) -> bool:
        """Whether some of the accounts are new and an inline policy may open none any more, as far as is known here."""
        book = self._books.get(tenant)
        if book is None or len(book.known) < INLINE_ACCOUNTS:
            return False
        running = sum(not _over(key, now_ms) for key in book.known)
        return running >= INLINE_ACCOUNTS and any(each.account.key(now_ms) not in book.known for each in allowances)

    def charge(self, tenant: str, charges: Sequence[Charge]) -> None:
        """Take what a decision is expected to use out of the leases; the period may have ended since."""
        book = self._books.get(tenant) if charges else None
        if book is None:
            return
        for key, amount in charges:
            text = key.rpartition("@")[0]
            held = book.leases.get(text)
            if held is not None and held[0] == key:
                book.leases[text] = (key, held[1].charged(amount))

    def _renew(
        self, tenant: str, book: _Book, allowances: Sequence[Allowance], settled: Mapping[str, int], now_ms: int
    ) -> None:
        asking = {}
        for each in allowances:
            key = each.account.key(now_ms)
            if key in book.known or len(book.known) < MAX_ACCOUNTS:
                asking[key] = asked(book.lease(each, now_ms), _granted(each, settled, now_ms), now_ms)
        if not asking:
            return
        try:
            totals = self._ledger.add(tenant, {key: add for key, (_, add) in asking.items()}, book.stale, now_ms)
        except StoreError:
            book.failed_ms = now_ms
            return
        book.failed_ms = None
        book.known = frozenset(totals)
        book.stale = tuple(key for key in totals if _over(key, now_ms))[:_STALE_AT_ONCE]
        for key, (slice_, add) in asking.items():
            text = key.rpartition("@")[0]
            book.leases[text] = (key, renewed(book.leases[text][1], slice_, add, totals[key], now_ms))


def _granted(allowance: Allowance, settled: Mapping[str, int], now_ms: int) -> int:
    return allowance.limit - settled.get(allowance.account.key(now_ms), 0)


def _resting(book: _Book, now_ms: int) -> bool:
    return book.failed_ms is not None and abs(now_ms - book.failed_ms) < _RETRY_MS


def _reading(book: _Book, allowance: Allowance, settled: Mapping[str, int], now_ms: int) -> BudgetReading:
    account = allowance.account
    lease = book.lease(allowance, now_ms)
    used: int | None = max(0, lease.used + settled.get(account.key(now_ms), 0))
    if not _reached(book, lease, _granted(allowance, settled, now_ms), now_ms):
        used = None
    return BudgetReading(account.scope, account.name, account.period, account.unit, used)


def _reached(book: _Book, lease: Lease, granted: int, now_ms: int) -> bool:
    """Whether a lease says what was used: while the ledger is down, as long as something of it is left, or nothing of
    the account; for five minutes at most.
    """
    if lease.renewed_ms is None:
        return False
    if book.failed_ms is None:
        return True
    return abs(now_ms - lease.renewed_ms) <= STALE_LEASE_MS and (lease.unspent > 0 or lease.used >= granted)


def _over(key: str, now_ms: int) -> bool:
    """Whether an account's period is over, and the one after it: environments' clocks differ by less."""
    account, index = read_key(key)
    return index < account.period_at(now_ms) - 1
