"""Time of one decision beside the field, all in one process, one interpreter and one run.

    python bench/engine_speed.py

The peers live in an environment of their own, `make .venvs/bench-engine/stamp`; this script starts itself there. Rounds
of all contenders take turns, so that what else the machine does hits them alike; CPU time of the best round, per
decision. Nobody calls a model. What each row measures stands beside it, and what a row leaves out it does not get for
free: only the engine's rows check gates, prove floors, know their propensity, and can be replayed.
"""

from __future__ import annotations

import asyncio
import importlib.metadata
import os
import random
import sys
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PEERS = ROOT / ".venvs" / "bench-engine" / "bin" / "python"
ROUNDS = 7
GOALS = {("decide", 8): 35.0, ("decide + receipt + hash", 8): 65.0, ("decide + receipt + hash", 32): 160.0}
OURS = "decide + receipt + hash"

Work = Callable[[], None]
#: (name, what it does, decisions a round, a round)
Contender = tuple[str, str, int, Work]


def engine(arms: int) -> list[Contender]:
    from decide import NOW, world

    from policy_engine.decision import Circumstances, decide, decision_id_for
    from policy_engine.receipt import receipt_body, reply, seal
    from policy_engine.table import compile_table
    from policy_engine.token import SigningKeys, mint

    policy, catalog, snapshot, requests = world(arms)
    table, keys = compile_table(policy, catalog), SigningKeys("k1", {"k1": b"k" * 32})
    pairs = [(r, Circumstances("t", decision_id_for(NOW, b"%d" % n), NOW)) for n, r in enumerate(requests)]

    def decided() -> None:
        for request, now in pairs:
            decide(request, table, snapshot, now)

    def first() -> None:
        for request, now in pairs[:200]:
            table.cells.clear()
            decide(request, table, snapshot, now)

    def kept() -> None:
        for request, now in pairs:
            seal(receipt_body(request, decide(request, table, snapshot, now), snapshot))

    def told() -> None:
        for request, now in pairs:
            decision = decide(request, table, snapshot, now)
            seal(receipt_body(request, decision, snapshot))
            reply(decision, mint(decision.claims(), keys))

    return [
        ("decide", "6 gates, proven floor, exact odds, plan; warm", len(pairs), decided),
        ("decide, first in its cell", "the same with nothing remembered of shape and snapshot", 200, first),
        (OURS, "decide, warm, and the canonical receipt with SHA-256", len(pairs), kept),
        ("decide + receipt + token + reply", "the same and the signed token and the reply's JSON", len(pairs), told),
    ]


def litellm_picks(arms: int) -> list[Contender]:
    """`Router.async_get_available_deployment`: which deployment of one model group serves; no gates, no receipt."""
    from litellm import Router

    names = {"shuffle": "simple-shuffle", "latency": "latency-based-routing", "cost": "cost-based-routing"}
    found = []
    for short, strategy in names.items():
        deployments = [
            {
                "model_name": "group",
                "litellm_params": {"model": f"openai/m{n}", "api_key": "none", "mock_response": "x"},
                "model_info": {"id": f"d{n}", "input_cost_per_token": (n + 1) / 1e7, "output_cost_per_token": n / 1e6},
            }
            for n in range(arms)
        ]
        router = Router(model_list=deployments, routing_strategy=strategy)
        if short == "latency":
            seen = {f"d{n}": {"latency": [0.3 + n / 10] * 10} for n in range(arms)}
            router.cache.set_cache(key="group_map", value=seen)
        found.append(
            (f"LiteLLM pick, {short}", f"{strategy}: one deployment of a group, no record", 300, _picking(router))
        )
    return found


def _picking(router: object) -> Work:
    messages = [{"role": "user", "content": "label this ticket"}]

    async def picked() -> None:
        for _ in range(300):
            await router.async_get_available_deployment("group", {"metadata": {}}, messages)  # type: ignore[attr-defined]

    return lambda: asyncio.run(picked())


def litellm_hook(arms: int) -> list[Contender]:
    """AdaptiveRouter's pre-routing hook: classify the prompt by rules, sample a Beta an arm; the pick comes on top."""
    from litellm.router_strategy.adaptive_router.adaptive_router import AdaptiveRouter
    from litellm.types.router import AdaptiveRouterConfig, AdaptiveRouterPreferences

    models = [f"m{n}" for n in range(arms)]
    costs = {model: (n + 1) / 1e6 for n, model in enumerate(models)}
    config = AdaptiveRouterConfig(available_models=models)
    tiers = {model: AdaptiveRouterPreferences(quality_tier=1 + n % 3, strengths=[]) for n, model in enumerate(models)}
    router = AdaptiveRouter("auto", config, tiers, costs)
    messages = [{"role": "user", "content": "label this ticket"}]

    async def hooked() -> None:
        for _ in range(1_000):
            await router.async_pre_routing_hook("auto", {"metadata": {}}, messages)

    return [
        ("LiteLLM adaptive hook", "prompt rules and one Thompson draw an arm", 1_000, lambda: asyncio.run(hooked()))
    ]


def vowpal(arms: int) -> list[Contender]:
    """SquareCB over action-dependent features: text in, odds out; learning and the draw are not included."""
    import vowpalwabbit

    vw = vowpalwabbit.Workspace("--cb_explore_adf --squarecb -q sa --quiet --random_seed 7")
    actions = [f"|a arm={n}" for n in range(arms)]
    shared = [f"shared |s task=t{n % 6} size={n % 2} tools={n % 3}" for n in range(24)]
    chance = random.Random(7)
    for n in range(500):
        arm = chance.randrange(arms)
        labelled = [f"0:{-chance.random():.2f}:{1 / arms:.3f} {a}" if k == arm else a for k, a in enumerate(actions)]
        vw.learn([shared[n % 24], *labelled])

    def predicted() -> None:
        for n in range(1_000):
            vw.predict([shared[n % 24], *actions])

    return [("VW squarecb, predict", "text to odds, no gates, no record", 1_000, predicted)]


def mabwiser(arms: int) -> list[Contender]:
    """LinUCB on a context of 12 numbers, one call at a time; learning is not included."""
    import numpy
    from mabwiser.mab import MAB, LearningPolicy

    chance = numpy.random.default_rng(7)
    contexts = chance.random((500, 12))
    bandit = MAB(arms=list(range(arms)), learning_policy=LearningPolicy.LinUCB(alpha=1.0), seed=7)
    bandit.fit(chance.integers(0, arms, 500), chance.random(500), contexts)
    single = [contexts[n : n + 1] for n in range(24)]

    def predicted() -> None:
        for n in range(300):
            bandit.predict(single[n % 24])

    return [("MABWiser LinUCB, predict", "12 numbers to an arm, no odds, no record", 300, predicted)]


def measured(contenders: list[Contender]) -> dict[str, float]:
    """Microseconds of CPU a decision, best round of each; the rounds take turns."""
    best: dict[str, float] = {}
    for _ in range(ROUNDS):
        for name, _, decisions, work in contenders:
            start = time.process_time()
            work()
            spent = (time.process_time() - start) / decisions * 1e6
            best[name] = min(spent, best.get(name, spent))
    return best


def main() -> None:
    sides = (engine, litellm_picks, litellm_hook, vowpal, mabwiser)
    columns = {arms: [contender for side in sides for contender in side(arms)] for arms in (8, 32)}
    times = {arms: measured(contenders) for arms, contenders in columns.items()}
    versions = (f"{name} {importlib.metadata.version(name)}" for name in ("litellm", "vowpalwabbit", "mabwiser"))
    print(f"Python {sys.version.split()[0]}, {', '.join(versions)}; CPU us a decision, best of {ROUNDS} rounds")
    print(f"ratio: against `{OURS}` of the engine at the same k\n")
    print(f"{'':34}{'k = 8':>9}{'ratio':>8}{'k = 32':>9}{'ratio':>8}   what is measured")
    for name, what, _, _ in columns[8]:
        cells = "".join(f"{times[k][name]:9.1f}{times[k][name] / times[k][OURS]:8.2f}" for k in (8, 32))
        print(f"{name:34}{cells}   {what}")
    print()
    for (name, arms), goal in GOALS.items():
        spent = times[arms][name]
        print(f"{name}, k = {arms}: {spent:.1f} us, goal at most {goal:.0f}: {'met' if spent <= goal else 'MISSED'}")
    rate = 1e6 / times[8][OURS]
    print(
        f"decisions with receipts a second and core: {rate:,.0f}, goal 15,000: {'met' if rate >= 15_000 else 'MISSED'}"
    )


if __name__ == "__main__":
    if find_spec("litellm") is None:
        if not PEERS.exists():
            sys.exit(print("not run: needs the peers, `make .venvs/bench-engine/stamp` installs them"))
        os.execv(PEERS, [str(PEERS), __file__])
    sys.path[:0] = [str(ROOT)]
    # Prices from the package itself; the router would otherwise wait for a download at import.
    os.environ |= {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_LOG": "ERROR"}
    main()
