"""The identities on books that balance, and on books with one thing wrong each."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from policy_engine.accounting import Witness, balance
from policy_engine.books import Books
from policy_engine.decision import Circumstances, decide, decision_id_for
from policy_engine.limits import catch_all
from policy_engine.receipt import receipt_body, seal
from policy_engine.settlement import Telemetry, outcome_record, settle
from policy_engine.snapshot import EMPTY
from policy_engine.statistics import CellRow, merge_sums
from policy_engine.table import compile_table
from policy_engine.token import SigningKeys, mint
from policy_engine.wire import TelemetryRecord
from policy_lang.catalog import Prices

NOW = 1_790_000_000_000
KEYS = SigningKeys("k1", {"k1": b"secret"})
COUNT = 6
LINES = {"PII stays in the EU": 6, "route:labelling": 9, "route:general": 16}


class Kept:
    """Decisions and what became of them, as lines; tests alter them before they are entered."""

    def __init__(self, table, request, *, crowded=False) -> None:
        self.crowded = crowded
        self.policies = {table.policy_fingerprint: (table.policy, LINES)}
        self.receipts, self.outcomes, self.cells, self.markers = [], [], {}, {}
        self.decided, self.accepted = [], []
        for number in range(COUNT):
            decision_id = decision_id_for(NOW + number, b"%d" % number)
            decision = decide(request, table, EMPTY, Circumstances("acme", decision_id, NOW + number))
            self.receipts.append(seal(receipt_body(request, decision, EMPTY)))
            self.decided.append(decision_id)
            self._reported(decision, number)

    def _reported(self, decision, number):
        told = {"input_tokens": 300 + number, "output_tokens": 20, "latency_ms": 700}
        claims = decision.claims()
        if self.crowded:
            claims = replace(claims, cluster=catch_all(claims.cluster, claims.task))
        record = TelemetryRecord(mint(claims, KEYS), 0, decision.arm, "ok", **told, quality_ppm=500_000)
        settled = settle(Telemetry("acme", f"r:{number}", NOW + 1_000, record), KEYS)
        self.outcomes.append(outcome_record(settled, {"outcome": "applied", "quality": "applied"}))
        self.accepted.append(f"r:{number}")
        for effect in settled.effects:
            self.cells.setdefault(effect.cell, []).append(effect.sums)
            self.markers[effect.marker] = effect.record_id

    def books(self, since_ms=0):
        books = Books("acme", self.policies, since_ms)
        for line in self.receipts:
            books.receipt(line, "filed")
        for outcome in self.outcomes:
            books.outcome(json.dumps(outcome), "filed")
        books.cells = [
            CellRow(cell.cluster, cell.task, cell.arm, cell.generation, cell.epoch, merge_sums(sums))
            for cell, sums in self.cells.items()
        ]
        books.markers = self.markers
        return books

    def findings(self, witness=None):
        """Identity and code of each finding, with its subject."""
        witness = witness or Witness(self.decided, self.accepted, (), ())
        found = [finding for identity in balance(self.books(), witness) for finding in identity.findings]
        return {(each.identity, each.code, each.subject) for each in found}


@pytest.fixture
def kept(table, request_for):
    return Kept(table, request_for("label"))


def test_whole_books_balance_and_say_both_sides(kept):
    identities = balance(kept.books(), Witness(kept.decided, kept.accepted, (), ()))
    assert [identity.name for identity in identities] == ["I1", "I2", "I3", "I4", "I5", "I6"]
    assert all(identity.document()["balanced"] for identity in identities)
    cost = sum(outcome["cost_nanodollars"] for outcome in kept.outcomes)
    assert [(identity.left, identity.right) for identity in identities] == [
        ({"decided": COUNT}, {"filed": COUNT}),
        ({"accepted": COUNT}, {"applied": COUNT, "duplicate": 0, "late": 0, "rejected": 0}),
        ({"pulls": identities[2].left["pulls"]}, {"decisions with outcomes": COUNT}),
        ({"cells": len(kept.cells), "outcomes": COUNT}, {"cells": len(kept.cells), "outcomes": COUNT}),
        ({"rolled up": cost}, {"recorded": cost, "at the receipts' prices": cost}),
        ({"receipts": COUNT}, {"byte-equal": COUNT}),
    ]
    assert identities[2].left["pulls"] >= COUNT


def test_books_balance_where_a_shape_too_many_was_booked_with_its_task(table, request_for):
    kept = Kept(table, request_for("label"), crowded=True)
    assert kept.findings() == set()
    kept.outcomes[0]["cluster"] = "0" * len(kept.outcomes[0]["cluster"])
    assert ("I3", "outcome_without_pull", "r:0") in kept.findings()


def test_what_lies_twice_counts_once_where_it_got_furthest(kept):
    books = kept.books()
    for place in ("queued", "dead", "spooled", "carried", "filed"):
        books.receipt(kept.receipts[0], place)
        books.outcome(json.dumps(kept.outcomes[0]), "queued")
    books.telemetry(["r:0", "r:new"], "queued")
    first, second, *_ = balance(books, Witness(kept.decided, [*kept.accepted, "r:new"], (), ()))
    assert first.right == {"filed": COUNT}
    assert second.right["queued"] == 1
    assert (first.findings, second.findings) == ((), ())


def test_a_missing_receipt_is_named_by_whoever_saw_the_decision(kept):
    kept.receipts.pop()
    assert kept.findings() == {("I1", "receipt_missing", kept.decided[-1])}
    # Nobody was asked, and telemetry speaks of it all the same.
    assert kept.findings(Witness()) == {("I1", "receipt_missing", kept.decided[-1])}


def test_a_receipt_nobody_asked_for_is_a_finding_only_where_all_that_was_asked_is_known(kept):
    kept.outcomes.clear()
    kept.cells.clear()
    kept.markers.clear()
    strange = kept.decided.pop()
    assert kept.findings(Witness(kept.decided, (), (), ())) == {("I1", "receipt_strange", strange)}
    assert kept.findings(Witness(kept.decided, (), {strange}, ())) == set()
    assert kept.findings(Witness(kept.decided, ())) == set()


def test_a_lost_outcome_is_named_and_missed_in_the_sums(kept):
    kept.outcomes.pop()
    found = kept.findings()
    assert ("I2", "outcome_missing", kept.accepted[-1]) in found
    assert {(identity, code) for identity, code, _ in found} == {
        ("I2", "outcome_missing"),
        ("I4", "cell_differs"),
        ("I5", "cost_differs"),
    }


@pytest.mark.parametrize(
    ("change", "identity", "code"),
    [
        ({"state": "duplicate"}, "I2", "outcome_twice"),
        ({"latency_ms": 1}, "I2", "outcome_twice"),
    ],
)
def test_one_record_told_in_two_ways_is_a_finding(kept, change, identity, code):
    kept.outcomes.append({**kept.outcomes[0], **change})
    assert (identity, code, "r:0") in kept.findings()


def test_an_arm_that_was_never_planned_has_no_pull(kept):
    kept.outcomes[0]["arm"] = "z/unknown"
    assert ("I3", "outcome_without_pull", "r:0") in kept.findings()


@pytest.mark.parametrize(("name", "broken"), [("c", {"I4"}), ("w", {"I4"}), ("q", {"I4"}), ("k", {"I4", "I5"})])
def test_every_sum_of_a_cell_is_held_to_the_last_digit(kept, name, broken):
    next(iter(kept.cells.values())).append({name: 1})
    assert {identity for identity, _, _ in kept.findings()} == broken


def test_a_cost_is_held_to_the_prices_of_its_receipt(kept):
    kept.outcomes[0]["cost_nanodollars"] += 1
    next(iter(kept.cells.values())).append({"k": 1})
    assert kept.findings() == {("I5", "cost_differs", "r:0")}


def test_an_altered_receipt_is_not_reproduced(kept):
    kept.receipts[0] = kept.receipts[0].replace('"floor":"unproven"', '"floor":"cleared"', 1)
    found = kept.findings()
    assert ("I6", "receipt_unequal", kept.decided[0]) in found
    assert ("I1", "receipt_missing", kept.decided[0]) in found


def test_a_policy_that_is_not_at_hand_is_said_so(kept):
    kept.policies = {}
    assert {code for _, code, _ in kept.findings()} == {"receipt_unequal"}


def test_without_a_word_on_what_was_accepted_that_side_is_unchecked(kept):
    second = balance(kept.books(), Witness(kept.decided))[1]
    assert second.document()["unchecked"] == "nobody says what was accepted"
    assert "balanced" not in second.document()


def test_recent_books_leave_out_what_is_older_and_the_cells(kept):
    identities = balance(kept.books(since_ms=NOW + 3), Witness(kept.decided, kept.accepted))
    assert identities[0].left == {"decided": COUNT - 3}
    assert identities[3].unchecked
    assert not any(identity.findings for identity in identities)


def test_books_balance_where_batch_prices_and_those_of_long_prompts_count(policy, catalog, request_for):
    steps = Prices(7_000, 9_000), Prices(11_000, 13_000, above=302)
    rows = [replace(model, batch=steps) for model in catalog.models.values()]
    routes = tuple(replace(route, batch="allowed") for route in policy.routes)
    table = compile_table(replace(policy, routes=routes), catalog.overlaid(rows), LINES)
    told = Kept(table, request_for("label"))
    costs = [each["cost_nanodollars"] for each in told.outcomes]
    assert costs[:4] == [300 * 7 + 180, 301 * 7 + 180, 302 * 7 + 180, 303 * 11 + 260]
    assert told.findings() == set()


def test_lines_that_cannot_be_read_are_findings_but_not_among_dead_letters(kept):
    books = kept.books()
    for place in ("dead", "filed"):
        books.receipt("}", place, "a file:1")
        books.outcome("[]", place, "a file:2")
    found = {(each.code, each.subject) for each in books.unlike}
    assert found == {("receipt_unequal", "a file:1"), ("outcome_unreadable", "a file:2")}


def test_in_shadow_the_old_path_may_have_used_any_candidate(kept, policy, catalog, request_for):
    shadow = compile_table(replace(policy, mode="shadow"), catalog, LINES)
    told = Kept(shadow, request_for("label"))
    other = next(
        row["arm"]
        for row in json.loads(told.receipts[0])["receipt"]["candidates"]
        if row["arm"] not in {step["arm"] for step in json.loads(told.receipts[0])["receipt"]["decision"]["plan"]}
    )
    told.outcomes[0]["arm"] = other
    assert not [code for _, code, _ in told.findings() if code == "outcome_without_pull"]
    kept.outcomes[0]["arm"] = other
    assert [code for _, code, _ in kept.findings() if code == "outcome_without_pull"]
