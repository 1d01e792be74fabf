"""How soon a breaker opens, how often by chance, and what that costs: settings of `policy_engine.breakers`, simulated.

    python bench/breakers.py [--days 8] [--seed 1] [--rates 1,10]

No public trace tells the faults of LLM providers call by call, so the process is stated instead. A provider is well,
in a blip, or out (a Markov chain in seconds, after Gilbert and Elliott). Well, it fails at half the base rate. Blips
carry the other half: 10 s on average, 60 % of the calls fail. Outages last 10 minutes on average, three hours pass
between them, and all calls fail, or six of ten. Calls arrive at random, all of them for one arm; another arm takes
those that are kept away from it.

The way of an outcome is that of the functions: `learn` commits every 10 s and asks for a look at a busy tenant, the
minute brings one in any case, and decisions know of a changed state half the age later that a cached one may have.
An opening counts as false where no outage was on in the minute before. Kept away: share of the calls at a provider
that is not out.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass, field
from math import log, log1p
from random import Random

from functions.learn.news import BUSY_OUTCOMES
from policy_engine import breakers
from policy_engine.breakers import Breaker, Counts, Pulse, advanced

ARM = "provider/model"
DAY_S = 86_400
COMMIT_S = 10
BLIP_S, BLIP_FAULTS = 10, 0.6
OUTAGE_S, BETWEEN_OUTAGES_S = 600, 3 * 3600
BASES = (0.01, 0.03)
OUTAGES = (("all calls fail", 1.0), ("six of ten", 0.6))
_NORMAL_FROM = 30


@dataclass(frozen=True)
class Setting:
    """Thresholds of a breaker, and the least seconds between two looks of a busy tenant (60: the minute's alone).

    `window_s` 1: no look remembers those before it, but for the least number of calls.
    """

    name: str
    look_s: int = 15
    window_s: int = 45
    calls: int = 20
    share_ppm: int = 500_000
    faults: int = 5
    cool_down_s: int = 60

    def apply(self) -> None:
        breakers.WINDOW_MS, breakers.WINDOW_CALLS, breakers.OPENING_PPM = (
            1000 * self.window_s,
            self.calls,
            self.share_ppm,
        )
        breakers.LEAST_FAULTS, breakers.SHORTEST_COOL_DOWN_MS = self.faults, 1000 * self.cool_down_s


SETTINGS = (
    Setting("a minute's looks alone", look_s=60),
    Setting("a look's calls", window_s=1),
    Setting("30 s", window_s=30),
    Setting("45 s: as deployed"),
    Setting("45 s, 40 %", share_ppm=400_000),
    Setting("45 s, 30 %", share_ppm=300_000),
    Setting("60 s", window_s=60),
    Setting("45 s, probed from 30 s", cool_down_s=30),
)


class Provider:
    """Share of calls that fail, second by second; and whether it is out."""

    def __init__(self, chance: Random, base: float, outage: float | None) -> None:
        self._chance, self._base, self._outage = chance, base, outage
        self._into_blip = base / 2 / BLIP_FAULTS / BLIP_S

    def seconds(self, count: int) -> Iterator[tuple[float, bool]]:
        blip = out = False
        for _ in range(count):
            draw, again = self._chance.random(), self._chance.random()
            blip = draw >= 1 / BLIP_S if blip else draw < self._into_blip
            if self._outage is not None:
                out = again >= 1 / OUTAGE_S if out else again < 1 / BETWEEN_OUTAGES_S
            yield (self._outage if out and self._outage else BLIP_FAULTS if blip else self._base / 2), out


@dataclass
class Run:
    """What became of one provider under one setting, in seconds and calls."""

    days: float
    outages: int = 0
    opened_after: list[int] = field(default_factory=list)
    closed_after: list[int] = field(default_factory=list)
    false: int = 0
    calls_well: int = 0
    kept_away: int = 0


class World:
    """One arm, its calls, and the functions that look after it."""

    def __init__(self, setting: Setting, rate: float, chance: Random) -> None:
        self._setting, self._rate, self._chance = setting, rate, chance
        self._pulses: dict[str, Pulse] = {}
        self._breakers: dict[str, Breaker] = {}
        self._known: Breaker | None = None
        self._told = self._told_faults = self._calls = self._faults = self._news = 0
        self._looked_s = -60
        self._heard: list[tuple[int, Breaker | None]] = []
        #: Cached states are as old as a look is apart, but were half a minute at most before there were such looks.
        self._age_s = min(30, setting.look_s)

    def run(self, provider: Provider, days: float) -> Run:
        run = Run(days)
        began: int | None = None
        ended = -DAY_S
        for now, (faults, out) in enumerate(provider.seconds(round(days * DAY_S))):
            kept_before = self._known is not None
            calls, kept = self._second(now, faults)
            if out and began is None:
                began, run.outages, noticed = now, run.outages + 1, kept_before
            elif not out and began is not None:
                began, ended, closing = None, now, True
            if not out:
                run.calls_well += calls + kept
                run.kept_away += kept
            opened, closed = self._known is not None and not kept_before, self._known is None and kept_before
            if opened and began is not None and not noticed:
                run.opened_after.append(now - began)
                noticed = True
            elif opened and began is None and now - ended > 60:
                run.false += 1
            if closed and began is None and ended > 0 and closing:
                run.closed_after.append(now - ended)
                closing = False
        return run

    def _second(self, now: int, share: float) -> tuple[int, int]:
        """Calls that reached the arm, and those that were kept away from it."""
        wanted = binomial(self._chance, round(20 * self._rate), 0.05)
        reached = wanted
        if self._known is not None:
            half_open = now * 1000 >= self._known.until_ms
            reached = binomial(self._chance, wanted, breakers.PROBE_PPM / 1_000_000) if half_open else 0
        self._calls += reached
        self._faults += binomial(self._chance, reached, share)
        self._news += wanted
        if now % COMMIT_S == 0:
            self._told, self._told_faults = self._calls, self._faults
            busy = self._setting.look_s < 60 and self._news >= BUSY_OUTCOMES
            if busy:
                self._news = 0
            if busy and now - self._looked_s >= self._setting.look_s:
                self._look(now)
        if now % 60 == 7:
            self._look(now)
        while self._heard and self._heard[0][0] <= now:
            self._known = self._heard.pop(0)[1]
        return reached, wanted - reached

    def _look(self, now: int) -> None:
        found = {ARM: Counts(self._told, self._told_faults, 0)}
        self._pulses, self._breakers = advanced(self._pulses, self._breakers, found, now * 1000)
        self._looked_s = now
        self._heard.append((now + self._age_s // 2, self._breakers.get(ARM)))


def main() -> None:
    """Print one row a setting and rate."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--days", type=float, default=8)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rates", default="1,10")
    asked = parser.parse_args()
    for rate in map(float, asked.rates.split(",")):
        print(f"\n{rate:g} calls a second, {asked.days:g} days a row; delays in seconds, median and p90")
        print(f"{'':24} looks  {'false a day':>13} {'kept away, ppm':>15}  {OUTAGES[0][0]:>20}  {OUTAGES[1][0]:>20}")
        print(f"{'':24} every  {'1 %':>6} {'3 %':>6} {'1 %':>7} {'3 %':>7}" + f"  {'opens':>11} {'closes':>8}" * 2)
        for setting in SETTINGS:
            setting.apply()
            print(row(setting, rate, asked.days, asked.seed))
    Setting("as deployed").apply()


def row(setting: Setting, rate: float, days: float, seed: int) -> str:
    def world(label: str) -> World:
        return World(setting, rate, Random(f"{seed} {rate} {label}"))

    def provider(base: float, outage: float | None) -> Provider:
        return Provider(Random(f"{seed} {base} {outage}"), base, outage)

    quiet = [world(f"quiet {base}").run(provider(base, None), days) for base in BASES]
    bad = [world(f"bad {share}").run(provider(BASES[0], share), days) for _, share in OUTAGES]
    told = f"{setting.name:24} {setting.look_s:3} s  "
    told += " ".join(f"{run.false / days:6.2f}" for run in quiet) + " "
    told += " ".join(f"{run.kept_away / run.calls_well * 1e6:7,.0f}" for run in quiet)
    for run in bad:
        opened = len(run.opened_after) / run.outages
        told += f"  {opened:4.0%} {_spread(run.opened_after):>6} {_spread(run.closed_after):>8}"
    return told


def _spread(delays: list[int]) -> str:
    if not delays:
        return "-"
    ordered = sorted(delays)
    return "/".join(str(ordered[len(ordered) * tenths // 10]) for tenths in (5, 9))


def binomial(chance: Random, n: int, p: float) -> int:
    """Successes among `n`: the gaps between them drawn, or the normal approximation where that is good."""
    if n == 0 or p in (0.0, 1.0):
        return n if p else 0
    if p > 0.5:
        return n - binomial(chance, n, 1 - p)
    spread = n * p * (1 - p)
    if spread > _NORMAL_FROM:
        return min(n, max(0, round(chance.gauss(n * p, spread**0.5))))
    found, at, scale = 0, 0, 1 / log1p(-p)
    while (at := at + 1 + int(log(1.0 - chance.random()) * scale)) <= n:
        found += 1
    return found


if __name__ == "__main__":
    main()
