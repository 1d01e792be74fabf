"""What a table remembers of its cells: over any run of snapshots it decides as a table that remembers nothing."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from policy_engine.decision import Circumstances, decide, decision_id_for
from policy_engine.receipt import receipt_body, reply
from policy_engine.snapshot import EMPTY, snapshot_document, snapshot_from_document
from policy_engine.table import compile_table
from policy_engine.token import SigningKeys, mint
from policy_lang.ir import And, Compare, Gate

NOW = 1_790_000_000_000
KEYS = SigningKeys("k1", {"k1": b"k" * 32})


def circumstances(number: int = 0, **fields) -> Circumstances:
    return Circumstances("acme", decision_id_for(NOW, str(number).encode()), NOW, **fields)


def later(snapshot, **changes):
    """The same snapshot a moment later, with parts of its document changed."""
    return snapshot_from_document({**snapshot_document(snapshot), "made_ms": snapshot.made_ms + 1, **changes})


@pytest.fixture
def taught(learned):
    return learned(("label", "b/plain", 400, 4), ("label", "a/cheap", 40, 6), ("other", "a/cheap", 30, 2))


@pytest.fixture
def world(policy, catalog, request_for, learned, taught):
    more = learned(("label", "b/plain", 400, 4), ("label", "a/cheap", 40, 9), ("other", "a/cheap", 30, 2))
    moved = replace(taught, generations={"b/plain": 3}, fingerprint="f" * 64)
    return policy, catalog, request_for, (EMPTY, taught, later(taught), more, moved)


def test_a_cell_outlives_a_snapshot_that_knows_the_same(table, request_for, taught):
    first = decide(request_for("label"), table, taught, circumstances())
    second = decide(request_for("label"), table, later(taught), circumstances())
    assert second.cell is first.cell
    assert second.snapshot_fingerprint != first.snapshot_fingerprint


def test_a_change_elsewhere_leaves_it_alone(table, request_for, taught):
    cells = snapshot_document(taught)["cells"]
    (cluster,) = (c for c in cells if c != decide(request_for("label"), table, taught, circumstances()).cluster)
    moved = {**cells, cluster: {arm: [row[0] + 1, *row[1:]] for arm, row in cells[cluster].items()}}
    first = decide(request_for("label"), table, taught, circumstances())
    assert decide(request_for("label"), table, later(taught, cells=moved), circumstances()).cell is first.cell


@pytest.mark.parametrize("word", ["org", "team", "product", "attribute.plan"])
def test_calls_share_a_cell_unless_a_gate_or_route_reads_what_they_differ_in(policy, catalog, request_for, word):
    first, second = ({"attributes": (("plan", x),)} if "." in word else {word: x} for x in ("free", "pro"))
    requests = [replace(request_for("label"), **fields) for fields in (first, second)]
    gate = Gate("not free", "forbid", And((Compare(word, "eq", "free"), Compare("model.region", "eq", "eu"))))
    free = replace(policy.routes[0], name="free", when=Compare(word, "eq", "free"))
    for changes, shared in (({}, True), ({"gates": (gate,)}, False), ({"routes": (free, *policy.routes)}, False)):
        table = compile_table(replace(policy, **changes), catalog)
        cells = [decide(request, table, EMPTY, circumstances()).cell for request in requests]
        told = [(cell.survey.route.name, cell.reply_json) for cell in cells]
        assert (cells[0] is cells[1]) == (told[0] == told[1]) == shared


@pytest.mark.parametrize("what", ["estimate", "outcomes", "generations"])
def test_whatever_it_used_replaces_it(table, request_for, taught, what):
    first = decide(request_for("label"), table, taught, circumstances())
    cells = snapshot_document(taught)["cells"]
    row = cells[first.cluster]["b/plain"]
    changes = {
        "estimate": {"cells": {**cells, first.cluster: {**cells[first.cluster], "b/plain": [row[0] + 1, *row[1:]]}}},
        "outcomes": {"outcomes": {**taught.outcomes, "b/plain": 405}},
        "generations": {"generations": {"b/plain": 1}},
    }[what]
    after = decide(request_for("label"), table, later(taught, **changes), circumstances())
    assert after.cell is not first.cell


# The world is values: nothing of one example is left for the next.
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.tuples(
            st.integers(0, 4),
            st.sampled_from(("label", "other")),
            st.booleans(),
            st.frozensets(st.sampled_from(("a/cheap", "b/plain"))),
        ),
        min_size=2,
        max_size=12,
    )
)
def test_receipts_replies_and_tokens_are_those_of_a_table_without_memory(world, calls):
    policy, catalog, request_for, snapshots = world
    table = compile_table(policy, catalog)
    for number, (turn, task, degraded, breakers) in enumerate(calls):
        now = circumstances(number, degraded=degraded, breakers=breakers)
        told = []
        for asked in (table, compile_table(policy, catalog)):
            decision = decide(request_for(task), asked, snapshots[turn], now)
            token = mint(decision.claims(), KEYS)
            told.append((receipt_body(request_for(task), decision, snapshots[turn]), reply(decision, token)))
        assert told[0] == told[1]
