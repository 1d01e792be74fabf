"""The leases of an environment: what it may spend of its tenants' accounts before it asks the ledger again."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from functions.caching import Recent
from functions.stores.errors import StoreError
from functions.stores.keys import ACCOUNT_PARTS, accounts_part
from functions.stores.ledger import Ledger
from policy_engine.accounts import Allowance, Charge, read_key
from policy_engine.budgets import BudgetReading
from policy_engine.leases import Lease, Need, asked, need, opened, renewed

__all__ = ["INLINE_ACCOUNTS", "MAX_ACCOUNTS", "STALE_LEASE_MS", "Leases"]

#: Age at which a lease no longer serves, however unreachable the ledger.
STALE_LEASE_MS = 5 * 60 * 1000
#: Accounts of one part in use at a time: all of them are in one item, which an update bills whole.
MAX_ACCOUNTS = 1_000
#: With so many in use in a part, those that only inline policies name get no further ones there: whoever makes names up
#: must not take the place of a published budget.
INLINE_ACCOUNTS = 100
#: Renewals that a request makes though they could wait; those that cannot are made in any case.
_RENEWED_AHEAD = 2
# While the ledger is down every request would wait for it in vain; one in this many milliseconds does.
_RETRY_MS = 2_000
# Far more than there are states at hand: a tenant that is put out of memory strands its slices until their period ends.
_HELD_TENANTS = 4_096
# Of one tenant: all that its ledger may hold. More can be named while the ledger, which would refuse them, is down.
_HELD_LEASES = (ACCOUNT_PARTS + 1) * MAX_ACCOUNTS
_STALE_AT_ONCE = 50


@dataclass(slots=True)
class _Book:
    """The leases of one tenant by account, each with the key of its period; what the parts of its ledger held when they
    were last renewed.
    """

    leases: Recent[str, tuple[str, Lease]] = field(default_factory=lambda: Recent(_HELD_LEASES))
    known: dict[str, frozenset[str]] = field(default_factory=dict)
    failed_ms: int | None = None

    def lease(self, allowance: Allowance, now_ms: int) -> Lease:
        """The lease of the running period; a new one where the period has just begun."""
        account, limit = allowance
        key, before = self.leases.get(account.text) or ("", None)
        if before is None or key != account.key(now_ms):
            before = opened(limit, before)
            self.leases.put(account.text, (account.key(now_ms), before))
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
        """What each account has used, in order; those of a part of the ledger are renewed in one call when one is due.

        hurried: this request has waited for other things already, so that a lease that still has something left waits
        for the next one.
        """
        if not allowances:
            return ()
        book = self._books.get(tenant) or self._books.put(tenant, _Book())
        needs = [need(book.lease(each, now_ms), _granted(each, settled, now_ms), now_ms) for each in allowances]
        if max(needs) > (Need.SOON if hurried else Need.NONE) and not _resting(book, now_ms):
            for part, together in _due(book, allowances, needs, now_ms, hurried=hurried):
                self._renew(tenant, book, part, together, settled, now_ms)
                if book.failed_ms is not None:
                    break
        return tuple([_reading(book, each, settled, now_ms) for each in allowances])

    def crowded(self, tenant: str, allowances: Sequence[Allowance], now_ms: int) -> bool:
        """Whether some of the accounts are new and an inline policy may open none any more, as far as is known here."""
        book = self._books.get(tenant)
        return book is not None and any(_crowded(book, each.account.key(now_ms), now_ms) for each in allowances)

    def charge(self, tenant: str, charges: Sequence[Charge]) -> None:
        """Take what a decision is expected to use out of the leases; the period may have ended since."""
        book = self._books.get(tenant) if charges else None
        if book is None:
            return
        for key, amount in charges:
            text = key.rpartition("@")[0]
            held = book.leases.get(text)
            if held is not None and held[0] == key:
                book.leases.put(text, (key, held[1].charged(amount)))

    def _renew(
        self,
        tenant: str,
        book: _Book,
        part: str,
        allowances: Sequence[Allowance],
        settled: Mapping[str, int],
        now_ms: int,
    ) -> None:
        asking, known = {}, book.known.get(part, frozenset())
        for each in allowances:
            key = each.account.key(now_ms)
            if key in known or len(known) < MAX_ACCOUNTS:
                asking[key] = (each, *asked(book.lease(each, now_ms), _granted(each, settled, now_ms), now_ms))
        if not asking:
            return
        stale = [key for key in sorted(known) if _over(key, now_ms)][:_STALE_AT_ONCE]
        try:
            totals = self._ledger.add(tenant, part, {key: add for key, (_, _, add) in asking.items()}, stale, now_ms)
        except StoreError:
            book.failed_ms = now_ms
            return
        book.failed_ms = None
        book.known[part] = frozenset(totals)
        for key, (each, slice_, add) in asking.items():
            lease = renewed(book.lease(each, now_ms), slice_, add, totals[key], now_ms)
            book.leases.put(each.account.text, (key, lease))


def _due(
    book: _Book, allowances: Sequence[Allowance], needs: Sequence[Need], now_ms: int, *, hurried: bool
) -> list[tuple[str, list[Allowance]]]:
    """The parts of the ledger to renew, the most urgent first and of those the longest not renewed, each with all its
    accounts among `allowances`.
    """
    parts: dict[str, list[Allowance]] = defaultdict(list)
    urgency: dict[str, tuple[int, int]] = {}
    for each, needed in zip(allowances, needs, strict=True):
        part = accounts_part(each.account.text)
        parts[part].append(each)
        urgency[part] = min(urgency.get(part, (0, 0)), (-needed, book.lease(each, now_ms).renewed_ms or 0))
    ranked = sorted(parts, key=lambda part: urgency[part])
    now = sum(-urgency[part][0] == Need.NOW for part in ranked)
    soon = sum(-urgency[part][0] == Need.SOON for part in ranked)
    ahead = 0 if hurried else min(soon, max(0, _RENEWED_AHEAD - now))
    return [(part, parts[part]) for part in ranked[: now + ahead]]


def _crowded(book: _Book, key: str, now_ms: int) -> bool:
    known = book.known.get(accounts_part(key), frozenset())
    return len(known) >= INLINE_ACCOUNTS and key not in known and _running(known, now_ms) >= INLINE_ACCOUNTS


def _running(keys: Iterable[str], now_ms: int) -> int:
    return sum(not _over(key, now_ms) for key in keys)


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
