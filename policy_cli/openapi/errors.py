"""Every error code that a door may answer with. A test holds this list to the code that raises them."""

from __future__ import annotations

from policy_lang.frozen import frozen

__all__ = ["ALIASING", "ANYWHERE", "ERRORS", "INTERNAL", "PUBLISHING", "REPORTING", "RETURNING", "ROUTING", "Meaning"]


@frozen
class Meaning:
    """The HTTP status a code comes with, and what the caller should make of it."""

    status: int
    says: str


ERRORS: dict[str, Meaning] = {
    "malformed_body": Meaning(400, "marked as base64 and is not"),
    "malformed_json": Meaning(400, "not JSON, or not UTF-8"),
    "duplicate_key": Meaning(400, "a key stands twice in one object"),
    "not_a_number": Meaning(400, "NaN or an infinity"),
    "number_too_large": Meaning(400, "an integer beyond 2^53, or no finite double"),
    "too_deep": Meaning(400, "nested deeper than 64 levels"),
    "invalid_field": Meaning(400, "a field is outside what it may hold"),
    "unknown_field": Meaning(400, "a field that does not exist"),
    "missing_field": Meaning(400, "a field that must be given is not"),
    "invalid_envelope": Meaning(400, "the envelope lacks a field, or one is outside its vocabulary"),
    "invalid_attribute": Meaning(400, "the policy declares no such attribute or value"),
    "invalid_ir": Meaning(400, "the inline policy is not sound"),
    "invalid_pin": Meaning(400, "the pin was altered, or is of another tenant or session"),
    "invalid_receipt": Meaning(400, "a carried receipt was altered, or is none"),
    "invalid_shares": Meaning(400, "the shares are not those of an alias"),
    "invalid_fingerprint": Meaning(400, "not the digits of a fingerprint"),
    "missing_credentials": Meaning(401, "neither AWS credentials nor the three signature headers"),
    "malformed_credentials": Meaning(401, "the signature headers cannot be read"),
    "bad_signature": Meaning(401, "the key is unknown, or did not sign this request"),
    "stale_timestamp": Meaning(401, "signed more than five minutes from now"),
    "replayed_signature": Meaning(401, "this signature has served; what changes something wants one of its own"),
    "unknown_tenant": Meaning(403, "the AWS principal is registered for no tenant"),
    "tenant_suspended": Meaning(403, "the credential is registered and not active"),
    "beyond_guard": Meaning(403, "the inline policy goes beyond what a published one guards"),
    "foreign_receipt": Meaning(403, "a carried receipt is another tenant's"),
    "unknown_path": Meaning(404, "no such path"),
    "unknown_policy": Meaning(404, "the tenant has published no policy of this name"),
    "unknown_fingerprint": Meaning(404, "the tenant has never published this fingerprint"),
    "method_not_allowed": Meaning(405, "the path takes POST"),
    "no_history": Meaning(409, "the alias led nowhere before"),
    "alias_moved": Meaning(409, "somebody else moved the alias at the same time; look, and ask again"),
    "idempotency_conflict": Meaning(409, "the idempotency key came with another request within 24 hours"),
    "too_many_policies": Meaning(409, "a new name, and the tenant has published as many as it may"),
    "body_too_large": Meaning(413, "more bytes than the path takes"),
    "no_candidates": Meaning(422, "every candidate fails a gate, and so does every fallback; `candidates` says which"),
    "invalid_policy": Meaning(422, "the text does not compile; `diagnostics` says all that is wrong with it"),
    "wrong_name": Meaning(422, "the text or fingerprint is of another policy than the path names"),
    "assert_broken": Meaning(
        422, "a version to lead to breaks its asserts by today's catalog; `asserts` says which, `force` leads there"
    ),
    "budget_denied": Meaning(429, "a budget that covers the call is used up"),
    "too_many_requests": Meaning(429, "the tenant has asked as often this minute as it may; see `retry_after_s`"),
    "inline_used_up": Meaning(
        429, "policies that come with calls have spent what the tenant lets them in a day; see `retry_after_s`"
    ),
    "too_many_accounts": Meaning(
        429, "inline policies have named more budgets and exploring routes than they may in a period"
    ),
    "registry_unavailable": Meaning(503, "the tenant registry is out of reach; try again"),
    "state_unavailable": Meaning(503, "no policies young enough are at hand; try again"),
    "signing_unavailable": Meaning(503, "the signing keys are out of reach; try again"),
    "receipt_unavailable": Meaning(503, "neither queue nor spool took the receipt, so there is no decision; try again"),
    "telemetry_unavailable": Meaning(503, "the queue did not take all records; send the batch again"),
}

#: Codes of stores that no caller waits for: they are logged, and the message comes again.
INTERNAL = frozenset(
    (
        *("backup_unavailable", "dead_letters_unavailable", "ledger_unavailable", "records_unavailable"),
        *("shared_priors_unavailable", "queue_unavailable", "statistics_unavailable", "function_unavailable"),
    )
)

#: What any POST with a body may be answered with.
ANYWHERE = (
    *("malformed_body", "malformed_json", "duplicate_key", "not_a_number", "number_too_large", "too_deep"),
    *("invalid_field", "unknown_field", "missing_field", "body_too_large", "unknown_path", "method_not_allowed"),
    *("missing_credentials", "malformed_credentials", "bad_signature", "stale_timestamp"),
    *("unknown_tenant", "tenant_suspended", "registry_unavailable"),
)
ROUTING = (
    *("invalid_envelope", "invalid_attribute", "invalid_ir", "invalid_pin", "beyond_guard", "unknown_policy"),
    *("idempotency_conflict", "no_candidates", "budget_denied", "too_many_requests", "inline_used_up"),
    "too_many_accounts",
    *("state_unavailable", "signing_unavailable", "receipt_unavailable"),
)
REPORTING = ("idempotency_conflict", "telemetry_unavailable")
PUBLISHING = ("replayed_signature", "too_many_policies", "invalid_policy", "wrong_name", "state_unavailable")
RETURNING = ("invalid_receipt", "foreign_receipt", "signing_unavailable", "receipt_unavailable")
ALIASING = (
    *("replayed_signature", "invalid_shares", "invalid_fingerprint", "unknown_policy", "unknown_fingerprint"),
    *("no_history", "alias_moved", "wrong_name", "assert_broken", "state_unavailable"),
)
