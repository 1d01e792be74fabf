"""Chance, replayable: a draw is a hash of a unit's id and a purpose. No stateful generator anywhere."""

from __future__ import annotations

from hashlib import sha256

from policy_lang.ir import PPM

__all__ = ["decision_id_for", "draw_ppm"]


def decision_id_for(now_ms: int, entropy: bytes) -> str:
    """128 bits in hex, ordered by time: 48 bits of milliseconds, then 80 bits of SHA-256(entropy)."""
    return f"{now_ms & 0xFFFFFFFFFFFF:012x}{sha256(entropy).hexdigest()[:20]}"


def draw_ppm(unit: str, domain: str) -> int:
    """A number in 0..999,999 for one purpose: SHA-256(SHA-256(unit) || domain) mod 10^6.

    The bias of reducing 256 bits is below 10^-70.
    """
    seed = sha256(unit.encode()).digest()
    return int.from_bytes(sha256(seed + domain.encode()).digest()) % PPM
