"""What the doors answer with, as JSON Schemas. Fields may be added to a reply; a reader ignores the unknown."""

from __future__ import annotations

from typing import Any, get_args

from policy_engine.budgets import BudgetState
from policy_engine.decision import ENGINE
from policy_engine.floors import FloorState
from policy_engine.wire import MAX_RECEIPTS, MAX_TELEMETRY_RECORDS
from policy_lang.ir import PPM
from policy_lang.vocabulary import OUTCOMES

__all__ = ["FATES", "REPLIES", "REPLIES_TO_ERRORS", "ROLES", "reference"]

Schema = dict[str, Any]

#: Why an arm stands in a plan: `policy_engine.explanation.Step`.
ROLES = ("pick", "explore", "until_proven", "pinned", "cascade", "direct", "cleared", "fallback")
FATES = ("barred", "breaker_open", "filtered", "too_dear", "reserve", "eligible")

_TEXT: Schema = {"type": "string"}
_FLAG: Schema = {"type": "boolean"}
_WHOLE: Schema = {"type": "integer", "minimum": 0}
_MONEY: Schema = {**_WHOLE, "description": "nano-dollars"}
_CHANGE: Schema = {"type": "integer", "description": "nano-dollars, negative for a loss"}
_SHARE: Schema = {"type": "integer", "minimum": 0, "maximum": PPM, "description": "parts per million"}
_HASH: Schema = {"type": "string", "pattern": "^[0-9a-f]{64}$"}
_CARRIED: Schema = {"type": "string", "description": "hand it in at /v1/receipts: nothing else could keep it"}
_DECISION: Schema = {"type": "string", "pattern": "^[0-9a-f]{32}$"}


def reference(name: str) -> Schema:
    """A schema that stands under `components`."""
    return {"$ref": f"#/components/schemas/{name}"}


def _object(required: dict[str, Schema], optional: dict[str, Schema] | None = None) -> Schema:
    return {"type": "object", "required": sorted(required), "properties": {**required, **(optional or {})}}


def _words(words: tuple[str, ...]) -> Schema:
    return {"type": "string", "enum": list(words)}


def _many(item: Schema) -> Schema:
    return {"type": "array", "items": item}


_FLOOR = _words(get_args(FloorState))
_COSTED = {"arm": _TEXT, "cost_nanodollars": _MONEY}

REPLIES: dict[str, Schema] = {
    "PlanStep": _object({"arm": _TEXT, "provider": _TEXT, "model": _TEXT, "role": _words(ROLES), "floor": _FLOOR}),
    "Reason": _object(
        {"rule": _TEXT, "verdict": _words(("violated", "unknown", "absent")), "operands": {"type": "object"}},
        {"line": _WHOLE, "unknown": _many(_TEXT)},
    ),
    "CandidateFate": _object(
        {"arm": _TEXT, "fate": _words(FATES), "odds_ppm": _SHARE, "reasons": _many(reference("Reason"))},
        {"confidence_ppm": _SHARE, "cost_nanodollars": _MONEY, "floor": _FLOOR},
    ),
    "BudgetVerdict": _object(
        {"state": _words(get_args(BudgetState))},
        {
            "scope": _TEXT,
            "name": _TEXT,
            "limit": _WHOLE,
            "unit": _TEXT,
            "period": _TEXT,
            "tiers": {"type": "object", "additionalProperties": _WHOLE},
            "pace_ppm": _WHOLE,
        },
    ),
    "Fingerprints": _object({"policy": _HASH, "catalog": _HASH, "snapshot": _HASH, "engine": {"const": ENGINE}}),
    "AfterOutcome": _object(
        {"then": _TEXT}, {"retries": _WHOLE, "backoff_ms": _WHOLE, "disable_ms": _WHOLE, "open_breaker": _FLAG}
    ),
    "CascadeWeighed": _object(
        {
            "steps": _many(_TEXT),
            "escalate": _many(reference("Check")),
            "pays": _FLAG,
            "break_even_ppm": _WHOLE,
            "cost_nanodollars": _MONEY,
            "direct_nanodollars": _MONEY,
        }
    ),
    "PinWeighed": _object({"kept": _FLAG, "gain_nanodollars": _CHANGE, "switch_cost_nanodollars": _MONEY}),
    "RouteReply": _object(
        {
            "decision_id": _DECISION,
            "status": {"const": "served"},
            "arm": _TEXT,
            "model": _TEXT,
            "provider": _TEXT,
            "route": _TEXT,
            "tier": {"type": ["string", "null"]},
            "cluster": {"type": "string", "pattern": "^[0-9a-f]{20}$"},
            "floor": _FLOOR,
            "confidence_ppm": _SHARE,
            "explored": _FLAG,
            "propensity_ppm": _SHARE,
            "stream": _FLAG,
            "plan": {**_many(reference("PlanStep")), "minItems": 1},
            "expected_cost_nanodollars": _MONEY,
            "baseline": _object(_COSTED),
            "budget": reference("BudgetVerdict"),
            "candidates": _many(reference("CandidateFate")),
            "fingerprints": reference("Fingerprints"),
            "lane": {
                "type": "object",
                "properties": {
                    "policy": {"type": ["string", "null"]},
                    "propensity_ppm": _SHARE,
                    "share_ppm": _SHARE,
                    "trial": _many(_TEXT),
                },
            },
            "mode": _words(("live", "shadow")),
            "degraded": _FLAG,
            "state_age_ms": _WHOLE,
            "token": {"type": "string", "description": "goes back with telemetry, untouched"},
        },
        {
            "route_line": _WHOLE,
            "parameters": _many(reference("Parameter")),
            "on": {
                "type": "object",
                "propertyNames": {"enum": sorted(OUTCOMES)},
                "additionalProperties": reference("AfterOutcome"),
            },
            "timeout_ms": _WHOLE,
            "batch": {
                "const": True,
                "description": "batch or flex prices were counted: call the models that have such a service through it",
            },
            "probing_ppm": {**_SHARE, "description": "chance of the draws over half-open arms, part of the propensity"},
            "cascade": reference("CascadeWeighed"),
            "pin": reference("PinWeighed"),
            "session_pin": {"type": "string", "description": "send it with the session's next request"},
            "seed": _WHOLE,
            "receipt": _CARRIED,
            "warnings": _many(
                _words(("clock_before_snapshot", "statistics_left_out", "baseline_absent", "arms_left_out"))
            ),
        },
    ),
    "TelemetryReply": _object({"accepted": {"type": "integer", "minimum": 1, "maximum": MAX_TELEMETRY_RECORDS}}),
    "ReceiptsReply": _object({"accepted": {"type": "integer", "minimum": 1, "maximum": MAX_RECEIPTS}}),
    "Alias": {
        "type": "array",
        "description": "fingerprints and their shares in parts per million, in the order the draw walks them",
        "items": {"type": "array", "prefixItems": [_HASH, _SHARE], "items": False, "minItems": 2},
    },
    "AliasReply": _object(
        {
            "name": _TEXT,
            "alias": reference("Alias"),
            "at_ms": _WHOLE,
            "history": _many(_object({"alias": reference("Alias"), "at_ms": _WHOLE})),
            "version": _WHOLE,
        }
    ),
    "Diagnostic": _object(
        {
            "file": _TEXT,
            "code": {"type": "string", "pattern": "^P[0-9]{3}$"},
            "severity": _words(("error", "warning")),
            "span": _object({"start": _WHOLE, "end": _WHOLE, "line": _WHOLE, "column": _WHOLE}),
            "message": _TEXT,
            "help": {"type": ["string", "null"]},
            "suggestion": {"type": ["string", "null"]},
        }
    ),
    "PublishReply": _object(
        {
            "name": _TEXT,
            "fingerprint": _HASH,
            "source_hash": _HASH,
            "published": _FLAG,
            "version": _WHOLE,
            "warnings": _many(reference("Diagnostic")),
        }
    ),
    "LambdaMessage": {
        **_object({"Message": _TEXT}),
        "description": "Lambda's own answer, given before a function is asked",
    },
}

#: Error code -> what its error object holds besides code and message.
REPLIES_TO_ERRORS: dict[str, dict[str, Schema]] = {
    code: {
        "decision_id": _DECISION,
        "route": _TEXT,
        "budget": reference("BudgetVerdict"),
        "candidates": _many(reference("CandidateFate")),
        "receipt": _CARRIED,
    }
    for code in ("no_candidates", "budget_denied")
} | {
    "invalid_policy": {"diagnostics": _many(reference("Diagnostic"))},
    "assert_broken": {
        "asserts": _many(
            _object({"fingerprint": _HASH, "line": _WHOLE, "code": _TEXT, "message": _TEXT, "help": _TEXT})
        )
    },
    "too_many_requests": {"retry_after_s": _WHOLE},
    "inline_used_up": {"retry_after_s": _WHOLE},
}
