from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

import pytest

from policy_engine.evaluation import Evaluation, EvaluationError, Logged, Refusal, evaluated, logged
from policy_engine.receipt import open_sealed
from policy_lang.ir import PPM

ODDS = {"a": 700_000, "b": 200_000, "c": 100_000}
RATES = {"a": 0.8, "b": 0.5, "c": 0.2}
GUESS = {"a": 0.7, "b": 0.7, "c": 0.7}
TARGETS = {
    "the logging policy": ODDS,
    "one arm": {"b": PPM},
    "a mixture": {"a": 300_000, "b": 300_000, "c": 400_000},
}
RECEIPTS = Path(__file__).parents[1] / "conformance/receipts/format-1"


def worth_of(target):
    return sum(share * RATES[arm] for arm, share in target.items()) / PPM


@pytest.fixture(scope="module")
def population():
    """Every arm exactly as often as its propensity says, every outcome exactly as often as its rate."""
    return [
        Logged(arm, ODDS, reward, GUESS)
        for arm, share in ODDS.items()
        for reward, times in ((1.0, RATES[arm]), (0.0, 1 - RATES[arm]))
        for _ in range(round(share * times / 100))
    ]


@pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS)
def test_on_a_whole_population_every_estimate_is_the_truth(population, target):
    found = evaluated((entry, target) for entry in population)
    assert isinstance(found, Evaluation)
    for figure in (found.inverse_propensity, found.self_normalised, found.doubly_robust):
        assert figure.mean == pytest.approx(worth_of(target), abs=1e-9)
        assert figure.low < figure.mean < figure.high
    assert found.mean_weight == pytest.approx(1)


def sampled(seed, size=2_000):
    chance = random.Random(seed)
    arms = chance.choices(list(ODDS), weights=list(ODDS.values()), k=size)
    return [Logged(arm, ODDS, float(chance.random() < RATES[arm]), GUESS) for arm in arms]


def test_intervals_hold_the_truth_about_as_often_as_they_say():
    target = TARGETS["a mixture"]
    held = {"inverse_propensity": 0, "self_normalised": 0, "doubly_robust": 0}
    for seed in range(200):
        found = evaluated((entry, target) for entry in sampled(seed))
        for name in held:
            figure = getattr(found, name)
            held[name] += figure.low <= worth_of(target) <= figure.high
    assert all(180 <= times <= 198 for times in held.values()), held


def test_a_model_that_knows_the_rewards_leaves_no_doubt():
    entries = [Logged(arm, ODDS, RATES[arm], RATES) for arm in ("a", "b", "c") * 1_000]
    found = evaluated((entry, TARGETS["a mixture"]) for entry in entries)
    assert found.doubly_robust.high - found.doubly_robust.low == pytest.approx(0, abs=1e-9)
    assert found.doubly_robust.mean == pytest.approx(worth_of(TARGETS["a mixture"]))


def test_weights_of_a_target_equal_to_the_log_are_worth_every_decision():
    assert evaluated((entry, ODDS) for entry in sampled(0)).effective == pytest.approx(2_000)


@pytest.mark.parametrize(("matching", "answer"), [(200, Evaluation), (199, Refusal)])
def test_below_two_hundred_effective_outcomes_there_is_no_estimate(matching, answer):
    entries = [Logged("c", ODDS, 1.0, GUESS)] * matching + [Logged("a", ODDS, 1.0, GUESS)] * 500
    found = evaluated((entry, {"c": PPM}) for entry in entries)
    assert type(found) is answer
    if answer is Refusal:
        assert found.reason == "too_few"
        assert "699 decisions are worth 199 for this target (at least 200)" in str(found)


def test_a_target_that_the_log_could_not_have_served_is_refused():
    found = evaluated((entry, {"a": 980_000, "stranger": 20_000}) for entry in sampled(0))
    assert found == Refusal("unsupported", 2_000, found.effective, pytest.approx(0.02))
    assert "2.0% of the target's decisions go to models that the log could not have served" in str(found)


def test_an_empty_log_is_refused():
    assert evaluated([]) == Refusal("too_few", 0, 0.0, 0.0)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda: Logged("d", ODDS, 1.0, GUESS), "`d` served with a propensity of 0"),
        (lambda: Logged("a", ODDS, 1.0, {"a": 0.5}), "nothing is expected of `b`"),
        (lambda: evaluated([(Logged("a", ODDS, 1.0, GUESS), {"a": 999_999})]), "sum to 1,000,000"),
        (lambda: evaluated([(Logged("a", ODDS, 1.0, GUESS), {"a": PPM + 1, "b": -1})]), "whole ppm from 0"),
    ],
)
def test_what_cannot_be_is_an_error(wrong, message):
    with pytest.raises(EvaluationError, match=message):
        wrong()


def test_every_golden_receipt_that_chance_decided_is_a_log_entry():
    left_out = Counter()
    for line in (line for file in RECEIPTS.glob("*.jsonl") for line in file.read_text().splitlines()):
        receipt = open_sealed(line)
        plan = receipt["decision"].get("plan", [])
        why = "nobody" if not plan else "pinned" if plan[0]["role"] == "pinned" else receipt.get("mode")
        entry = logged(receipt, PPM, 1_000, lambda quality, cost: quality / PPM - cost / 1e9)
        left_out[why] += why is not None
        if why is not None:
            assert entry is None
            continue
        assert sum(entry.odds.values()) == PPM
        assert entry.odds[entry.arm] == receipt["decision"]["propensity_ppm"]
        assert entry.reward == pytest.approx(1 - 1e-6)
    assert set(left_out) >= {"nobody", "pinned", "shadow"}
