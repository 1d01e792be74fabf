"""How often a canary is stopped by chance, and how soon one that loses: simulated, looked at every 200 decisions.

    python bench/stop_loss.py [--worlds 400] [--looks 2000] [--seed 1]

The canary gets 5 % of the traffic, and `stop when success drops 3%` is its stop-loss. A row is one pair of true rates
of success; delays are decisions of the canary, over the worlds in which it was stopped.
"""

from __future__ import annotations

import argparse
from random import Random

from policy_engine.stop_loss import FALSE_STOP, compared
from policy_lang.ir import Canary

CALLS, SHARE, DROP_PPM = 200, 0.05, 30_000
RATES = (
    (0.80, 0.80),
    (0.95, 0.95),
    (0.99, 0.99),
    (0.95, 0.94),
    (0.95, 0.92),
    (0.95, 0.90),
    (0.95, 0.85),
    (0.95, 0.50),
)
_NORMAL_FROM = 30


def main() -> None:
    """Print one row a pair of rates."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--worlds", type=int, default=400)
    parser.add_argument("--looks", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    promised = f"promised: {FALSE_STOP:.0%} stopped by chance"
    print(f"{asked.worlds} worlds of {asked.looks} looks at {CALLS} decisions; {promised}")
    print(f"{'policy':>8} {'canary':>8} {'stopped':>9} {'median':>8} {'p90':>8}")
    for policy, canary in RATES:
        chance = Random(f"{asked.seed} {policy} {canary}")
        ended = [stopped_after(chance, policy, canary, asked.looks) for _ in range(asked.worlds)]
        delays = sorted(delay for delay in ended if delay is not None)
        median, p90 = (f"{delays[len(delays) * tenths // 10]:,}" if delays else "-" for tenths in (5, 9))
        print(f"{policy:8.1%} {canary:8.1%} {len(delays) / asked.worlds:9.2%} {median:>8} {p90:>8}")


def stopped_after(chance: Random, policy: float, canary: float, looks: int) -> int | None:
    """Decisions that a canary served until it was stopped; None where it never was."""
    terms = Canary("bench/next", int(SHARE * 1_000_000), "call", 100_000, "success", DROP_PPM)
    main_lane, lane = {"n": 0, "s": 0}, {"n": 0, "s": 0}
    for _ in range(looks):
        drawn = binomial(chance, CALLS, SHARE)
        for tally, calls, rate in ((lane, drawn, canary), (main_lane, CALLS - drawn, policy)):
            tally["n"] += calls
            tally["s"] += binomial(chance, calls, rate)
        found = compared(main_lane, lane, terms)
        if found is not None and found.stop:
            return lane["n"]
    return None


def binomial(chance: Random, n: int, p: float) -> int:
    """Successes among `n`; by the normal approximation where that is good."""
    spread = n * p * (1 - p)
    if spread > _NORMAL_FROM:
        return min(n, max(0, round(chance.gauss(n * p, spread**0.5))))
    return sum(chance.random() < p for _ in range(n))


if __name__ == "__main__":
    main()
