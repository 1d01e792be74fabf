"""Aliases: the name of a policy leads to one fingerprint, or to several by weight while one takes over from another.

Which of them decides is drawn per unit, the session where a call has one: a session must not change rules half-way.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from policy_engine.draws import draw_ppm
from policy_engine.wire import RouteRequest
from policy_lang.ir import PPM

__all__ = ["MAX_SHARES", "Alias", "AliasError", "alias_of", "drawn", "weighted"]

#: Fingerprints and their shares (ppm, summing to 1,000,000), in the order in which the draw walks them.
Alias = tuple[tuple[str, int], ...]
MAX_SHARES = 8
_FINGERPRINT = re.compile(r"[0-9a-f]{64}")


class AliasError(ValueError):
    """The shares are not those of an alias; the message says what would be."""


def alias_of(fingerprint: str) -> Alias:
    """The alias that leads to one policy alone."""
    return ((fingerprint, PPM),)


def weighted(shares: Iterable[tuple[str, int]]) -> Alias:
    """Shares as an alias; AliasError unless they are one to eight different fingerprints that make up the whole."""
    alias = tuple((fingerprint, share) for fingerprint, share in shares)
    if not 1 <= len(alias) <= MAX_SHARES or len({fingerprint for fingerprint, _ in alias}) != len(alias):
        raise AliasError(f"an alias leads to 1 to {MAX_SHARES} different fingerprints")
    for fingerprint, share in alias:
        if not _FINGERPRINT.fullmatch(fingerprint):
            raise AliasError(
                f"`{fingerprint[:64]}` is no fingerprint: 64 hexadecimal digits in lower case; the first eight do for "
                "one that the alias's history lists"
            )
        if share <= 0:
            raise AliasError(f"a share is more than 0 %, not {_percent(share)}")
    if (total := sum(share for _, share in alias)) != PPM:
        raise AliasError(f"shares add up to 100 % ({PPM} parts per million), not to {_percent(total)}")
    return alias


def drawn(alias: Alias, name: str, request: RouteRequest, decision_id: str) -> tuple[str, int]:
    """The fingerprint that decides a call, and its share.

    The draw hashes the session or else the call, never the time. Shares are walked in their order, so a share that
    grows at the end of the list keeps every session it had.
    """
    if len(alias) == 1:
        return alias[0]
    left = draw_ppm(request.session or decision_id, f"alias {name}")
    for fingerprint, share in alias:
        if left < share:
            return fingerprint, share
        left -= share
    raise AssertionError("INVARIANT: the shares of an alias sum to 1,000,000")


def _percent(ppm: int) -> str:
    return f"{ppm / 10_000:g} %"
