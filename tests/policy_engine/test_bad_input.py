"""What should never have come: a named reason in the decision or a typed error, never a wrong choice in silence."""

from __future__ import annotations

import gzip
import json
from dataclasses import replace

import pytest

from policy_engine.beta import tail_ppm
from policy_engine.decision import Circumstances, decide, decision_id_for
from policy_engine.estimate import EstimateError
from policy_engine.pins import Pin
from policy_engine.receipt import open_sealed, receipt_body, reply, seal
from policy_engine.replay import Replayer, replay
from policy_engine.settlement import Telemetry, settle
from policy_engine.snapshot import EMPTY, build_snapshot, snapshot_document, snapshot_from_document
from policy_engine.soundness import CLOCK_SKEW_MS, unsound
from policy_engine.state import RouteState, StateError, pack_state, state_document, unpack_state, with_snapshot
from policy_engine.statistics import CellRow, epoch_of, merge_sums, outcome_sums, quality_sums
from policy_engine.table import compile_table
from policy_engine.token import SigningKeys, TokenArm, TokenClaims, mint, verify
from policy_engine.wire import MAX_COUNT, RouteRequest, TelemetryRecord, record_from_wire
from policy_lang.admission import AdmissionError, admit, policy_from_document
from policy_lang.canonical import canonical
from policy_lang.catalog import Catalog, CatalogError, Model, Prices, model_document, model_from_document
from policy_lang.fingerprint import ir_document, policy_fingerprint
from policy_lang.ir import PPM, Floor, Tier

NOW = 1_790_000_000_000
DAY = 86_400_000
WEEK = 7 * DAY
KEYS = SigningKeys("k1", {"k1": b"k" * 32})
MOST = dict.fromkeys(("input_tokens", "output_tokens", "cached_read_tokens", "cached_write_tokens"), MAX_COUNT)
LONGEST = TelemetryRecord("t" * 20, 0, "a/cheap", "ok", latency_ms=MAX_COUNT, ttft_ms=MAX_COUNT, **MOST)
LINES = {"PII stays in the EU": 6, "route:labelling": 9, "route:general": 16}


def circumstances(number: int = 0, *, now: int = NOW, **fields) -> Circumstances:
    return Circumstances("acme", decision_id_for(now, str(number).encode()), now, **fields)


def outcomes(good: int, bad: int = 0, at: int = NOW, quality: int | None = None) -> dict[str, int]:
    record = TelemetryRecord("t" * 20, 0, "a/cheap", input_tokens=300, output_tokens=100, latency_ms=900)
    parts = [outcome_sums(replace(record, outcome="ok"), at)] * good
    parts += [outcome_sums(replace(record, outcome="wrong"), at)] * bad
    return merge_sums(parts + ([quality_sums(quality, at)] * (good + bad) if quality is not None else []))


def row(sums: dict[str, int], *, at: int = NOW, **fields) -> CellRow:
    known = {"cluster": "ab" * 10, "task": "label", "arm": "a/cheap", "generation": 0, "epoch": epoch_of(at)}
    return CellRow(**{**known, **fields}, sums=sums)


class TestStatistics:
    GOOD = outcomes(90, 10, quality=800_000)

    @pytest.mark.parametrize(
        ("change", "reason"),
        [
            ({"s": -1}, "negative"),
            ({"c": -5}, "negative"),
            ({"h10": -1}, "negative"),
            ({"n": 10**38}, "overflow"),
            ({"zz": 10**40}, "overflow"),
            ({"c": 10**16}, "overflow"),
            ({"n": 1.5}, "not_an_integer"),
            ({"n": "7"}, "not_an_integer"),
            ({"s": None}, "not_an_integer"),
            ({"s": True}, "not_an_integer"),
            ({"n": ...}, "missing_sum"),
            ({"s": ...}, "missing_sum"),
            ({"c": ...}, "missing_sum"),
            ({"q": ...}, "missing_sum"),
            ({"ti": ...}, "missing_sum"),
            ({"l": ...}, "missing_sum"),
            ({"s": GOOD["n"] + 1}, "impossible_sum"),
            ({"q": GOOD["qn"] * PPM + 1}, "impossible_sum"),
            ({"ti": 10**36}, "impossible_sum"),
            ({"tr": GOOD["tn"] * MAX_COUNT + 1}, "impossible_sum"),
            ({"l": GOOD["ln"] * MAX_COUNT + 1}, "impossible_sum"),
            ({"h28": 10**12}, "impossible_sum"),
            ({"g999": 1}, "impossible_sum"),
            ({"n": GOOD["n"] * 3}, "from_the_future"),
            ({"epoch": epoch_of(NOW) + 2}, "from_the_future"),
            ({"epoch": epoch_of(NOW) + 1}, "from_the_future"),
            ({"epoch": -1}, "negative"),
            ({"generation": -1}, "negative"),
        ],
    )
    def test_a_row_that_cannot_be_is_left_out_and_counted_by_its_reason(self, change, reason):
        place = {name: change[name] for name in ("epoch", "generation") if name in change}
        wanted = {**self.GOOD, **{name: value for name, value in change.items() if name not in place}}
        broken = row({name: value for name, value in wanted.items() if value is not ...}, **place)
        assert unsound(broken, NOW) == reason
        healthy = row(outcomes(30), arm="b/plain")
        snapshot = build_snapshot([broken, healthy], NOW)
        assert snapshot.left_out == {reason: 1}
        assert replace(snapshot, left_out={}, fingerprint="") == replace(build_snapshot([healthy], NOW), fingerprint="")

    @pytest.mark.parametrize(
        "sums",
        [
            {},
            {"p": 3},
            outcomes(1),
            outcomes(0, 1),
            quality_sums(0, NOW),
            outcome_sums(TelemetryRecord("t" * 20, 0, "a/cheap", "timeout", latency_ms=0), NOW),
            {**outcomes(3), "a-newer-writers": 1},
            outcome_sums(LONGEST, NOW),
            merge_sums([outcomes(3), outcomes(3, at=NOW - 20 * WEEK)]),
            outcomes(2, at=NOW + CLOCK_SKEW_MS),
        ],
    )
    def test_what_honest_writers_leave_is_sound(self, sums):
        assert unsound(row(sums), NOW) is None
        assert build_snapshot([row(sums)], NOW).left_out == {}

    def test_a_landmark_between_two_honest_clocks_loses_nothing(self):
        turn = (epoch_of(NOW) + 1) * 48 * WEEK
        early = row(outcomes(40), at=turn, epoch=epoch_of(turn))
        sums = outcomes(40, at=turn)
        assert unsound(replace(early, sums=sums), turn - 1) is None
        found = build_snapshot([replace(early, sums=sums)], turn - 1).cells["ab" * 10]["a/cheap"]
        assert 38_000 <= found.n_milli <= 42_000

    def test_a_posterior_of_any_size_has_a_tail_between_nothing_and_certainty(self):
        for strength in (10**12, 10**18, 10**30):
            assert tail_ppm(strength * 95 // 100, strength * 5 // 100, 950_000) == pytest.approx(500_000, abs=2_000)
            assert tail_ppm(strength * 99 // 100, strength // 100, 950_000) == PPM
            assert tail_ppm(strength // 2, strength // 2, 950_000) == 0

    @pytest.mark.parametrize(
        "estimate",
        [[0, 1, 0, 0, 0], [1, -1, 0, 0, 0], [1, 1, 0, 0, PPM + 1], [10**15, 1, 0, 0, 0], [1.5, 1, 0, 0, 0]],
    )
    def test_a_stored_estimate_that_cannot_be_is_refused(self, learned, estimate):
        document = snapshot_document(learned(("label", "a/cheap", 3, 1)))
        document["overall"]["a/cheap"][:5] = estimate
        with pytest.raises(EstimateError):
            snapshot_from_document(document)

    def test_the_decision_says_that_statistics_were_left_out(self, policy, table, request_for):
        snapshot = build_snapshot([row({**self.GOOD, "s": -1})], NOW)
        request = request_for("label")
        decision = decide(request, table, snapshot, circumstances())
        assert decision.warnings == ("statistics_left_out",)
        line = seal(receipt_body(request, decision, snapshot))
        assert open_sealed(line)["snapshot"]["left_out"] == {"negative": 1}
        store = {policy_fingerprint(policy): (policy, LINES)}
        assert replay(line, store).equal
        replayer = Replayer(store)
        assert [replayer.replay(line).equal for _ in range(3)] == [True] * 3


class TestClocks:
    def test_a_clock_behind_the_snapshot_explores_nothing_and_says_why(self, table, request_for, learned):
        snapshot = learned(("label", "b/plain", 3, 0))
        request = request_for("label")
        within = decide(request, table, snapshot, circumstances(now=NOW - CLOCK_SKEW_MS))
        assert (within.warnings, len(within.cell.outlook.odds) > 1) == ((), True)
        jumped = decide(request, table, snapshot, circumstances(now=NOW - CLOCK_SKEW_MS - 1))
        assert (jumped.warnings, jumped.cell.outlook.odds) == (("clock_before_snapshot",), (("b/strong", PPM),))
        assert json.loads(reply(jumped, "t"))["warnings"] == ["clock_before_snapshot"]
        assert json.loads(receipt_body(request, jumped, snapshot))["warnings"] == ["clock_before_snapshot"]

    def test_a_clock_far_ahead_of_the_snapshot_still_decides(self, table, request_for, learned):
        snapshot = learned(("label", "b/plain", 400, 4))
        assert decide(request_for("label"), table, snapshot, circumstances(now=NOW + 400 * DAY)).status == "served"

    @pytest.mark.parametrize(("ahead", "kept"), [(0, True), (1_800_000 + CLOCK_SKEW_MS, True), (3_000_000, False)])
    def test_a_pin_dated_beyond_what_its_route_grants_is_ignored(self, table, request_for, ahead, kept):
        held = Pin("acme", "s1", "labelling", "b/strong", NOW + 1 + ahead - bool(ahead))
        decision = decide(request_for("label", session="s1"), table, EMPTY, circumstances(pin=held))
        assert (decision.plan[0].role == "pinned") == kept

    @pytest.mark.parametrize(
        ("received", "reason"), [(NOW - CLOCK_SKEW_MS, None), (NOW - CLOCK_SKEW_MS - 1, "decided_later")]
    )
    def test_an_outcome_of_a_decision_yet_to_be_made_teaches_nothing(self, received, reason):
        claims = TokenClaims(
            "acme", "d" * 32, "ab" * 10, "label", "r", (TokenArm("a/b", 0, 1, 1, 1, 1),), PPM, False, NOW
        )
        record = TelemetryRecord(mint(claims, KEYS), 0, "a/b", "ok")
        settlement = settle(Telemetry("acme", "r:0", received, record), KEYS)
        assert (settlement.reason, bool(settlement.effects)) == (reason, reason is None)

    @pytest.mark.parametrize(("age", "taken"), [(60_000, False), (2 * DAY, False), (2 * DAY + 1, True), (-1, True)])
    def test_a_snapshot_that_a_jumped_clock_made_does_not_stay_for_ever(self, learned, age, taken):
        ahead = replace(learned(("label", "a/cheap", 3, 1)), made_ms=NOW)
        state = RouteState("acme", snapshot=ahead)
        later = replace(learned(("label", "a/cheap", 9, 1)), made_ms=NOW - age)
        assert (with_snapshot(state, later).snapshot is later) == taken


class TestCandidates:
    def test_an_empty_candidate_set_names_every_arm_it_left_out(self, table, request_for):
        request = replace(request_for("label"), candidates=())
        decision = decide(request, table, EMPTY, circumstances())
        assert (decision.status, decision.arm, decision.plan) == ("no_candidates", None, ())
        rows = json.loads(decision.cell.reply_json)
        assert {r["fate"] for r in rows} == {"barred"}
        assert {r["reasons"][0]["rule"] for r in rows} == {"candidates of the request"}

    def test_an_empty_catalog_serves_nobody_and_says_absent(self, policy, request_for):
        decision = decide(request_for("label"), compile_table(policy, Catalog.build((), {})), EMPTY, circumstances())
        assert decision.status == "no_candidates"
        reasons = [r["reasons"] for r in json.loads(decision.cell.reply_json)]
        assert all([found["verdict"] for found in each] == ["absent"] for each in reasons)

    def test_a_baseline_that_the_catalog_lost_is_said(self, policy, catalog, request_for):
        named = replace(policy, baseline="x/gone")
        table = compile_table(named, catalog, LINES)
        request = request_for("label")
        decision = decide(request, table, EMPTY, circumstances())
        assert decision.warnings == ("baseline_absent",)
        assert decision.cell.outlook.baseline.model.arm == "b/strong"
        line = seal(receipt_body(request, decision, EMPTY))
        assert replay(line, {policy_fingerprint(named): (named, LINES)}).equal

    def test_in_shadow_candidates_that_a_token_has_no_room_for_are_left_out_and_that_is_said(
        self, policy, catalog, request_for
    ):
        crowd = [replace(catalog.models["a/cheap"], arm=f"a/cheap-{n:03}", name=f"cheap-{n:03}") for n in range(250)]
        tiers = (*policy.tiers, *(Tier(f"c{n}", tuple(m.arm for m in crowd[n::5])) for n in range(5)))
        general = replace(policy.default, use=("small", "large", *(f"c{n}" for n in range(5))))
        many = replace(policy, mode="shadow", tiers=tiers, default=general, baseline="b/strong")
        table, request = compile_table(many, catalog.overlaid(crowd), LINES), request_for("other")
        decision = decide(request, table, EMPTY, circumstances())
        assert decision.warnings == ("arms_left_out",)
        arms = [arm.arm for arm in decision.claims().arms]
        assert arms[: len(decision.plan)] == [step.arm for step in decision.plan]
        assert "b/strong" in arms
        told = {"token": mint(decision.claims(), KEYS), "arm": arms[-1], "outcome": "ok"}
        assert verify(record_from_wire(told).token, KEYS).arms == decision.claims().arms
        assert 100 < len(arms) < 250
        line = seal(receipt_body(request, decision, EMPTY))
        assert replay(line, {policy_fingerprint(many): (many, LINES)}).equal

    def test_every_breaker_open_is_a_status_with_its_fates(self, table, request_for):
        arms = frozenset(("a/cheap", "b/plain", "b/strong", "c/blank"))
        decision = decide(request_for("label"), table, EMPTY, circumstances(breakers=arms))
        assert decision.status == "no_candidates"
        assert {r["fate"] for r in json.loads(decision.cell.reply_json)} == {"breaker_open"}


class TestFloorsNobodyClears:
    IMPOSSIBLE = (Floor("success", PPM, 900_000),)

    @pytest.mark.parametrize(("good", "bad", "state"), [(0, 0, "unproven"), (500, 0, "failed"), (5, 500, "failed")])
    def test_the_until_proven_arm_serves_and_the_state_is_told(
        self, policy, catalog, request_for, learned, good, bad, state
    ):
        route = replace(policy.routes[0], floors=self.IMPOSSIBLE)
        table = compile_table(replace(policy, routes=(route,)), catalog)
        counts = [("label", arm, good, bad) for arm in catalog.models]
        decision = decide(request_for("label"), table, learned(*counts), circumstances(degraded=True))
        assert (decision.arm, decision.floor, decision.plan[0].role) == ("b/strong", state, "until_proven")
        assert decision.confidence_ppm == 0

    BAD = 5, 500
    WORSE = 1, 500

    @pytest.mark.parametrize(
        ("until", "counts", "served"),
        [
            # The strongest that may still prove it, never one that has failed.
            (None, {"b/strong": BAD, "c/blank": BAD}, ("b/plain", "unproven", "until_proven")),
            # All of the route have failed: the first fallback that has not.
            (None, {"b/strong": BAD, "c/blank": BAD, "b/plain": BAD}, ("a/cheap", "unproven", "fallback")),
            # All of everything: the least bad, wherever it stands.
            (
                None,
                {"b/strong": WORSE, "c/blank": BAD, "b/plain": WORSE, "a/cheap": WORSE},
                ("c/blank", "failed", "until_proven"),
            ),
            (
                None,
                {"b/strong": WORSE, "c/blank": WORSE, "b/plain": WORSE, "a/cheap": BAD},
                ("a/cheap", "failed", "fallback"),
            ),
            # Whom the policy names serves until one has cleared, whatever became of it.
            ("b/strong", {"b/strong": WORSE, "c/blank": BAD}, ("b/strong", "failed", "until_proven")),
        ],
    )
    def test_a_failed_arm_serves_only_where_the_policy_names_it_or_all_have_failed(
        self, policy, catalog, request_for, learned, until, counts, served
    ):
        tiers = (Tier("route", ("b/strong", "b/plain", "c/blank")),)
        floors = (Floor("success", 900_000, 900_000),)
        route = replace(policy.default, use=("route",), floors=floors, until_proven=until, explore=None)
        named = replace(policy, tiers=tiers, routes=(), default=route, fallback=("b/plain", "a/cheap"))
        snapshot = learned(*(("label", arm, *count) for arm, count in counts.items()))
        decision = decide(request_for("label"), compile_table(named, catalog), snapshot, circumstances(degraded=True))
        assert (decision.arm, decision.floor, decision.plan[0].role) == served


class TestPrices:
    @pytest.mark.parametrize("price", [None, -1, 1.5, "3", True])
    @pytest.mark.parametrize("name", ["price_in", "price_out"])
    def test_an_arm_without_a_price_is_refused(self, catalog, name, price):
        with pytest.raises(CatalogError, match=f"`a/cheap`: `{name}`"):
            replace(catalog.models["a/cheap"], **{name: price})

    @pytest.mark.parametrize("name", ["price_in", "price_out"])
    def test_a_document_without_a_price_is_refused(self, catalog, name):
        document = model_document(catalog.models["a/cheap"])
        del document[name]
        with pytest.raises(CatalogError, match=f"`a/cheap`: `{name}` is missing"):
            model_from_document(document)

    @pytest.mark.parametrize("steps", ["tiers", "batch"])
    def test_tiers_and_batch_services_need_prices_too(self, steps):
        with pytest.raises(CatalogError, match="`p/m`: `price_out`"):
            Model("p/m", "p", "m", 1, 1, **{steps: (Prices(1, -5),)})

    @pytest.mark.parametrize(
        "steps",
        [
            {"tiers": (Prices(1, 1),)},
            {"tiers": (Prices(1, 1, above=9), Prices(1, 1, above=9))},
            {"tiers": (Prices(1, 1, above=9), Prices(1, 1, above=8))},
            {"batch": (Prices(1, 1, above=1),)},
            {"batch": (Prices(1, 1), Prices(1, 1, above=-1))},
        ],
    )
    def test_prices_of_longer_prompts_are_refused_out_of_order(self, steps):
        with pytest.raises(CatalogError, match=rf"`p/m`: `above` must ascend in `{next(iter(steps))}`"):
            Model("p/m", "p", "m", 1, 1, **steps)

    def test_what_is_free_costs_nothing(self, policy, catalog, request_for):
        free = catalog.repriced("a/cheap", price_in=0, price_out=0)
        decision = decide(request_for("analysis"), compile_table(policy, free), EMPTY, circumstances(degraded=True))
        assert (decision.arm, decision.expected_cost_nanodollars) == ("a/cheap", 0)


class TestNewerThanTheEngine:
    def test_a_policy_of_a_newer_ir_is_refused_by_its_version_before_anything_else(self, policy):
        document = {**ir_document(policy), "ir_version": 2, "fields_of_tomorrow": []}
        for read in (admit, policy_from_document):
            with pytest.raises(AdmissionError, match="IR version 2; this engine evaluates up to 1") as refused:
                read(document)
            assert refused.value.code == "newer_version"

    def test_an_unknown_op_is_refused_with_its_path(self, policy):
        document = ir_document(policy)
        document["gates"][0]["violation"] = {"op": "matches", "field": "task", "value": "x"}
        with pytest.raises(AdmissionError, match=r"gates\[0\].violation") as refused:
            admit(document)
        assert refused.value.code == "unknown_op"

    def test_a_route_state_of_a_newer_format_is_refused(self):
        document = {**state_document(RouteState("acme")), "format": 2}
        with pytest.raises(StateError, match="format 2; this version reads 1"):
            unpack_state(gzip.compress(canonical(document)))

    @pytest.mark.parametrize(
        "blob", [b"", b"no gzip", *(gzip.compress(text, mtime=0) for text in (b"{", b"{}", b"[]"))]
    )
    def test_a_damaged_route_state_is_refused(self, blob):
        assert unpack_state(pack_state(RouteState("acme"))[1]) == RouteState("acme")
        with pytest.raises(StateError):
            unpack_state(blob)

    @pytest.mark.parametrize(
        ("change", "difference"),
        [
            ({"format": 2}, "the receipt is in format 2; this version reads 1"),
            ({"format": "1"}, "the receipt is in format 1; this version reads 1"),
            ({"engine": "pointsman-engine/2"}, "decided by pointsman-engine/2; this is pointsman-engine/1"),
            ({"engine": None}, "decided by None; this is pointsman-engine/1"),
        ],
    )
    def test_a_receipt_of_another_version_is_named_as_such(self, policy, table, request_for, change, difference):
        request = request_for("label")
        line = seal(receipt_body(request, decide(request, table, EMPTY, circumstances()), EMPTY))
        store = {policy_fingerprint(policy): (policy, LINES)}
        changed = seal(canonical({**open_sealed(line), **change}).decode())
        warm = Replayer(store)
        assert warm.replay(line).equal
        for verdict in (replay(changed, store), warm.replay(changed)):
            assert (verdict.equal, verdict.difference) == (False, difference)
            assert verdict.decision_id == circumstances().decision_id

    def test_an_inline_policy_of_a_newer_ir_in_a_receipt_is_a_finding(self, policy, catalog, request_for):
        request = replace(request_for("label"), policy=None, inline=ir_document(policy))
        assert isinstance(request, RouteRequest)
        table = compile_table(policy, catalog)
        receipt = json.loads(receipt_body(request, decide(request, table, EMPTY, circumstances()), EMPTY))
        assert replay(seal(canonical(receipt).decode()), {}).equal
        receipt["request"]["inline"]["ir_version"] = 2
        verdict = replay(seal(canonical(receipt).decode()), {})
        assert "IR version 2" in verdict.difference
