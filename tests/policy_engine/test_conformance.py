"""The corpus of decisions: policy, catalog, statistics and calls in; decisions and receipts out.

POINTSMAN_REGENERATE=1 writes the decisions, and the receipts of the current format, anew: read the difference. Receipts
of formats that were released before are never written again.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from policy_cli.history import snapshot_of_history
from policy_cli.receipts import policies_beside, receipt_files, receipt_lines
from policy_engine.budgets import BudgetReading
from policy_engine.decision import Circumstances, decide, decision_id_for
from policy_engine.lanes import LIVE, Lane
from policy_engine.pins import Pin
from policy_engine.receipt import RECEIPT_FORMAT, receipt_body, seal
from policy_engine.replay import replay
from policy_engine.snapshot import snapshot_document
from policy_engine.table import compile_table
from policy_engine.wire import parse_route
from policy_lang.catalog import Catalog, model_from_document
from policy_lang.compiler import compile_policy
from policy_lang.fingerprint import ir_document

CORPUS = Path(__file__).parents[1] / "conformance"
CALLS = sorted((CORPUS / "decisions").glob("*.calls.json"))
FORMATS = sorted((CORPUS / "receipts").iterdir())
REGENERATE = bool(os.environ.get("POINTSMAN_REGENERATE"))
NOW = 1_790_000_000_000
SEEDS = 3


@pytest.fixture(scope="module")
def corpus_catalog():
    document = json.loads((CORPUS / "catalog.json").read_text())
    return Catalog.build(map(model_from_document, document["models"]), document["aliases"])


@pytest.fixture(scope="module", params=CALLS, ids=lambda path: path.name.partition(".")[0])
def case(request, corpus_catalog):
    """One policy of the corpus with its snapshot, and every call decided under a few seeds."""
    path = request.param
    document = json.loads(path.read_text())
    compilation = compile_policy(
        path.with_name(path.name.replace(".calls.json", ".policy")).read_bytes(), corpus_catalog
    )
    assert compilation.ok, compilation.render()
    table = compile_table(compilation.policy, corpus_catalog, compilation.lines)
    snapshot = snapshot_of_history(document["history"], NOW)
    decided = [
        (call["name"], asked := parse_route(json.dumps(call["request"]).encode()), decide(asked, table, snapshot, now))
        for call in document["calls"]
        for now in (circumstances(call, seed) for seed in range(SEEDS))
    ]
    return path, compilation, snapshot, decided


def circumstances(call, seed):
    told = dict(call["circumstances"])
    return Circumstances(
        tenant="desk",
        decision_id=decision_id_for(NOW, f"{call['name']} {seed}".encode()),
        now_ms=NOW,
        breakers=frozenset(told.pop("breakers", ())),
        pin=Pin("desk", *told.pop("pin")) if "pin" in told else None,
        budgets=tuple(BudgetReading(*reading) for reading in told.pop("budgets", ())),
        lane=Lane(**told.pop("lane")) if "lane" in told else LIVE,
        **told,
    )


def test_a_call_has_its_golden_decision(case):
    path, _, snapshot, decided = case
    found = {
        "snapshot": snapshot_document(snapshot),
        "decisions": [
            {
                "name": name,
                "decision_id": decision.circumstances.decision_id,
                "decision": json.loads(decision.course.decision_json),
                "budget": decision.budget.document(),
                "candidates": json.loads(decision.cell.reply_json),
            }
            for name, _, decision in decided
        ],
    }
    golden = path.with_name(path.name.replace(".calls.json", ".decisions.json"))
    if REGENERATE:
        rows = ",\n  ".join(json.dumps(row, sort_keys=True) for row in found["decisions"])
        golden.write_text(f'{{\n "snapshot": {json.dumps(found["snapshot"])},\n "decisions": [\n  {rows}\n ]\n}}\n')
    assert json.loads(golden.read_text()) == found


def test_the_calls_end_in_every_role_and_state(case):
    _, _, _, decided = case
    seen = {word for _, _, decision in decided for step in decision.plan for word in (step.role, step.floor)}
    seen |= {word for _, _, decision in decided for word in (decision.status, decision.budget.state)}
    roles = {"pick", "explore", "until_proven", "pinned", "cascade", "cleared", "fallback"}
    assert roles | {"none", "unproven", "failed", "served", "no_candidates", "denied", "degrade"} <= seen


def test_the_receipts_of_the_current_format_are_what_is_written_today(case):
    path, compilation, snapshot, decided = case
    folder = CORPUS / "receipts" / f"format-{RECEIPT_FORMAT}"
    lines = "".join(seal(receipt_body(request, decision, snapshot)) + "\n" for _, request, decision in decided)
    stored = {"ir": ir_document(compilation.policy), "lines": compilation.lines}
    receipts = folder / path.name.replace(".calls.json", ".jsonl")
    if REGENERATE:
        receipts.write_text(lines)
        (folder / "policies").mkdir(exist_ok=True)
        (folder / "policies" / f"{compilation.fingerprint}.json").write_text(json.dumps(stored, sort_keys=True) + "\n")
    assert receipts.read_text() == lines


@pytest.mark.parametrize("folder", FORMATS, ids=lambda folder: folder.name)
def test_receipts_of_every_released_format_replay_to_the_byte(folder):
    policies = policies_beside([folder], None)
    verdicts = [replay(line, policies) for file in receipt_files([folder]) for line in receipt_lines(file)]
    assert len(verdicts) >= 60
    assert [verdict for verdict in verdicts if not verdict.equal] == []
