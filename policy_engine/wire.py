"""What crosses the network: route requests, telemetry records, and the machine-readable errors that answer bad ones.

RequestError (one exception, `code` and HTTP `status`) is the only way a request is refused here.
Everything is checked once, here; inside, the types are trusted. Numbers are integers except `quality`, a decimal 0..1.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from policy_lang.canonical import StrictJsonError, parse_strict
from policy_lang.envelope import Envelope, EnvelopeError, envelope_from_wire, envelope_to_wire
from policy_lang.ir import MAX_IR_BYTES, PPM
from policy_lang.vocabulary import OUTCOMES, Outcome

__all__ = [
    "MAX_RECEIPTS",
    "MAX_RECEIPTS_BYTES",
    "MAX_ROUTE_BYTES",
    "MAX_TELEMETRY_BYTES",
    "MAX_TELEMETRY_RECORDS",
    "RequestError",
    "RouteRequest",
    "TelemetryRecord",
    "parse_receipts",
    "parse_route",
    "parse_telemetry",
    "record_from_wire",
    "record_to_wire",
]

MAX_ROUTE_BYTES = MAX_IR_BYTES + 8 * 1024
MAX_RECEIPTS_BYTES = 1024 * 1024
MAX_RECEIPTS = 50
MAX_TELEMETRY_BYTES = 256 * 1024
MAX_TELEMETRY_RECORDS = 500
MAX_CANDIDATES = 64
_MAX_COUNT = 100_000_000  # tokens, milliseconds: far above any call, far below what would overflow a decayed sum

_SLUG = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,47}")
_POLICY = re.compile(r"[a-z0-9][a-z0-9_-]*(/[a-z0-9][a-z0-9_-]*)*")
_ARM = re.compile(r"[a-z0-9][a-z0-9_-]*/[A-Za-z0-9][A-Za-z0-9._:/@-]*")
_KEY = re.compile(r"[A-Za-z0-9_.:-]{1,64}")
_TOKEN = re.compile(r"[A-Za-z0-9._-]{16,16384}")
_PIN = re.compile(r"pin\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
_RECEIPT = re.compile(r"receipt\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
_NAME = re.compile(r"[a-z][a-z0-9_-]{0,47}")
_FINISH = ("stop", "length", "tool_calls", "content_filter", "error", "other")


class RequestError(ValueError):
    """A request that is refused; `code` is stable, the message says what would be accepted."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


@dataclass(frozen=True, slots=True)
class RouteRequest:
    """One admitted route request. Exactly one of `policy` (a published name) and `inline` (an IR document) is set.

    `attributes` in name order. `pin` is the token a session carries. `tool_loop`: the call continues a chain of tool
    calls. `carry_receipt`: where no receipt can be kept, the caller takes it along and submits it later.
    """

    envelope: Envelope
    policy: str | None = None
    inline: Mapping[str, Any] | None = None
    org: str | None = None
    team: str | None = None
    product: str | None = None
    candidates: tuple[str, ...] | None = None
    idempotency_key: str | None = None
    attributes: tuple[tuple[str, str], ...] = ()
    session: str | None = None
    pin: str | None = None
    tool_loop: bool = False
    carry_receipt: bool = False

    def document(self) -> dict[str, Any]:
        """The request as a receipt keeps it: JSON values, absent fields left out, as is what decides nothing."""
        found: dict[str, Any] = {"envelope": envelope_to_wire(self.envelope)}
        for name in ("policy", "inline", "org", "team", "product", "idempotency_key", "session"):
            if (value := getattr(self, name)) is not None:
                found[name] = value
        if self.candidates is not None:
            found["candidates"] = list(self.candidates)
        if self.attributes:
            found["attributes"] = dict(self.attributes)
        if self.tool_loop:
            found["tool_loop"] = True
        return found


@dataclass(frozen=True, slots=True)
class TelemetryRecord:
    """What one hop of a decision's plan came to. Tokens, milliseconds; `quality_ppm` in parts per million.

    `outcome` or `quality_ppm` is present; a quality that arrives later is a record of its own (same token and hop).
    """

    token: str
    hop: int
    arm: str
    outcome: Outcome | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    cached_read_tokens: int | None = None
    cached_write_tokens: int | None = None
    reasoning_tokens: int | None = None
    latency_ms: int | None = None
    ttft_ms: int | None = None
    quality_ppm: int | None = None
    quality_slugs: tuple[str, ...] = ()
    finish_reason: str | None = None
    empty_content: bool = False


def parse_route(body: bytes) -> RouteRequest:
    """Admit the body of `POST /v1/route`.

    An inline IR is only checked for being an object; `admission` does the rest.
    """
    document = _object(_parsed(body, MAX_ROUTE_BYTES), "the body")
    _known(document, _ROUTE_FIELDS, "the request")
    if ("policy" in document) == ("ir" in document):
        raise RequestError(400, "missing_field", "exactly one of `policy` and `ir` must be given")
    if "envelope" not in document:
        raise RequestError(400, "missing_field", "`envelope` must be given")
    try:
        envelope = envelope_from_wire(document["envelope"])
    except EnvelopeError as problem:
        raise RequestError(400, "invalid_envelope", str(problem)) from None
    return RouteRequest(
        envelope=envelope,
        policy=_matching(document, "policy", _POLICY, "a policy name such as `acme/support`", 96),
        inline=_object(document["ir"], "`ir`") if "ir" in document else None,
        **{name: _matching(document, name, _SLUG, "a slug of letters, digits, `-`, `_`") for name in _SLUGS},
        candidates=_candidates(document),
        idempotency_key=_matching(document, "idempotency_key", _KEY, "1 to 64 letters, digits, `_.:-`", 64),
        attributes=_attributes(document.get("attributes", {})),
        session=_matching(document, "session", _KEY, "1 to 64 letters, digits, `_.:-`", 64),
        pin=_matching(document, "pin", _PIN, "the pin of an earlier reply", 1024),
        tool_loop=_boolean(document, "tool_loop"),
        carry_receipt=_boolean(document, "carry_receipt"),
    )


def parse_telemetry(body: bytes) -> list[TelemetryRecord]:
    """Admit the body of `POST /v1/telemetry`: `{"records": [...]}`; the whole batch is refused if one record is bad."""
    document = _object(_parsed(body, MAX_TELEMETRY_BYTES), "the body")
    _known(document, frozenset(("records",)), "the request")
    records = document.get("records")
    if not isinstance(records, list) or not 1 <= len(records) <= MAX_TELEMETRY_RECORDS:
        message = f"`records` must be an array of 1 to {MAX_TELEMETRY_RECORDS} records"
        raise RequestError(400, "invalid_field", message)
    found = []
    for position, record in enumerate(records):
        try:
            found.append(record_from_wire(record))
        except RequestError as problem:
            raise RequestError(problem.status, problem.code, f"records[{position}]: {problem}") from None
    return found


def parse_receipts(body: bytes) -> list[str]:
    """Admit the body of `POST /v1/receipts`: `{"receipts": [...]}`, signed receipts as route replies carried them."""
    document = _object(_parsed(body, MAX_RECEIPTS_BYTES), "the body")
    _known(document, frozenset(("receipts",)), "the request")
    receipts = document.get("receipts")
    if not isinstance(receipts, list) or not 1 <= len(receipts) <= MAX_RECEIPTS:
        receipts = [None]
    if all(isinstance(receipt, str) and _RECEIPT.fullmatch(receipt) for receipt in receipts):
        return receipts
    message = f"`receipts` must be an array of 1 to {MAX_RECEIPTS} receipts as replies carried them"
    raise RequestError(400, "invalid_field", message)


def record_from_wire(document: object) -> TelemetryRecord:
    """Admit one telemetry record (also what `learn` reads from its queue)."""
    fields = _object(document, "a record")
    _known(fields, _RECORD_FIELDS, "the record")
    token = fields.get("token")
    if not isinstance(token, str) or not _TOKEN.fullmatch(token):
        raise RequestError(400, "invalid_field", "`token` must be the decision token of the route reply")
    arm = _matching(fields, "arm", _ARM, "an arm id such as `anthropic/claude-haiku-4-5`", 120)
    if arm is None:
        raise RequestError(400, "missing_field", "`arm` must be given: the arm this hop called")
    outcome = fields.get("outcome")
    if outcome is not None and (not isinstance(outcome, str) or outcome not in OUTCOMES):
        raise RequestError(400, "invalid_field", f"`outcome` must be one of {', '.join(OUTCOMES)}")
    quality = _quality(fields.get("quality"))
    if outcome is None and quality is None:
        raise RequestError(400, "missing_field", "`outcome` or `quality` must be given")
    counts = {name: _count(fields, name, _MAX_COUNT) for name in _COUNTS}
    finish = fields.get("finish_reason")
    if finish is not None and finish not in _FINISH:
        raise RequestError(400, "invalid_field", f"`finish_reason` must be one of {', '.join(_FINISH)}")
    empty = _boolean(fields, "empty_content")
    hop = _count(fields, "hop", 31)
    return TelemetryRecord(
        token, hop or 0, arm, cast("Outcome | None", outcome), **counts, quality_ppm=quality,
        quality_slugs=_slugs(fields.get("quality_slugs", [])), finish_reason=finish, empty_content=empty,
    )  # fmt: skip


def record_to_wire(record: TelemetryRecord) -> dict[str, Any]:
    """The inverse of `record_from_wire`; absent fields are left out."""
    found: dict[str, Any] = {"token": record.token, "hop": record.hop, "arm": record.arm}
    for name in ("outcome", *_COUNTS, "finish_reason"):
        if (value := getattr(record, name)) is not None:
            found[name] = value
    if record.quality_ppm is not None:
        found["quality"] = record.quality_ppm / PPM
    if record.quality_slugs:
        found["quality_slugs"] = list(record.quality_slugs)
    if record.empty_content:
        found["empty_content"] = True
    return found


_SLUGS = ("org", "team", "product")
_ROUTE_FIELDS = frozenset(
    (
        *("policy", "ir", "envelope", *_SLUGS, "attributes", "candidates"),
        *("idempotency_key", "session", "pin", "tool_loop", "carry_receipt"),
    )
)
_COUNTS = (
    "input_tokens",
    "output_tokens",
    "cached_read_tokens",
    "cached_write_tokens",
    "reasoning_tokens",
    "latency_ms",
    "ttft_ms",
)
_RECORD_FIELDS = frozenset(
    ("token", "hop", "arm", "outcome", *_COUNTS, "quality", "quality_slugs", "finish_reason", "empty_content")
)


def _parsed(body: bytes, limit: int) -> Any:
    try:
        return parse_strict(body, max_bytes=limit)
    except StrictJsonError as problem:
        raise RequestError(413 if problem.code == "body_too_large" else 400, problem.code, str(problem)) from None


def _object(value: object, what: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise RequestError(400, "invalid_field", f"{what} must be a JSON object")
    return value


def _known(document: Mapping[str, Any], accepted: frozenset[str], what: str) -> None:
    for name in document:
        if name not in accepted:
            message = f"unknown field `{name[:40]}` in {what}; the fields are {', '.join(sorted(accepted))}"
            raise RequestError(400, "unknown_field", message)


def _matching(
    document: Mapping[str, Any], name: str, pattern: re.Pattern[str], accepted: str, longest: int = 48
) -> str | None:
    value = document.get(name)
    if value is None and name not in document:
        return None
    if not isinstance(value, str) or len(value) > longest or not pattern.fullmatch(value):
        raise RequestError(400, "invalid_field", f"`{name}` must be {accepted}, at most {longest} long")
    return value


def _candidates(document: Mapping[str, Any]) -> tuple[str, ...] | None:
    value = document.get("candidates")
    if value is None and "candidates" not in document:
        return None
    if isinstance(value, list) and 1 <= len(value) <= MAX_CANDIDATES:
        arms = [arm for arm in value if isinstance(arm, str) and len(arm) <= 120 and _ARM.fullmatch(arm)]
        if len(arms) == len(value):
            return tuple(sorted(set(arms)))
    raise RequestError(400, "invalid_field", f"`candidates` must be an array of 1 to {MAX_CANDIDATES} arm ids")


def _count(fields: Mapping[str, Any], name: str, most: int) -> int | None:
    value = fields.get(name)
    if value is None and name not in fields:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= most:
        raise RequestError(400, "invalid_field", f"`{name}` must be an integer between 0 and {most}")
    return value


def _boolean(fields: Mapping[str, Any], name: str) -> bool:
    value = fields.get(name, False)
    if not isinstance(value, bool):
        raise RequestError(400, "invalid_field", f"`{name}` must be true or false")
    return value


def _attributes(value: object) -> tuple[tuple[str, str], ...]:
    """Pairs of names; whether the policy declares them is asked once the policy is known."""
    if isinstance(value, dict) and len(value) <= 16:
        pairs = [(name, word) for name, word in value.items() if isinstance(word, str) and _NAME.fullmatch(word)]
        if len(pairs) == len(value) and all(_NAME.fullmatch(name) for name in value):
            return tuple(sorted(pairs))
    raise RequestError(400, "invalid_field", "`attributes` must be an object of at most 16 names with names as values")


def _quality(value: object) -> int | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 1:
        raise RequestError(400, "invalid_field", "`quality` must be a number between 0 and 1")
    return round(value * PPM)


def _slugs(value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or len(value) > 8:
        raise RequestError(400, "invalid_field", "`quality_slugs` must be an array of at most 8 slugs")
    if not all(isinstance(slug, str) and _SLUG.fullmatch(slug) for slug in value):
        raise RequestError(400, "invalid_field", "`quality_slugs` must hold slugs of letters, digits, `-`, `_`")
    return tuple(value)
