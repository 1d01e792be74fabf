"""What crosses the network: route requests, telemetry records, policy texts, and the errors that answer bad ones.

The forms below are the one list of what is accepted; `policy_cli.openapi` publishes them. RequestError (`code` and
HTTP `status`) is the only way a request is refused here. Everything is checked once, here; inside, the types are
trusted. Numbers are integers except `quality`, a decimal 0..1.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from policy_engine.fields import (
    Choice,
    Each,
    Form,
    Names,
    Object,
    Prose,
    RequestError,
    Shape,
    Share,
    Shares,
    Slugs,
    Text,
    Truth,
    Whole,
    Yes,
)
from policy_lang.canonical import StrictJsonError, parse_strict
from policy_lang.envelope import Envelope, envelope_to_wire
from policy_lang.frozen import frozen
from policy_lang.ir import MAX_IR_BYTES, PPM
from policy_lang.vocabulary import OUTCOMES, Outcome

__all__ = [
    "ALIAS",
    "MAX_ALIAS_BYTES",
    "MAX_COUNT",
    "MAX_PUBLISH_BYTES",
    "MAX_RECEIPTS",
    "MAX_RECEIPTS_BYTES",
    "MAX_ROUTE_BYTES",
    "MAX_TELEMETRY_BYTES",
    "MAX_TELEMETRY_RECORDS",
    "POLICY_NAME",
    "PUBLISH",
    "RECEIPTS",
    "RECORD",
    "ROUTE",
    "STORED_PIN",
    "TELEMETRY",
    "PublishRequest",
    "RequestError",
    "RouteRequest",
    "TelemetryBatch",
    "TelemetryRecord",
    "conflict",
    "inline_used_up",
    "parse_alias",
    "parse_publish",
    "parse_receipts",
    "parse_route",
    "parse_telemetry",
    "record_from_wire",
    "record_to_wire",
    "too_many",
    "too_many_accounts",
]

MAX_ROUTE_BYTES = MAX_IR_BYTES + 8 * 1024
MAX_RECEIPTS_BYTES = 1024 * 1024
MAX_RECEIPTS = 50
MAX_TELEMETRY_BYTES = 256 * 1024
MAX_TELEMETRY_RECORDS = 500
#: A source of 64 KiB in which every character is escaped, and the braces around it.
MAX_PUBLISH_BYTES = 6 * 64 * 1024 + 1024
MAX_ALIAS_BYTES = 4 * 1024
#: Tokens or milliseconds of a call: far above any call, far below what would overflow a decayed sum.
MAX_COUNT = 100_000_000

#: In the place of a pin: it is kept by the service.
STORED_PIN = "stored"

POLICY_NAME = Text(r"[a-z0-9][a-z0-9_-]*(/[a-z0-9][a-z0-9_-]*)*", 96, "a policy name such as `acme/support`")
_SLUG = Text(r"[A-Za-z0-9][A-Za-z0-9_-]{0,47}", 48, "a slug of letters, digits, `-`, `_`")
_ARM = Text(r"[a-z0-9][a-z0-9_-]*/[A-Za-z0-9][A-Za-z0-9._:/@-]*", 120, "an arm id such as `anthropic/claude-haiku-4-5`")
_KEY = Text(r"[A-Za-z0-9_.:-]{1,64}", 64, "one or more letters, digits, `_.:-`")
_TOKEN = Text(r"[A-Za-z0-9._-]{16,16384}", 16_384, "the decision token of the route reply")
_PIN = Text(
    r"stored|pin\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+", 1024, "the pin of an earlier reply, or `stored`"
)
_RECEIPT = Text(
    r"receipt\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+", MAX_RECEIPTS_BYTES, "a receipt as a reply carried it"
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

#: The body of `POST /v1/route`.
ROUTE = Form(
    "the request",
    {
        "policy": POLICY_NAME,
        "ir": Object(),
        "envelope": Shape(),
        "org": _SLUG,
        "team": _SLUG,
        "product": _SLUG,
        "attributes": Names(16),
        "candidates": Slugs(_ARM, 1, 64, "arm ids"),
        "idempotency_key": _KEY,
        "session": _KEY,
        "pin": _PIN,
        "tool_loop": Truth(),
        "carry_receipt": Truth(),
    },
    required=("envelope",),
    one_of=("policy", "ir"),
)
#: One telemetry record.
RECORD = Form(
    "the record",
    {
        "token": _TOKEN,
        "hop": Whole(31),
        "arm": _ARM,
        "outcome": Choice(tuple(OUTCOMES)),
        **dict.fromkeys(_COUNTS, Whole(MAX_COUNT)),
        "quality": Share(),
        "quality_slugs": Slugs(_SLUG, 0, 8, "slugs"),
        "finish_reason": Choice(("stop", "length", "tool_calls", "content_filter", "error", "other")),
        "empty_content": Truth(),
    },
    required=("token", "arm"),
    any_of=("outcome", "quality"),
)
#: The body of `POST /v1/telemetry`.
TELEMETRY = Form(
    "the request", {"records": Each(RECORD, MAX_TELEMETRY_RECORDS), "idempotency_key": _KEY}, required=("records",)
)
#: The body of `POST /v1/policies/NAME`.
PUBLISH = Form("the request", {"source": Prose(), "dry_run": Truth()}, required=("source",))
#: The body of `POST /v1/aliases/NAME`; an empty one asks where the name leads.
ALIAS = Form(
    "the request",
    {"shares": Shares(), "rollback": Yes(), "to": Prose(), "force": Yes()},
    apart=("shares", "rollback"),
    needs=(("to", "rollback"),),
)
#: The body of `POST /v1/receipts`.
RECEIPTS = Form(
    "the request", {"receipts": Slugs(_RECEIPT, 1, MAX_RECEIPTS, "receipts as replies carried them")}, ("receipts",)
)


@frozen
class RouteRequest:
    """One admitted route request. Exactly one of `policy` (a published name) and `inline` (an IR document) is set.

    `attributes` in name order. `pin` is the token a session carries, or STORED_PIN. `tool_loop`: the call continues a
    chain of tool calls. `carry_receipt`: where no receipt can be kept, the caller takes it along and submits it later.
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


@frozen
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


@frozen
class TelemetryBatch:
    """One admitted batch of telemetry. The same `idempotency_key` stands for the same records."""

    records: tuple[TelemetryRecord, ...]
    idempotency_key: str | None = None


@frozen
class PublishRequest:
    """A policy's text; `dry_run`: say what is wrong with it and store nothing."""

    source: str
    dry_run: bool = False


def conflict() -> RequestError:
    """What answers a key that came before with something else."""
    message = "`idempotency_key` came with another request within the last 24 hours; use a new key for a new request"
    return RequestError(409, "idempotency_conflict", message)


def too_many(most: int, wait_ms: int) -> RequestError:
    """What answers a tenant that has asked more often in this minute than it may."""
    wait_s = -(-wait_ms // 1000)
    message = f"this tenant may ask {most} times a minute; ask again in {wait_s} s"
    return RequestError(429, "too_many_requests", message, retry_after_s=wait_s)


def inline_used_up(dollars: int, wait_ms: int) -> RequestError:
    """What answers an inline policy once its like have spent what the tenant lets them."""
    wait_s = -(-wait_ms // 1000)
    message = f"policies that come with calls may spend ${dollars} a day and have"
    message += f"; ask by a published policy, or again in {wait_s} s"
    return RequestError(429, "inline_used_up", message, retry_after_s=wait_s)


def too_many_accounts(most: int) -> RequestError:
    """What answers an inline policy with a budget that nobody has named yet, once there are too many."""
    message = (
        "policies that came with calls have named too many budgets and exploring routes in this period"
        f" ({most} in one part of the ledger); use names that a published policy uses, or wait for the next day"
    )
    return RequestError(429, "too_many_accounts", message)


def parse_route(body: bytes) -> RouteRequest:
    """Admit the body of `POST /v1/route`.

    An inline IR is only checked for being an object; `admission` does the rest.
    """
    found = ROUTE.read(_parsed(body, MAX_ROUTE_BYTES))
    if "candidates" in found:
        found["candidates"] = tuple(sorted(set(found["candidates"])))
    if found.get("pin") == STORED_PIN and "session" not in found:
        raise RequestError(400, "missing_field", "`session` must be given: it is what a stored pin is kept under")
    return RouteRequest(inline=found.pop("ir", None), **found)


def parse_telemetry(body: bytes) -> TelemetryBatch:
    """Admit the body of `POST /v1/telemetry`: `{"records": [...]}`, with an `idempotency_key` or without.

    The whole batch is refused if one record is bad.
    """
    found = TELEMETRY.read(_parsed(body, MAX_TELEMETRY_BYTES))
    return TelemetryBatch(tuple(_record(record) for record in found["records"]), found.get("idempotency_key"))


def parse_publish(body: bytes) -> PublishRequest:
    """Admit the body of `POST /v1/policies/NAME`; whether the text is a policy is the compiler's to say."""
    return PublishRequest(**PUBLISH.read(_parsed(body, MAX_PUBLISH_BYTES)))


def parse_alias(body: bytes) -> dict[str, Any]:
    """Admit the body of `POST /v1/aliases/NAME`: `shares`, or `rollback` with or without `to`, or nothing to look.

    `force` leads to versions whose asserts do not hold, too; alone it asks for nothing.
    """
    return ALIAS.read(_parsed(body, MAX_ALIAS_BYTES))


def parse_receipts(body: bytes) -> tuple[str, ...]:
    """Admit the body of `POST /v1/receipts`: `{"receipts": [...]}`, signed receipts as route replies carried them."""
    receipts: tuple[str, ...] = RECEIPTS.read(_parsed(body, MAX_RECEIPTS_BYTES))["receipts"]
    return receipts


def record_from_wire(document: object) -> TelemetryRecord:
    """Admit one telemetry record (also what `learn` reads from its queue)."""
    return _record(RECORD.read(document))


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


def _record(found: dict[str, Any]) -> TelemetryRecord:
    return TelemetryRecord(hop=found.pop("hop", 0), quality_ppm=found.pop("quality", None), **found)


def _parsed(body: bytes, limit: int) -> Any:
    try:
        return parse_strict(body, max_bytes=limit)
    except StrictJsonError as problem:
        raise RequestError(413 if problem.code == "body_too_large" else 400, problem.code, str(problem)) from None
