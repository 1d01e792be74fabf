"""Who is calling: the tenant of a verified credential, and nothing that the caller merely claims.

Where AWS verified an IAM signature, its ARN is looked up and nothing else counts. Elsewhere the request must be signed
with an HMAC key of the registry. No header and no field of the body names a tenant.
"""

from __future__ import annotations

from contextlib import suppress

from functions.caching import Recent
from functions.function_url import Request
from functions.stores.backups import CREDENTIALS_LIMIT_MS, Backups
from functions.stores.errors import StoreError
from functions.stores.registry import Credential, CredentialKind, Registry, iam_principal
from policy_engine.signing import BAD_SIGNATURE, WINDOW_MS, SignatureError, signature_from_headers, verify_signature
from policy_engine.wire import RequestError
from policy_lang.frozen import frozen

__all__ = ["CREDENTIAL_MAX_AGE_MS", "Authenticator"]

#: How long a revoked credential may still be accepted by an environment that had just read it.
CREDENTIAL_MAX_AGE_MS = 5 * 60 * 1000
_HELD_CREDENTIALS = 1_000


@frozen
class _Held:
    credential: Credential
    read_ms: int


class Authenticator:
    """Looks credentials up and remembers those it found; an unknown one is looked up every time.

    `backups`: where to look while the registry is out of reach, for those who must answer even then.
    """

    def __init__(self, registry: Registry, backups: Backups | None = None) -> None:
        self._registry = registry
        self._backups = backups
        self._held: Recent[tuple[CredentialKind, str], _Held] = Recent(_HELD_CREDENTIALS)

    def tenant_once(self, request: Request) -> str:
        """The same for a request that changes what its tenant has: an HMAC signature then serves once.

        Whoever got hold of an old one could otherwise undo within its five minutes what was published since. What AWS
        verified is AWS's to judge.
        """
        tenant = self.tenant_of(request)
        if not request.principal:
            signature = signature_from_headers(request.headers)
            # Kept for as long as its timestamp could still be accepted by whichever clock runs slow.
            expires_s = (max(request.now_ms, signature.timestamp_ms) + 2 * WINDOW_MS) // 1000
            if not self._registry.claim_signature(tenant, signature.mac, expires_s):
                raise RequestError(401, "replayed_signature", "this signature was used before; sign every request anew")
        return tenant

    def tenant_of(self, request: Request) -> str:
        """The authenticated tenant. RequestError 401 where nobody is proven, 403 where somebody is but may not."""
        credential = self._by_principal(request) if request.principal else self._by_signature(request)
        if not credential.active:
            raise RequestError(403, "tenant_suspended", "this credential is registered but not active")
        return credential.tenant

    def _by_principal(self, request: Request) -> Credential:
        assert request.principal is not None
        principal = iam_principal(request.principal)
        credential = self._credential("iam", principal, request.now_ms)
        if credential is None:
            raise RequestError(403, "unknown_tenant", f"no tenant is registered for {principal}")
        return credential

    def _by_signature(self, request: Request) -> Credential:
        try:
            signature = signature_from_headers(request.headers)
            credential = self._credential("hmac", signature.key_id, request.now_ms)
            # An unknown key and a wrong signature get the same answer, so that key ids cannot be tried out.
            secret = credential.secret if credential else b""
            verify_signature(
                signature,
                secret,
                method=request.method,
                path=request.path,
                body=request.body,
                now_ms=request.now_ms,
            )
        except SignatureError as problem:
            raise RequestError(401, problem.code, str(problem)) from None
        if credential is None or not secret:
            raise RequestError(401, "bad_signature", BAD_SIGNATURE)
        return credential

    def _credential(self, kind: CredentialKind, name: str, now_ms: int) -> Credential | None:
        held = self._held.get((kind, name))
        if held is not None and abs(now_ms - held.read_ms) <= CREDENTIAL_MAX_AGE_MS:
            return held.credential
        try:
            credential = self._registry.credential(kind, name)
        except StoreError as outage:
            return self._copied(kind, name, now_ms, held, outage)
        if credential is not None:
            self._held.put((kind, name), _Held(credential, now_ms))
        return credential

    def _copied(
        self, kind: CredentialKind, name: str, now_ms: int, held: _Held | None, outage: StoreError
    ) -> Credential | None:
        """What the second source says, else what was read here within a day; `outage` is raised where there is neither.

        The copies go first, for they may know of a revocation since, and are asked every time: what they say may be
        older than one, so it is not remembered.
        """
        if self._backups is not None:
            with suppress(StoreError):
                return self._backups.credential(kind, name, now_ms)
        if held is not None and abs(now_ms - held.read_ms) <= CREDENTIALS_LIMIT_MS:
            return held.credential
        raise outage
