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
from policy_engine.lanes import lane_from_document
from policy_engine.pins import Pin
from policy_engine.receipt import RECEIPT_FORMAT, open_sealed, receipt_body, seal
from policy_engine.replay import replay
from policy_engine.snapshot import snapshot_document
from policy_engine.table import compile_table
from policy_engine.wire import parse_route
from policy_lang.admission import admit
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
    """One policy of the corpus with its snapshot, and every call decided under a few seeds. `overlay`: models beside
    those of the corpus.
    """
    path = request.param
    document = json.loads(path.read_text())
    catalog = corpus_catalog.overlaid([model_from_document(row) for row in document.get("overlay", ())])
    compilation = compile_policy(path.with_name(path.name.replace(".calls.json", ".policy")).read_bytes(), catalog)
    assert compilation.ok, compilation.render()
    table = compile_table(compilation.policy, catalog, compilation.lines)
    snapshot = snapshot_of_history(document["history"], NOW)
    decided = []
    for call in document["calls"]:
        asked = parse_route(json.dumps(call["request"]).encode())
        by = table if asked.inline is None else compile_table(admit(asked.inline), catalog, inline=True)
        decided += [
            (call["name"], asked, decide(asked, by, snapshot, circumstances(call, seed))) for seed in range(SEEDS)
        ]
    return path, compilation, snapshot, decided


def circumstances(call, seed):
    told = dict(call["circumstances"])
    return Circumstances(
        tenant="desk",
        decision_id=decision_id_for(NOW, f"{call['name']} {seed}".encode()),
        now_ms=told.pop("now_ms", NOW),
        breakers=frozenset(told.pop("breakers", ())),
        half_open=frozenset(told.pop("half_open", ())),
        pin=Pin("desk", *told.pop("pin")) if "pin" in told else None,
        budgets=tuple(BudgetReading(*reading) for reading in told.pop("budgets", ())),
        lane=lane_from_document(told.pop("lane", {})),
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


@pytest.fixture(scope="module")
def receipts():
    """Every receipt of the current format in the corpus."""
    folder = CORPUS / "receipts" / f"format-{RECEIPT_FORMAT}"
    return [open_sealed(line) for file in receipt_files([folder]) for line in receipt_lines(file)]


def test_the_calls_end_in_every_role_and_state(receipts):
    decisions = [receipt["decision"] for receipt in receipts]
    seen = {word for made in decisions for step in made.get("plan", ()) for word in (step["role"], step["floor"])}
    seen |= {made["status"] for made in decisions} | {receipt["budget"]["state"] for receipt in receipts}
    roles = {"pick", "explore", "until_proven", "pinned", "cascade", "cleared", "fallback"}
    assert roles | {"none", "unproven", "failed", "served", "no_candidates", "denied", "degrade"} <= seen


# What a receipt has only where there is something to say. Beside these `snapshot.left_out`, which no call brings about.
SELDOM = """
budget.name budget.pace_ppm budget.tiers candidates.model.batch candidates.model.tiers candidates.reasons.unknown
circumstances.half_open circumstances.lane.share_ppm circumstances.lane.trial circumstances.pin decision.batch
decision.cascade decision.on decision.parameters decision.pin decision.timeout_ms mode probing_ppm request.attributes
request.candidates request.idempotency_key request.inline request.org request.product request.session request.team
request.tool_loop warnings
"""


def test_every_part_that_a_receipt_may_have_is_in_one(receipts):
    assert sorted(set(SELDOM.split()) - {path for receipt in receipts for path in paths(receipt)}) == []


def paths(value, path=""):
    """Dotted names of all there is in a JSON value, places in arrays left out."""
    yield path
    for name, item in value.items() if isinstance(value, dict) else ():
        yield from paths(item, f"{path}.{name}" if path else name)
    for item in value if isinstance(value, list) else ():
        yield from paths(item, path)


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
