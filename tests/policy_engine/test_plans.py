"""Cascades, pins, budgets, lanes and prices: the parts of a plan beside the arm that serves."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policy_engine.budgets import BudgetReading, judge_budgets
from policy_engine.costs import Usage, call_cost, expected_usage, prefix_cost
from policy_engine.decision import Circumstances, decide, decision_id_for
from policy_engine.lanes import LIVE, Lane, assign
from policy_engine.pins import Pin, mint_pin, verify_pin
from policy_engine.receipt import receipt_body
from policy_engine.snapshot import EMPTY, PRIOR, Estimate
from policy_engine.table import compile_table
from policy_engine.token import SigningKeys, TokenError
from policy_engine.wire import RouteRequest
from policy_lang.catalog import Model, Prices
from policy_lang.envelope import build_envelope
from policy_lang.ir import (
    PPM,
    And,
    Budget,
    Canary,
    Cascade,
    Check,
    Explore,
    Floor,
    OnOutcome,
    Parameter,
    PickTerm,
    Policy,
    Route,
    Tier,
)

NOW = 1_790_000_000_000
KEYS = SigningKeys("k1", {"k1": b"k" * 32})
CASCADE = Cascade(("small", "large"), (Check("judge", below_ppm=800_000), Check("json_valid")))


def circumstances(number: int = 0, **fields) -> Circumstances:
    return Circumstances("acme", decision_id_for(NOW, str(number).encode()), NOW, **{"degraded": True, **fields})


@pytest.fixture
def changed(policy, catalog):
    """A table of the small world's policy with fields of its default route, or of the policy, replaced."""

    def build(policy_fields: dict | None = None, **route_fields):
        return compile_table(
            replace(policy, **(policy_fields or {}), default=replace(policy.default, **route_fields)), catalog
        )

    return build


class TestCascade:
    def test_it_is_planned_where_it_is_cheaper_than_the_strong_arm(self, changed, request_for, learned):
        others = [("analysis", arm, 20, 300) for arm in ("b/plain", "c/blank")]
        snapshot = learned(("analysis", "a/cheap", 270, 30), ("analysis", "b/strong", 300, 3), *others)
        decision = decide(request_for("analysis"), changed(cascade=CASCADE), snapshot, circumstances())
        cascade = decision.cell.outlook.cascade
        assert cascade.pays
        assert [(step.arm, step.role) for step in decision.plan[:2]] == [
            ("a/cheap", "cascade"),
            ("b/strong", "cascade"),
        ]
        first, strong = decision.cell.outlook.options["a/cheap"], decision.cell.outlook.options["b/strong"]
        failing = PPM - first.estimate.success_ppm
        assert cascade.cost_nanodollars == first.cost_nanodollars + failing * strong.cost_nanodollars // PPM
        assert cascade.break_even_ppm == pytest.approx(first.cost_nanodollars / strong.cost_nanodollars * PPM, abs=2)

    def test_the_strong_arm_is_called_directly_where_the_cheap_one_mostly_fails(self, changed, request_for, learned):
        counts = [("analysis", arm, 1, 400) for arm in ("a/cheap", "b/plain", "c/blank")]
        table = changed(cascade=Cascade(("small", "large"), CASCADE.escalate), use=("large",))
        snapshot = learned(*counts, ("analysis", "b/strong", 300, 3))
        decision = decide(request_for("analysis"), table, snapshot, circumstances())
        cascade = decision.cell.outlook.cascade
        cheap = decision.cell.outlook.options[cascade.steps[0].arm]
        assert not cascade.pays
        assert cascade.cost_nanodollars > cascade.direct_nanodollars
        assert cascade.break_even_ppm > cheap.estimate.success_ppm
        assert (decision.arm, decision.plan[0].role) == ("b/strong", "direct")

    FLOOR = (Floor("success", 800_000, 900_000),)
    PROVEN, FAILED, UNKNOWN = (300, 3), (20, 300), (0, 0)

    @pytest.mark.parametrize(
        ("cheap", "strong", "until", "plan"),
        [
            (PROVEN, PROVEN, None, [("a/cheap", "cascade", "cleared"), ("b/strong", "cascade", "cleared")]),
            # No check on an answer stands in for a proof of the model: the strong one serves, the cheap is explored.
            (UNKNOWN, PROVEN, None, [("b/strong", "pick", "cleared")]),
            (UNKNOWN, UNKNOWN, "b/strong", [("b/strong", "until_proven", "unproven")]),
            (FAILED, PROVEN, None, [("b/strong", "pick", "cleared")]),
            # Above a proven arm stands whoever would serve alone until one is proven.
            (PROVEN, UNKNOWN, None, [("a/cheap", "cascade", "cleared"), ("b/strong", "cascade", "unproven")]),
            (PROVEN, UNKNOWN, "b/strong", [("a/cheap", "cascade", "cleared"), ("b/strong", "cascade", "unproven")]),
            (PROVEN, FAILED, None, [("a/cheap", "pick", "cleared")]),
        ],
    )
    def test_under_a_floor_only_proven_arms_climb(self, changed, request_for, learned, cheap, strong, until, plan):
        table = changed(
            {"tiers": (Tier("large", ("b/strong",)), Tier("small", ("a/cheap",)))},
            use=(),
            cascade=CASCADE,
            floors=self.FLOOR,
            until_proven=until,
        )
        snapshot = learned(("other", "a/cheap", *cheap), ("other", "b/strong", *strong))
        decision = decide(request_for("other"), table, snapshot, circumstances())
        assert [(step.arm, step.role, step.floor) for step in decision.plan[: len(plan)]] == plan
        assert all(step.role != "cascade" for step in decision.plan[len(plan) :])

    def test_where_climbing_does_not_pay_an_unproven_arm_is_still_not_called_at_once(
        self, catalog, policy, request_for, learned
    ):
        tiers = (Tier("large", ("b/strong",)), Tier("small", ("a/cheap",)))
        route = replace(policy.default, use=(), cascade=CASCADE, floors=self.FLOOR)
        as_dear = catalog.repriced("a/cheap", price_in=3_000_000, price_out=15_000_000)
        table = compile_table(replace(policy, tiers=tiers, default=route), as_dear)
        decision = decide(request_for("other"), table, learned(("other", "a/cheap", *self.PROVEN)), circumstances())
        assert not decision.cell.outlook.cascade.pays
        assert [(step.arm, step.role, step.floor) for step in decision.plan[:1]] == [("a/cheap", "pick", "cleared")]


class TestBudgets:
    ORG = Budget("org", 400_000_000_000, "nanodollars", "month", "growth", warn_ppm=800_000, degrade="small")

    def reading(self, used: int | None) -> tuple[BudgetReading, ...]:
        return (BudgetReading("org", "growth", "month", "nanodollars", used),)

    @pytest.mark.parametrize(
        ("used", "fields", "state"),
        [
            (0, {}, "within"),
            (319_999_999_999, {}, "within"),
            (320_000_000_000, {}, "degrade"),
            (320_000_000_000, {"degrade": None}, "warn"),
            (400_000_000_000, {}, "deny"),
            (400_000_000_000, {"at_limit": "warn"}, "degrade"),
            (400_000_000_000, {"at_limit": "warn", "degrade": None}, "warn"),
            (None, {}, "within"),
            (None, {"unreachable": "closed"}, "deny"),
        ],
    )
    def test_the_state_follows_use_and_reach(self, request_for, used, fields, state):
        verdict = judge_budgets([replace(self.ORG, **fields)], self.reading(used), request_for("label", org="growth"))
        assert verdict.state == state

    def test_another_org_is_not_covered(self, request_for):
        assert judge_budgets([self.ORG], self.reading(10**15), request_for("label", org="labs")).state == "within"

    def test_a_used_up_budget_denies_and_names_itself(self, changed, request_for):
        table = changed({"budgets": (self.ORG,)})
        decision = decide(request_for("label", org="growth"), table, EMPTY, circumstances(budgets=self.reading(10**15)))
        assert (decision.status, decision.arm, decision.plan) == ("denied", None, ())
        assert decision.budget.document() == {
            "state": "deny",
            "scope": "org",
            "name": "growth",
            "limit": 400_000_000_000,
            "unit": "nanodollars",
            "period": "month",
        }

    def test_a_strained_budget_leaves_the_route_one_tier(self, changed, request_for):
        table = changed({"budgets": (replace(self.ORG, degrade="small"),)})
        strained = circumstances(budgets=self.reading(330_000_000_000))
        decision = decide(request_for("analysis", org="growth"), table, EMPTY, strained)
        assert {c.model.arm for c in decision.cell.survey.pool} == {"a/cheap", "b/plain", "c/blank"}

    def test_degrading_never_leaves_the_gates(self, changed, request_for):
        table = changed({"budgets": (replace(self.ORG, degrade="large"),)})
        strained = circumstances(budgets=self.reading(330_000_000_000))
        decision = decide(request_for("pii-extract", org="growth"), table, EMPTY, strained)
        assert [step.arm for step in decision.plan] == ["a/cheap"]

    def test_where_no_candidate_is_left_that_is_said_before_any_budget(self, changed, request_for):
        request = request_for("label", org="growth", candidates=("x/none",))
        decision = decide(
            request, changed({"budgets": (self.ORG,)}), EMPTY, circumstances(budgets=self.reading(10**15))
        )
        assert (decision.status, decision.budget.state) == ("no_candidates", "deny")


class TestLanes:
    CANARY = Canary("acme/next", 50_000, "session", 30_000)

    def test_a_session_stays_in_its_lane_and_shares_come_out_right(self, policy, request_for):
        carrying = replace(policy, canaries=(self.CANARY,))
        seen: Counter[str | None] = Counter()
        for number in range(4_000):
            request = request_for("label", session=f"s{number}")
            lane = assign(carrying, request, str(number), NOW, ())
            assert lane == assign(carrying, request, "another call", NOW + 1, ())
            seen[lane.policy] += 1
            assert lane.propensity_ppm == (50_000 if lane.policy else 950_000)
        assert seen["acme/next"] / 4_000 == pytest.approx(0.05, abs=0.015)

    @pytest.mark.parametrize(
        ("fields", "now", "stopped", "session"),
        [
            ({"canaries": (replace(CANARY, until_day=NOW // 86_400_000 - 1),)}, NOW, (), "s"),
            ({"canaries": (CANARY,)}, NOW, ("acme/next",), "s"),
            ({"canaries": (CANARY,)}, NOW, (), None),
            ({"canaries": (CANARY,), "audit": "on"}, NOW, (), "s"),
            ({}, NOW, (), "s"),
        ],
    )
    def test_no_canary_past_its_date_stopped_without_unit_or_in_audit(
        self, policy, request_for, fields, now, stopped, session
    ):
        carrying = replace(policy, **fields)
        for number in range(200):
            request = request_for("label", session=session and f"{session}{number}")
            assert assign(carrying, request, str(number), now, stopped) == LIVE

    def test_the_lane_enters_the_propensity_of_the_plan(self, table, request_for):
        decision = decide(request_for("label"), table, EMPTY, circumstances(lane=Lane("acme/next", 50_000)))
        assert decision.propensity_ppm == decision.claims().propensity_ppm == 50_000

    def test_what_happened_had_a_chance_however_many_draws_it_took(self, table, request_for):
        """1 % support in a lane of 1 ppm: the product is less than half a millionth."""
        lane = Lane("acme/next", 1)
        explored = [
            decision
            for number in range(200)
            if (
                decision := decide(request_for("label"), table, EMPTY, circumstances(number, lane=lane, degraded=False))
            )
            and decision.explored
        ]
        assert explored
        assert {decision.propensity_ppm for decision in explored} == {1}
        receipt = json.loads(receipt_body(request_for("label"), explored[0], EMPTY))
        factors = receipt["decision"]["propensity_ppm"], receipt["circumstances"]["lane"]["propensity_ppm"]
        assert factors == (dict(explored[0].cell.outlook.odds)[explored[0].arm], 1)

    @given(st.lists(st.integers(1, 250_000), max_size=3), st.integers(0, 10**6))
    def test_the_lanes_of_a_policy_sum_to_a_million(self, shares, salt):
        canaries = tuple(Canary(f"acme/c{n}", share, "call", 30_000) for n, share in enumerate(shares))
        carrying = Policy("p", ("label",), (), (), (), Route("r", And(()), (), ()), (), canaries=canaries)
        request = RouteRequest(build_envelope(task_type="label", context_tokens=1, estimated_tokens=1))
        lanes = {assign(carrying, request, f"{salt}-{number}", NOW, ()) for number in range(300)}
        of = {lane.policy: lane.propensity_ppm for lane in lanes}
        assert len(of) == len(lanes)
        assert sum(of.values()) <= PPM
        if len(of) == len(shares) + 1:
            assert sum(of.values()) == PPM


class TestPins:
    PIN = Pin("acme", "s1", "labelling", "b/strong", NOW)

    def test_a_pin_survives_the_caller(self):
        assert verify_pin(mint_pin(self.PIN, KEYS), KEYS) == self.PIN

    def test_a_decision_token_is_not_a_pin_and_a_changed_pin_is_refused(self, table, request_for):
        from policy_engine.token import mint, verify

        token = mint(decide(request_for("label"), table, EMPTY, circumstances()).claims(), KEYS)
        pin = mint_pin(self.PIN, KEYS)
        for attempt in (lambda: verify_pin(token, KEYS), lambda: verify(pin, KEYS)):
            with pytest.raises(TokenError, match="malformed_token"):
                attempt()
        with pytest.raises(TokenError, match="bad_signature"):
            verify_pin(pin.replace("pin.k1.W", "pin.k1.X"), KEYS)

    #: Warm, a turn costs 300 tokens at `cached_read`; moved, 300 at `price`: whatever the cache did for turns before.
    @pytest.mark.parametrize("cached", [0, 100, 300])
    @pytest.mark.parametrize(
        ("cached_read", "price", "served"),
        [
            (1_000_000, 999_000, "a/cheap"),
            (500_000, 499_000, "a/cheap"),
            (500_000, 500_000, "b/plain"),
            (100_000, 101_000, "b/plain"),
            (100_000, 10_000, "a/cheap"),
            (0, 1_000, "b/plain"),
        ],
    )
    def test_a_session_moves_only_when_the_gain_beats_the_cached_prefix(
        self, policy, catalog, request_for, learned, cached, cached_read, price, served
    ):
        decision = self.turn(policy, catalog, request_for, learned, cached_read, price, cached)
        weighed = decision.cell.outlook.pin
        assert weighed.kept == (weighed.gain_nanodollars <= weighed.switch_cost_nanodollars)
        assert (decision.arm, decision.plan[0].role == "pinned") == (served, served == "b/plain")

    def test_a_session_that_moves_goes_to_the_pick_and_explores_nothing(self, policy, catalog, request_for, learned):
        for degraded in (True, False):
            decision = self.turn(policy, catalog, request_for, learned, 1_000_000, 100_000, 0, degraded=degraded)
            assert decision.cell.outlook.odds == (("a/cheap", PPM),)

    @pytest.mark.parametrize(
        ("held", "plan"),
        [
            ("a/cheap", [("a/cheap", "pinned"), ("b/strong", "cascade")]),
            # Without its prefix in a cache the strong arm is left for the cascade, whose second call is in the balance.
            ("b/strong", [("a/cheap", "cascade"), ("b/strong", "cascade")]),
        ],
    )
    def test_a_session_climbs_the_cascade_from_its_arm(self, changed, request_for, learned, held, plan):
        table = changed(cascade=CASCADE, pin_ms=60_000, use=(), pick=(PickTerm("cheapest"),))
        others = [("analysis", arm, 20, 300) for arm in ("b/plain", "c/blank")]
        snapshot = learned(("analysis", "a/cheap", 270, 30), ("analysis", "b/strong", 300, 3), *others)
        pin = Pin("acme", "s1", "general", held, NOW + 1)
        decision = decide(request_for("analysis", session="s1"), table, snapshot, circumstances(pin=pin))
        outlook = decision.cell.outlook
        assert [(step.arm, step.role) for step in decision.plan[:2]] == plan
        assert decision.expected_cost_nanodollars == outlook.cascade.cost_nanodollars
        strong = outlook.cascade.direct_nanodollars
        gain = 0 if held == "a/cheap" else strong - outlook.cascade.cost_nanodollars
        assert outlook.pin.gain_nanodollars == gain

    @staticmethod
    def turn(policy, catalog, request_for, learned, cached_read, price, cached, **fields):
        """A turn of a session on `b/plain`, $1/Mtok. Of its prompts of 300 tokens `cached` were read from a cache."""
        pin = Pin("acme", "s1", "general", "b/plain", NOW + 1)
        records = ("analysis", "b/plain", 300, 3), ("analysis", "a/cheap", 300, 3)
        snapshot = learned(*records, cached={"b/plain": cached})
        rows = [
            replace(catalog.models["b/plain"], price_cached_read=cached_read, price_out=0),
            replace(catalog.models["a/cheap"], price_in=price, price_out=0),
        ]
        route = replace(policy.default, pin_ms=60_000, use=("pair",), explore=Explore(300_000))
        pair = replace(policy, tiers=(*policy.tiers, Tier("pair", ("a/cheap", "b/plain"))), default=route)
        table = compile_table(pair, catalog.overlaid(rows))
        return decide(request_for("analysis", session="s1"), table, snapshot, circumstances(pin=pin, **fields))


class TestOrders:
    def test_parameters_failure_plan_timeout_and_stream_are_handed_on(self, changed, request_for):
        import json

        table = changed(
            parameters=(Parameter("max_tokens", "at_least", 4_096_000),),
            failures=(OnOutcome("rate_limited", retries=2, backoff_ms=200),),
            timeout_ms=30_000,
            stream="on",
        )
        decision = decide(request_for("analysis"), table, EMPTY, circumstances())
        row = json.loads(decision.course.decision_json)
        assert row["parameters"] == [{"milli": 4_096_000, "name": "max_tokens", "rule": "at_least"}]
        assert row["on"] == {"rate_limited": {"then": "next", "retries": 2, "backoff_ms": 200}}
        assert (row["timeout_ms"], row["stream"]) == (30_000, True)

    def test_stay_in_floor_ends_the_plan_at_the_cleared_arms(self, changed, request_for):
        plain = decide(request_for("analysis"), changed(), EMPTY, circumstances())
        strict = decide(request_for("label"), changed(), EMPTY, circumstances())
        assert {step.role for step in plain.plan} <= {"pick", "cleared", "fallback"}
        assert [step.role for step in strict.plan] == ["until_proven", "fallback", "fallback"]

    def test_audit_mode_makes_equal_calls_get_equal_models(self, changed, request_for):
        table = changed({"audit": "on"})
        arms = {decide(request_for("label"), table, EMPTY, circumstances(n, degraded=False)).arm for n in range(200)}
        assert arms == {"b/strong"}

    def test_audit_mode_lets_a_half_open_arm_serve_every_call_and_draws_nothing(self, changed, request_for):
        now = {"half_open": frozenset({"b/strong"}), "breakers": frozenset({"b/plain"})}
        for audit, served in (
            ("off", {("b/strong", 100_000), ("a/cheap", 900_000)}),
            ("on", {("b/strong", PPM)}),
        ):
            table = changed({"audit": audit})
            decisions = [decide(request_for("label"), table, EMPTY, circumstances(n, **now)) for n in range(200)]
            assert {(decision.arm, decision.propensity_ppm) for decision in decisions} == served
            assert "b/plain" not in {step.arm for decision in decisions for step in decision.plan}


class TestCosts:
    LONG = Model(
        "p/m",
        "p",
        "m",
        1_000_000,
        5_000_000,
        100_000,
        1_250_000,
        tiers=(Prices(2_000_000, 10_000_000, 200_000, 2_500_000, above=200_000),),
        batch=(Prices(500_000, 2_500_000),),
    )

    @pytest.mark.parametrize(
        ("usage", "batch", "expected"),
        [
            (Usage(1_000, 100), False, 1_500_000),
            (Usage(1_000, 100, cached_read=800), False, 780_000),
            (Usage(1_000, 100, cached_write=400), False, 1_600_000),
            (Usage(200_001, 100), False, 401_002_000),
            (Usage(200_000, 100), False, 200_500_000),
            (Usage(1_000, 100), True, 750_000),
            (Usage(1_000, 100, cached_read=1_000), True, 750_000),
            (Usage(0, 0), False, 0),
        ],
    )
    def test_each_class_tier_and_service_has_its_price(self, usage, batch, expected):
        assert call_cost(self.LONG, usage, batch=batch) == expected

    def test_tool_schemas_count_until_the_arms_own_tokens_are_known(self):
        bare, tools = (build_envelope(task_type="label", context_tokens=100, tools_used=n) for n in (0, 3))
        assert expected_usage(tools, PRIOR).prompt - expected_usage(bare, PRIOR).prompt == 450
        known = Estimate(1, 1, 0, 0, 0, tokens_in=900, tokens_out=50, tokens_cached_read=300)
        assert expected_usage(tools, known) == Usage(900, 50, cached_read=300)

    def test_a_batch_price_counts_only_where_nobody_waits(self, policy, catalog, request_for):
        cheap = replace(catalog.models["a/cheap"], batch=(Prices(1, 1),))
        table = compile_table(
            replace(policy, default=replace(policy.default, batch="allowed")), catalog.overlaid((cheap,))
        )
        for waits in (False, True):
            decision = decide(request_for("analysis", time_sensitive=waits), table, EMPTY, circumstances())
            told = json.loads(decision.course.decision_json)
            assert told.get("batch", False) == (not waits)
            arm = next(arm for arm in decision.claims().arms if arm.arm == "a/cheap")
            assert (arm.price_in, arm.price_out) == ((100_000, 400_000) if waits else (1, 1))
            option = decision.cell.outlook.options["a/cheap"]
            usage = expected_usage(decision.cell.survey.envelope, option.estimate)
            assert option.cost_nanodollars == arm.cost_nanodollars(usage.prompt, usage.output)

    def test_a_warm_prefix_is_worth_the_difference_to_fresh_input(self):
        assert prefix_cost(self.LONG, Usage(1_000, 100)) == 900_000
        assert prefix_cost(replace(self.LONG, price_cached_read=None), Usage(1_000, 100)) == 0
