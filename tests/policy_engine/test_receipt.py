from __future__ import annotations

import json

import pytest

from policy_engine.budgets import BudgetReading
from policy_engine.decision import Circumstances, decide, decision_id_for
from policy_engine.lanes import LIVE, Lane
from policy_engine.pins import Pin
from policy_engine.receipt import ReceiptError, open_sealed, receipt_body, reply, seal
from policy_engine.replay import Replayer, replay
from policy_engine.snapshot import EMPTY
from policy_lang.canonical import canonical
from policy_lang.fingerprint import ir_document, policy_fingerprint

NOW = 1_790_000_000_000
LINES = {"PII stays in the EU": 6, "route:labelling": 9, "route:general": 16}


@pytest.fixture
def sealed(table, request_for, learned):
    """Receipts over both routes, explored and not, gated, pinned, with open breakers, and without any candidate."""
    snapshot = learned(("label", "b/plain", 40, 4), ("analysis", "a/cheap", 30, 30))
    lines = []
    for number in range(120):
        task = ("label", "analysis", "pii-extract")[number % 3]
        fields = {"candidates": ("x/none",)} if number % 40 == 7 else {}
        now = Circumstances(
            "acme",
            decision_id_for(NOW + number, str(number).encode()),
            NOW + number,
            breakers=frozenset({"b/plain"}) if number % 5 == 0 else frozenset(),
            pin=Pin("acme", "s1", "labelling", "c/blank", NOW + 500) if number % 7 == 0 else None,
            budgets=(BudgetReading("org", "growth", "month", "nanodollars", number),),
            lane=Lane(None, 950_000) if number % 2 else LIVE,
            degraded=number % 11 == 0,
            state_age_ms=number,
        )
        request = request_for(task, org="growth", session="s1", tool_loop=number % 13 == 0, **fields)
        lines.append(seal(receipt_body(request, decide(request, table, snapshot, now), snapshot)))
    return lines


def test_a_receipt_is_the_canonical_form_of_its_own_parse(sealed):
    for line in sealed:
        receipt = open_sealed(line)
        assert line == f'{{"hash":"{json.loads(line)["hash"]}","receipt":{canonical(receipt).decode()}}}'


def test_every_receipt_replays_to_the_byte(sealed, policy):
    store = {policy_fingerprint(policy): (policy, LINES)}
    assert [verdict for line in sealed if not (verdict := replay(line, store)).equal] == []
    replayer = Replayer(store)
    assert [verdict for line in sealed * 2 if not (verdict := replayer.replay(line)).equal] == []


def test_a_changed_receipt_is_caught_by_its_hash(sealed, policy):
    broken = sealed[1].replace('"explored":false', '"explored":true').replace('"org":"growth"', '"org":"other"')
    verdict = replay(broken, {policy_fingerprint(policy): (policy, LINES)})
    assert verdict.difference == "the receipt's bytes do not match its hash"
    assert verdict.decision_id == open_sealed(sealed[1])["circumstances"]["decision_id"]


def test_a_resealed_forgery_is_caught_by_replay_and_the_field_is_named(sealed, policy):
    receipt = open_sealed(sealed[1])
    receipt["decision"]["expected_cost_nanodollars"] += 1
    forged = seal(canonical(receipt).decode())
    store = {policy_fingerprint(policy): (policy, LINES)}
    warm = Replayer(store)
    warm.replay(sealed[1])
    for verdict in (replay(forged, store), warm.replay(forged)):
        assert (verdict.equal, verdict.difference) == (False, "decision.expected_cost_nanodollars")


@pytest.mark.parametrize("lost", ["request", "circumstances", "fingerprints", "candidates", "snapshot", "decision"])
def test_a_resealed_receipt_that_lacks_an_input_is_a_finding_not_a_crash(sealed, policy, lost):
    receipt = open_sealed(sealed[1])
    receipt[lost] = {"decision_id": "0" * 32} if lost == "circumstances" else {}
    store = {policy_fingerprint(policy): (policy, LINES)}
    assert replay(seal(canonical(receipt).decode()), store).equal is False
    assert Replayer(store).replay(seal(canonical(receipt).decode())).equal is False


def test_a_remembered_cell_does_not_vouch_for_a_receipt_with_other_rows(sealed, policy):
    store = {policy_fingerprint(policy): (policy, LINES)}
    repriced = open_sealed(sealed[1])
    for row in (*repriced["candidates"], repriced["baseline"]):
        row["model"]["price_out"] += 1_000_000
    forged = seal(canonical(repriced).decode())
    warm = Replayer(store)
    assert warm.replay(sealed[1]).equal
    assert warm.replay(forged).difference == replay(forged, store).difference is not None


def test_a_missing_policy_is_named(sealed):
    assert "is not at hand" in (replay(sealed[0], {}).difference or "")


def test_an_inline_policy_replays_from_the_receipt_alone(policy, catalog, request_for):
    from dataclasses import replace

    from policy_engine.table import compile_table

    table = compile_table(policy, catalog)
    request = replace(request_for("label"), policy=None, inline=ir_document(policy))
    now = Circumstances("acme", decision_id_for(NOW, b"1"), NOW)
    line = seal(receipt_body(request, decide(request, table, EMPTY, now), EMPTY))
    assert replay(line, {}).equal


@pytest.mark.parametrize("line", ["", "{}", "[1]", '{"hash":"x","receipt":3}', "nonsense"])
def test_a_line_that_is_no_receipt_is_refused(line):
    with pytest.raises(ReceiptError):
        open_sealed(line)
    assert replay(line, {}).equal is False


def test_a_reply_is_json_with_the_reasons_and_the_token(table, request_for):
    now = Circumstances("acme", decision_id_for(NOW, b"1"), NOW)
    decision = decide(request_for("pii-extract"), table, EMPTY, now)
    answer = json.loads(reply(decision, "the.token"))
    assert answer["token"] == "the.token"
    assert answer["arm"] == answer["plan"][0]["arm"] == "a/cheap"
    barred = next(row for row in answer["candidates"] if row["arm"] == "b/plain")
    assert barred["reasons"][0] == {
        "rule": "PII stays in the EU",
        "verdict": "violated",
        "line": 6,
        "operands": {"model.region": "us", "task": "pii-extract"},
    }
