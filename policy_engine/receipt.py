"""The receipt: everything a decision depended on and what it came to, as canonical JSON that replays to the byte.

The large parts (candidates, result) are rendered once per cell; a receipt is their concatenation in key order, and a
test holds that it equals the canonical form of its own parse.
"""

from __future__ import annotations

import json
from hashlib import sha256
from typing import Any

from policy_engine.accounts import exploration_name
from policy_engine.decision import ENGINE, Circumstances, Decision
from policy_engine.pins import Pin
from policy_engine.snapshot import Snapshot
from policy_engine.token import SigningKeys, TokenError, sign, signed_payload
from policy_engine.wire import RouteRequest
from policy_lang.canonical import canonical, canonical_text, quoted
from policy_lang.ir import PPM

__all__ = [
    "RECEIPT_FORMAT",
    "ReceiptError",
    "open_sealed",
    "receipt_body",
    "reply",
    "seal",
    "sign_receipt",
    "signed_receipt",
]

RECEIPT_FORMAT = 1
_CARRIED = "receipt"


class ReceiptError(ValueError):
    """A stored line is not a receipt, is in a format of another version, or its bytes do not match its hash.

    `decision_id` where it can still be read.
    """

    def __init__(self, message: str, decision_id: str | None = None) -> None:
        super().__init__(message)
        self.decision_id = decision_id


def receipt_body(request: RouteRequest, decision: Decision, snapshot: Snapshot) -> str:
    """Canonical JSON of the receipt."""
    return (
        f'{{"baseline":{decision.cell.baseline_json}'
        f',"budget":{canonical_text(decision.budget.document())}'
        f',"candidates":{decision.cell.candidates_json}'
        f',"circumstances":{_circumstances(decision.circumstances)}'
        f',"decision":{decision.course.decision_json}'
        f',"engine":"{ENGINE}"'
        f',"fingerprints":{_fingerprints(decision)}'
        f',"format":{RECEIPT_FORMAT}{_mode(decision)}{_probing(decision)}'
        f',"request":{canonical_text(request.document())}'
        f',"snapshot":{_learned(snapshot, decision)}'
        f',"tenant":{quoted(decision.circumstances.tenant)}{_warnings(decision)}}}'
    )


def seal(body: str) -> str:
    """One line of a receipts file: the body and its SHA-256."""
    return f'{{"hash":"{sha256(body.encode()).hexdigest()}","receipt":{body}}}'


def open_sealed(line: str) -> dict[str, Any]:
    """The receipt of a sealed line; ReceiptError when the line is not canonical JSON or its hash does not match."""
    try:
        document = json.loads(line)
        receipt, stated = document["receipt"], document["hash"]
        decision_id, form = receipt["circumstances"]["decision_id"], receipt["format"]
        computed = sha256(canonical(receipt)).hexdigest()
    except (ValueError, KeyError, TypeError, RecursionError):
        raise ReceiptError("the line is not a sealed receipt") from None
    if not isinstance(decision_id, str):
        raise ReceiptError("the line is not a sealed receipt")
    if form != RECEIPT_FORMAT:
        raise ReceiptError(f"the receipt is in format {form}; this version reads {RECEIPT_FORMAT}", decision_id)
    if computed != stated:
        raise ReceiptError("the receipt's bytes do not match its hash", decision_id)
    return receipt  # type: ignore[no-any-return]  # it has string keys, so it is an object


def sign_receipt(line: str, keys: SigningKeys) -> str:
    """A sealed line for its caller to carry: only what this service signed is taken back."""
    return sign(_CARRIED, line.encode(), keys)


def signed_receipt(carried: str, keys: SigningKeys) -> str:
    """The sealed line that `sign_receipt` signed; ReceiptError for any other text."""
    try:
        return signed_payload(_CARRIED, carried, keys).decode()
    except TokenError as problem:
        raise ReceiptError(f"the receipt was not signed here: {problem.code}") from None


def reply(decision: Decision, token: str, pin: str | None = None) -> str:
    """The JSON text of a route reply; `pin` is the signed pin the session carries from here."""
    now = decision.circumstances
    head = decision.course.decision_json[:-1]
    if pin is not None:
        head += f',"session_pin":"{pin}"'
    if any(parameter.rule == "seed" for parameter in decision.cell.survey.route.parameters):
        head += f',"seed":{int(now.decision_id[16:24], 16) >> 1}'
    return (
        f'{head},"budget":{canonical_text(decision.budget.document())}'
        f',"candidates":{decision.cell.reply_json}'
        f',"decision_id":"{now.decision_id}"'
        f',"degraded":{"true" if now.degraded else "false"}'
        f',"fingerprints":{_fingerprints(decision)}'
        f',"lane":{canonical_text(now.lane.document())}'
        f',"mode":"{decision.mode}"{_probing(decision)}'
        f',"state_age_ms":{now.state_age_ms}'
        f',"token":"{token}"{_warnings(decision)}}}'
    )


def _circumstances(now: Circumstances) -> str:
    breakers = canonical_text(sorted(now.breakers)) if now.breakers else "[]"
    budgets = canonical_text([reading.row() for reading in now.budgets]) if now.budgets else "[]"
    half_open = f',"half_open":{canonical_text(sorted(now.half_open))}' if now.half_open else ""
    pin = f',"pin":{canonical_text(_pin_row(now.pin))}' if now.pin is not None else ""
    return (
        f'{{"breakers":{breakers},"budgets":{budgets},"decision_id":"{now.decision_id}"'
        f',"degraded":{"true" if now.degraded else "false"}{half_open},"lane":{canonical_text(now.lane.document())}'
        f',"now_ms":{now.now_ms}{pin},"state_age_ms":{now.state_age_ms}}}'
    )


def _pin_row(pin: Pin) -> list[str | int]:
    return [pin.session, pin.route, pin.arm, pin.until_ms]


def _learned(snapshot: Snapshot, decision: Decision) -> str:
    left_out = f',"left_out":{canonical_text(snapshot.left_out)}' if snapshot.left_out else ""
    spent = snapshot.spent_nanodollars.get(exploration_name(decision.policy, decision.route), 0)
    return f'{{"day":{snapshot.day}{left_out},"made_ms":{snapshot.made_ms},"spent_nanodollars":{spent}}}'


def _fingerprints(decision: Decision) -> str:
    return (
        f'{{"catalog":"{decision.catalog_fingerprint}","engine":"{ENGINE}"'
        f',"policy":"{decision.policy_fingerprint}","snapshot":"{decision.snapshot_fingerprint}"}}'
    )


def _mode(decision: Decision) -> str:
    """Said only where what was decided is not what served."""
    return ',"mode":"shadow"' if decision.mode == "shadow" else ""


def _probing(decision: Decision) -> str:
    """How likely it was that these half-open arms, and no others, were let through; beside lane and exploration the
    third factor of the plan's propensity.
    """
    return f',"probing_ppm":{decision.probing_ppm}' if decision.probing_ppm != PPM else ""


def _warnings(decision: Decision) -> str:
    return f',"warnings":{canonical_text(decision.warnings)}' if decision.warnings else ""
