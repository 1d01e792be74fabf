"""What must hold whatever the policy, the statistics and the circumstances are."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from itertools import product

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from policy_engine.budgets import BudgetReading
from policy_engine.decision import Circumstances, Decision, decide, decision_id_for
from policy_engine.floors import floor_state
from policy_engine.lanes import LIVE, Lane
from policy_engine.pins import Pin
from policy_engine.receipt import receipt_body, seal
from policy_engine.replay import Replayer, replay
from policy_engine.settlement import Effect, Telemetry, settle
from policy_engine.snapshot import Snapshot, build_snapshot
from policy_engine.statistics import CellRow, epoch_of, merge_sums, outcome_sums, quality_sums
from policy_engine.table import compile_table
from policy_engine.token import SigningKeys, TokenArm, TokenClaims, mint
from policy_engine.wire import RouteRequest, TelemetryRecord
from policy_lang.catalog import Catalog, Model
from policy_lang.envelope import build_envelope, cluster_id
from policy_lang.fingerprint import policy_fingerprint
from policy_lang.ir import (
    PPM,
    And,
    Budget,
    Cascade,
    Check,
    Compare,
    Explore,
    Floor,
    Gate,
    PickTerm,
    Policy,
    Route,
    Tier,
)

NOW = 1_790_000_000_000
HOUR = 3_600_000
KEYS = SigningKeys("k1", {"k1": b"k" * 32})
ARMS = ("p/a", "p/b", "p/c", "q/d", "q/e")
TASKS = ("label", "other")

# Beside a planted bug (bench/seeded_bugs.py) the examples are always the same: caught once, caught every time.
quick = settings(
    deadline=None,
    max_examples=150,
    suppress_health_check=[HealthCheck.too_slow],
    derandomize="POINTSMAN_FIRST_FAILURE" in os.environ,
)


def envelope(task: str, tools: int = 0):
    return build_envelope(task_type=task, context_tokens=300, estimated_tokens=450, tools_used=tools)


BUDGET = Budget("org", 100, "tokens", "day", "growth", warn_ppm=500_000, degrade="small")
READINGS = tuple(
    BudgetReading("org", "growth", "day", "tokens", used, pace) for used, pace in ((0, 50_000), (60, 0), (100, 0))
)
prices = st.integers(0, 20_000_000)
ppm = st.integers(0, PPM)
terms = st.one_of(
    st.builds(PickTerm, st.just("cheapest"), st.sampled_from((0, 100_000))),
    st.builds(PickTerm, st.just("best_quality"), st.sampled_from((0, 20_000))),
    st.builds(PickTerm, st.just("best_value"), value_nanodollars=st.integers(1, 10**8)),
    st.builds(
        PickTerm, st.just("fastest"), st.sampled_from((0, 100_000)), st.sampled_from(("ttft_p95", "latency_p95"))
    ),
)
floors = st.lists(
    st.builds(Floor, st.sampled_from(("success", "quality")), ppm, st.sampled_from((None, 500_000, 900_000))),
    max_size=2,
    unique_by=lambda floor: floor.metric,
).map(tuple)
explores = st.none() | st.builds(Explore, ppm, st.none() | ppm)
cascades = st.none() | st.just(Cascade(("small", "large"), (Check("json_valid"),)))


@st.composite
def catalogs(draw) -> Catalog:
    regions = st.sampled_from(("eu", "us", None))
    return Catalog.build(
        [
            Model(arm, arm[0], arm[2:], draw(prices), draw(prices), region=draw(regions))
            for arm in draw(st.lists(st.sampled_from(ARMS), unique=True, max_size=5))
        ],
        {},
    )


@st.composite
def policies(draw) -> Policy:
    gate = Gate("EU", draw(st.sampled_from(("forbid", "require"))), Compare("model.region", "ne", "eu"))
    route = Route(
        "only",
        And(()),
        ("small", "large"),
        tuple(draw(st.lists(terms, min_size=1, max_size=3))),
        floors=draw(floors),
        until_proven=draw(st.none() | st.sampled_from(ARMS)),
        explore=draw(explores),
        cascade=draw(cascades),
        stay_in_floor=draw(st.sampled_from((None, "yes"))),
        pin_ms=HOUR,
    )
    tiers = (Tier("large", ("p/c", "q/d")), Tier("small", ("p/a", "p/b")))
    gates = draw(st.sampled_from(((), (gate,))))
    fallback = draw(st.sampled_from((("q/e",), ("p/a", "q/e"))))
    budgets = draw(st.sampled_from(((), (BUDGET,))))
    audit = draw(st.sampled_from(("off", "on")))
    return Policy("p", TASKS, tiers, gates, (), route, fallback, budgets=budgets, audit=audit)


@st.composite
def statistics(draw) -> list[CellRow]:
    rows = []
    for task, tools, arm in draw(
        st.lists(st.tuples(st.sampled_from(TASKS), st.sampled_from((0, 3)), st.sampled_from(ARMS)), max_size=8)
    ):
        record = TelemetryRecord(
            "t" * 20, 0, arm, input_tokens=300, output_tokens=100, latency_ms=draw(st.integers(0, 9999))
        )
        at = NOW - draw(st.integers(0, 400)) * 24 * HOUR
        sums = [outcome_sums(replace(record, outcome="ok"), at)] * draw(st.integers(0, 60))
        sums += [outcome_sums(replace(record, outcome="wrong"), at)] * draw(st.integers(0, 60))
        sums += [quality_sums(draw(ppm), at)] * draw(st.integers(0, 2))
        row = CellRow(
            cluster_id(envelope(task, tools)), task, arm, draw(st.integers(0, 1)), epoch_of(at), merge_sums(sums)
        )
        rows.append(row)
    return rows


@st.composite
def worlds(draw) -> tuple[Policy, Catalog, Snapshot, RouteRequest, Circumstances]:
    request = RouteRequest(
        envelope(draw(st.sampled_from(TASKS)), draw(st.sampled_from((0, 3)))),
        "p",
        session="s",
        org=draw(st.sampled_from((None, "growth"))),
        candidates=draw(st.none() | st.lists(st.sampled_from(ARMS), min_size=1, unique=True).map(sorted).map(tuple)),
        tool_loop=draw(st.sampled_from((False, False, True))),
    )
    now = Circumstances(
        "acme",
        decision_id_for(NOW, draw(st.binary(max_size=4))),
        NOW,
        breakers=draw(st.frozensets(st.sampled_from(ARMS[:3]), max_size=2)),
        half_open=draw(st.frozensets(st.sampled_from(ARMS[3:]), max_size=2)),
        pin=draw(
            st.none()
            | st.builds(Pin, st.just("acme"), st.just("s"), st.just("only"), st.sampled_from(ARMS), st.just(NOW + 1))
        ),
        budgets=draw(st.sampled_from(((), *((reading,) for reading in READINGS)))),
        lane=draw(st.sampled_from((LIVE, Lane("p/next", 50_000, 500_000)))),
        degraded=draw(st.booleans()),
    )
    return draw(policies()), draw(catalogs()), build_snapshot(draw(statistics()), NOW), request, now


def survivors(decision: Decision) -> set[str]:
    return {c.model.arm for c in decision.cell.survey.candidates if not c.barred}


@quick
@given(worlds())
def test_propensities_sum_to_a_million_over_survivors_that_no_breaker_holds(world):
    policy, catalog, snapshot, request, now = world
    decision = decide(request, compile_table(policy, catalog), snapshot, now)
    outlook, left_out = decision.cell.outlook, decision.cell.breakers
    assert now.breakers <= left_out <= now.breakers | now.half_open
    if outlook is None:
        assert decision.status == "no_candidates"
        assert survivors(decision) <= left_out
        return
    if decision.budget.state == "deny":
        assert (decision.status, decision.arm, decision.plan) == ("denied", None, ())
        return
    odds = dict(outlook.odds)
    assert sum(odds.values()) == PPM
    assert min(odds.values()) > 0
    assert set(odds) <= survivors(decision) - left_out
    assert {step.arm for step in decision.plan} <= survivors(decision) - left_out
    assert decision.arm in odds
    drawn = odds[decision.arm] * decision.probing_ppm * now.lane.propensity_ppm
    assert decision.propensity_ppm == max(1, (drawn + PPM * PPM // 2) // (PPM * PPM))
    assert len({step.arm for step in decision.plan}) == len(decision.plan)
    if now.degraded or policy.default.explore is None or policy.audit == "on" or request.tool_loop or outlook.pin:
        assert odds == {outlook.pick.arm: PPM}
    else:
        limits = policy.default.explore.rate_ppm, policy.default.explore.unproven_ppm or 0
        assert PPM - odds.get(outlook.pick.arm, 0) <= max(limits)


@quick
@given(worlds(), st.data())
def test_every_decision_replays_and_no_change_of_a_line_goes_unnoticed_or_crashes(world, data):
    policy, catalog, snapshot, request, now = world
    line = seal(receipt_body(request, decide(request, compile_table(policy, catalog), snapshot, now), snapshot))
    store = {policy_fingerprint(policy): (policy, {})}
    replayer = Replayer(store)
    assert [replayer.replay(line).equal for _ in range(2)] == [True, True]
    place = data.draw(st.integers(0, len(line) - 1))
    other = data.draw(st.sampled_from('0129"{}[]:,-. aeintru\\\n'))
    broken = line[:place] + other + line[place + 1 :]
    body = broken[len('{"hash":""') + 63 + len(',"receipt":') + 1 : -1]
    for changed in {broken, seal(body)} - {line}:
        alone, warm = replay(changed, store), replayer.replay(changed)
        assert (alone.equal, warm.equal) == (alone.equal, alone.equal)
        assert alone.equal or alone.difference
        if changed is broken and broken.strip() != line:
            assert not alone.equal


@st.composite
def deliveries(draw) -> list[Telemetry]:
    """Records of distinct (decision, hop), some outcome, some quality, some both in one, of any age."""
    found = []
    for number in range(draw(st.integers(1, 12))):
        at = NOW - draw(st.integers(0, 40)) * 24 * HOUR
        arms = tuple(TokenArm(arm, draw(st.integers(0, 1)), 1, 1, 1, 1) for arm in ARMS)
        cell = envelope(draw(st.sampled_from(TASKS)), draw(st.sampled_from((0, 3))))
        claims = TokenClaims(
            "acme", f"{number:032x}", cluster_id(cell), cell.task_type, "only", arms, PPM, draw(st.booleans()), at
        )
        record = TelemetryRecord(
            mint(claims, KEYS),
            draw(st.integers(0, 3)),
            draw(st.sampled_from(ARMS)),
            draw(st.sampled_from(("ok", "wrong", "refused", "timeout", "cancelled", "caller_error"))),
            input_tokens=300,
            output_tokens=20,
            latency_ms=draw(st.integers(0, 10**6)),
            quality_ppm=draw(st.none() | ppm),
        )
        found.append(Telemetry("acme", f"r:{number}", at + draw(st.integers(0, 30)) * HOUR, record))
    return found


def kept(delivered: list[Telemetry], batches: list[int]) -> list[CellRow]:
    """The store in few words: a marker is put if absent, and only with it its sums are added, batch by batch."""
    markers: set[object] = set()
    cells: dict[object, dict[str, int]] = {}
    start = 0
    for size in [*batches, len(delivered)]:
        fresh: dict[object, Effect] = {}
        for telemetry in delivered[start : start + size]:
            fresh.update({e.marker: e for e in settle(telemetry, KEYS).effects if e.marker not in markers})
        for effect in fresh.values():
            cells[effect.cell] = merge_sums((cells.get(effect.cell, {}), effect.sums))
        markers.update(fresh)
        start += size
    return [CellRow(c.cluster, c.task, c.arm, c.generation, c.epoch, sums) for c, sums in cells.items()]


@quick
@given(deliveries(), st.data())
def test_neither_order_nor_duplicates_nor_batches_of_deliveries_change_the_snapshot(delivered, data):
    again = data.draw(st.lists(st.sampled_from(delivered), max_size=8))
    # The sender's own repetition is another record, accepted later.
    again += [
        replace(data.draw(st.sampled_from(delivered)), record_id=f"again:{n}", received_ms=NOW + 30 * 24 * HOUR)
        for n in range(data.draw(st.integers(0, 2)))
    ]
    again += [replace(t, record_id=f"{t.record_id}:again", received_ms=t.received_ms + HOUR) for t in again[:2]]
    shuffled = data.draw(st.permutations([*delivered, *again]))
    batches = data.draw(st.lists(st.integers(1, 5), max_size=6))
    rows = kept(shuffled, batches)
    first = build_snapshot(kept(delivered, []), NOW)
    assert build_snapshot(data.draw(st.permutations(rows)), NOW) == first
    assert first.left_out == {}


@quick
@given(statistics(), st.data())
def test_the_rows_of_a_cell_may_be_split_in_any_way(rows, data):
    assume(rows)
    whole = build_snapshot(rows, NOW)
    cut = data.draw(st.sampled_from(rows))
    again = {"c", "n", "s", "w"} & set(cut.sums)
    left = {name: cut.sums[name] for name in cut.sums if name not in again}
    right = {name: cut.sums[name] for name in again}
    rest = [row for row in rows if row is not cut]
    if not left.get("tn"):
        assert build_snapshot([*rest, replace(cut, sums=left), replace(cut, sums=right)], NOW) == whole


@quick
@given(
    statistics(),
    st.lists(st.tuples(st.sampled_from(TASKS), st.sampled_from((0, 3)), st.sampled_from(ARMS)), min_size=1),
)
def test_provider_faults_never_move_a_floor(rows, faults):
    record = TelemetryRecord("t" * 20, 0, "p/a", "timeout", latency_ms=60_000)
    generations = {arm: max((row.generation for row in rows if row.arm == arm), default=0) for arm in ARMS}
    more = [
        CellRow(cluster_id(envelope(t, n)), t, arm, generations[arm], epoch_of(NOW), outcome_sums(record, NOW))
        for t, n, arm in faults
    ]
    before, after = build_snapshot(rows, NOW), build_snapshot([*rows, *more], NOW)
    for task, tools, arm in product(TASKS, (0, 3), ARMS):
        cell = cluster_id(envelope(task, tools))
        was, now = before.estimate(cell, task, arm), after.estimate(cell, task, arm)
        assert (was.alpha_milli, was.beta_milli, was.quality_ppm) == (now.alpha_milli, now.beta_milli, now.quality_ppm)
        for floor in (Floor("success", 800_000, 900_000), Floor("quality", 800_000)):
            assert floor_state((floor,), was) == floor_state((floor,), now)


@quick
@given(
    st.lists(terms, min_size=1, max_size=3).map(tuple),
    floors,
    st.lists(st.tuples(prices, prices), min_size=2, max_size=2),
    st.tuples(st.integers(1, 200), st.integers(0, 40), st.integers(1, 40), st.integers(0, 40)),
    st.tuples(st.integers(0, 4_000), st.integers(0, 4_000)),
)
def test_a_dearer_dominated_model_is_never_preferred(pick, floor, listed, record, waits):
    """After as many calls `p/b` failed more often, was no faster and is asked no less for than `p/a`."""
    (cheap_in, dear_in), (cheap_out, dear_out) = (sorted(pair) for pair in zip(*listed, strict=True))
    assume((cheap_in, cheap_out) != (dear_in, dear_out))
    good, bad, gap, more = record
    counts = {"p/a": (good + gap + more, bad), "p/b": (good + more, bad + gap)}
    fast, slow = min(waits), max(waits)
    rows = []
    for arm, (ok, wrong) in counts.items():
        told = TelemetryRecord("t" * 20, 0, arm, input_tokens=300, output_tokens=100)
        told = replace(told, latency_ms=fast if arm == "p/a" else slow, ttft_ms=fast if arm == "p/a" else slow)
        sums = [outcome_sums(replace(told, outcome="ok"), NOW)] * ok
        sums += [outcome_sums(replace(told, outcome="wrong"), NOW)] * wrong
        rows.append(CellRow(cluster_id(envelope("label")), "label", arm, 0, epoch_of(NOW), merge_sums(sums)))
    models = Model("p/a", "p", "a", cheap_in, cheap_out), Model("p/b", "p", "b", dear_in, dear_out)
    route = Route("only", And(()), ("all",), pick, floors=floor)
    policy = Policy("p", TASKS, (Tier("all", ("p/a", "p/b")),), (), (), route, ("p/a",))
    now = Circumstances("acme", "0" * 32, NOW, degraded=True)
    table = compile_table(policy, Catalog.build(models, {}))
    assert decide(RouteRequest(envelope("label"), "p"), table, build_snapshot(rows, NOW), now).arm == "p/a"


# Each mechanism wants an arm of its own: the pin `p/pinned`, a budget the tier of `p/small`, a floor `p/proven`, rank
# `p/cheap`, which has proven nothing, and exploration whoever the draw says. Gates bar any one of them, or nobody.
WANTED = {"pin": "p/pinned", "degrade": "p/small", "floor": "p/proven", "rank": "p/cheap"}
PRICE = {"p/cheap": 1, "p/small": 2, "p/proven": 3, "p/pinned": 4, "p/last": 5}
SWITCHES = ("deny", "degrade", "pin", "floor", "explore")


def expected(barred: str | None, on: Mapping[str, bool]) -> str | None:
    """Gates > budget deny > budget degrade > pin > floor > rank, in so many words."""
    left = [arm for arm in PRICE if arm not in (barred, "p/last")]
    if on["deny"]:
        return None
    if on["degrade"]:
        left = [arm for arm in left if arm == WANTED["degrade"]]
    if on["pin"] and WANTED["pin"] in left:
        return WANTED["pin"]
    if on["floor"] and WANTED["floor"] in left:
        return WANTED["floor"]
    if on["floor"] and left:
        # Nobody is proven: the strongest prior, which without outcomes is the dearest.
        return max(left, key=PRICE.__getitem__)
    return min(left, key=PRICE.__getitem__) if left else "p/last"


@pytest.mark.parametrize("barred", [None, *WANTED.values()])
@pytest.mark.parametrize("switched", list(product((False, True), repeat=len(SWITCHES))))
def test_precedence_holds_for_every_combination(barred, switched):
    on = dict(zip(SWITCHES, switched, strict=True))
    # A cached prompt is free, so a session that moves would pay more for its prefix than any price here saves.
    models = [
        Model(arm, "p", arm[2:], 1_000_000, 1_000 * price, 0, region="no" if arm == barred else "eu")
        for arm, price in PRICE.items()
    ]
    route = Route(
        "only",
        And(()),
        ("most", "small"),
        (PickTerm("cheapest"),),
        floors=(Floor("success", 900_000, 900_000),) if on["floor"] else (),
        explore=Explore(400_000, 400_000) if on["explore"] else None,
        pin_ms=HOUR,
    )
    policy = Policy(
        "p",
        TASKS,
        (Tier("most", ("p/cheap", "p/pinned", "p/proven")), Tier("small", ("p/small",))),
        (Gate("barred", "forbid", Compare("model.region", "eq", "no")),),
        (),
        route,
        ("p/last",),
        budgets=(Budget("tenant", 100, "tokens", "day", warn_ppm=500_000, degrade="small"),),
    )
    told = TelemetryRecord("t" * 20, 0, "p/proven", "ok", input_tokens=300, output_tokens=150)
    sums = merge_sums([outcome_sums(told, NOW)] * 400)
    row = CellRow(cluster_id(envelope("label")), "label", "p/proven", 0, epoch_of(NOW), sums)
    table, snapshot = compile_table(policy, Catalog.build(models, {})), build_snapshot([row], NOW)
    used = 100 if on["deny"] else 50 if on["degrade"] else 0
    seen = set()
    for number in range(24):
        now = Circumstances(
            "acme",
            decision_id_for(NOW, str(number).encode()),
            NOW,
            pin=Pin("acme", "s", "only", "p/pinned", NOW + 1) if on["pin"] else None,
            budgets=(BudgetReading("tenant", None, "day", "tokens", used),),
        )
        decision = decide(RouteRequest(envelope("label"), "p", session="s"), table, snapshot, now)
        seen.add(decision.arm)
        if decision.cell.outlook is not None and not on["deny"]:
            odds = dict(decision.cell.outlook.odds)
            assert decision.explored == (decision.arm != decision.cell.outlook.pick.arm)
            if not on["explore"] or decision.plan[0].role == "pinned":
                assert odds == {decision.arm: PPM}
            assert {step.arm for step in decision.plan} <= set(PRICE) - {barred}
            if on["degrade"]:
                assert set(odds) <= {"p/small", "p/last"}
            assert decision.cell.outlook.pick.arm == expected(barred, on)
        else:
            assert (decision.status, decision.arm, decision.plan) == ("denied", None, ())
    if not on["explore"] or on["deny"]:
        assert seen == {expected(barred, on)}
