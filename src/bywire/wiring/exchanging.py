"""Token exchange of one workspace (RFC 8693): somebody else's word for who asks in, a short token of ours out.

What comes in is verified, mapped to a registered agent, and never more than that: the session is bound to the run that
the verified claims name, inherits its integrity, and its token ends with the one it was given for at the latest. Who is
refused learns which step refused; nothing of anybody's token is kept but keyed digests. Of a client only failures are
counted, after its token was looked at: behind a proxy all have one address, and a good token is never refused for it.
"""

import threading

import msgspec

from bywire.adapters.jwks import KeySet
from bywire.adapters.sqlite_api_keys import SqliteApiKeys
from bywire.identity import exchange as exchanges
from bywire.identity import tokens
from bywire.identity.exchange import API_KEY, ExchangeRequest, Rates, RequestError
from bywire.identity.oidc import Subject, key_asked_for, verify_subject
from bywire.identity.oidc_claims import admission
from bywire.model.errors import ConfigError, ConflictError, EvidenceError
from bywire.model.gateway import GatewayConfig
from bywire.model.gateway_issuers import ApiKeys, ExchangeLimits, Issuer
from bywire.model.principal import KeyRole
from bywire.wiring.identities import IssuedToken, issue_token
from bywire.wiring.key_changes import introduce_key
from bywire.wiring.workspace import Workspace

REFUSED_KIND = "token-refused"
HOUR_MS = 3_600_000


class _Who(msgspec.Struct, frozen=True):
    """Who a subject token stands for; `ends_ms` is its own end, `spend` what must not be seen twice."""

    agent: str
    run: str
    ends_ms: int
    exchanged: dict[str, str]
    tainted: bool = False
    spend: bytes = b""


class TokenExchange:
    """Answers exchange requests. Thread-safe; at most one thread waits for an issuer."""

    def __init__(
        self, workspace: Workspace, issuers: tuple[Issuer, ...], api_keys: ApiKeys, limits: ExchangeLimits
    ) -> None:
        """Raises ConfigError `origin_invalid`, `ca_unreadable`."""
        self._workspace = workspace
        self._issuers = {issuer.issuer: (issuer, KeySet(issuer)) for issuer in issuers}
        self._takes_api_keys = api_keys.allowed
        self._kept = SqliteApiKeys(workspace.writer, workspace.reader)
        self._clients = Rates(limits.client_per_minute, limits.remembered)
        self._agents = Rates(limits.agent_per_minute, limits.remembered)
        self._failures = Rates(limits.failures_per_minute, limits.remembered)
        self._refusals = Rates(limits.refusals_per_hour, limits.remembered, HOUR_MS)
        self._lock = threading.Lock()

    @property
    def audience(self) -> str:
        """Whom tokens must be meant for, unless an issuer's `audience` says otherwise; the audience of ours, too."""
        return tokens.door_audience(self._workspace.trust.origin)

    def token(self, body: bytes, content_type: str, client: str) -> IssuedToken:
        """The token for an exchange request that came from `client` (its address).

        Raises RequestError; EvidenceError `token_*`; ConfigError as `issue_token`; TargetError `jwks_unavailable`;
        ConflictError `exchange_rate`.
        """
        now_ms = self._workspace.clock.now_ms()
        try:
            request = exchanges.parse_request(body, content_type, self.audience)
            by_key = request.subject_token_type == API_KEY
            who = self._by_api_key(request, client, now_ms) if by_key else self._by_issuer(request, now_ms)
        except (RequestError, EvidenceError) as error:
            if not self._clients.count(client, now_ms):
                raise _too_often("this client was refused") from error
            raise
        if not self._agents.count(who.agent, now_ms):
            raise _too_often(f"tokens for {who.agent} were asked for")
        if who.spend and not self._kept.spend(who.spend, who.ends_ms, now_ms):
            raise self._refused(
                who.exchanged,
                EvidenceError(
                    "the subject token was exchanged before",
                    code="token_replayed",
                    next_step="request a new token from its issuer; this one may be in other hands",
                ),
                now_ms,
            )
        self._require_token_key()
        try:
            return issue_token(
                self._workspace,
                who.agent,
                run=who.run,
                lifetime_seconds=min(tokens.LIFETIME_SECONDS_MAX, max(1, (who.ends_ms - now_ms) // 1000)),
                tainted=who.tainted,
                exchanged=who.exchanged,
            )
        except ConfigError as error:
            raise self._refused(who.exchanged, error, now_ms) from error

    def _by_issuer(self, request: ExchangeRequest, now_ms: int) -> _Who:
        name, key_id = key_asked_for(request.subject_token)
        if name not in self._issuers:
            raise EvidenceError(
                "the subject token is refused: no such issuer is configured",
                code="token_issuer",
                next_step="have the operator add it to `issuers` of gateway.yaml, exactly as the token's `iss` says it",
            )
        issuer, key_set = self._issuers[name]
        subject = verify_subject(
            request.subject_token,
            issuer,
            key_set.keys(key_id, now_ms),
            audience=issuer.audience or self.audience,
            token_type=request.subject_token_type,
            now_ms=now_ms,
        )
        exchanged = {"issuer": name, "subject": self._mac("subject", f"{name}\x00{subject.subject}").hex()}
        try:
            admitted = admission(subject, issuer, request.agent)
            spend = self._once(subject) if issuer.once else b""
        except EvidenceError as error:
            raise self._refused(exchanged, error, now_ms) from error
        exchanged["token"] = self._mac("token", request.subject_token).hex()
        return _Who(admitted.agent, admitted.run, subject.expires_s * 1000, exchanged, admitted.tainted, spend)

    def _by_api_key(self, request: ExchangeRequest, client: str, now_ms: int) -> _Who:
        if not self._takes_api_keys:
            raise RequestError("invalid_request", "API keys are not taken here")
        key_id = ""
        try:
            key_id = exchanges.api_key_of(request.subject_token)
            row = self._kept.find(key_id)
            is_it = exchanges.same(self._mac("api-key", request.subject_token), None if row is None else row.mac)
            if row is None or not is_it:
                raise exchanges.refused_key()
            if row.ended(now_ms):
                # Somebody still has a key that was taken back: that is worth an entry.
                raise self._refused({"issuer": "api-key", "subject": row.id}, exchanges.refused_key(), now_ms)
        except EvidenceError as error:
            if not self._failures.count(f"{client} {key_id}", now_ms):
                raise _too_often("wrong API keys were sent") from error
            raise
        if request.agent not in {"", row.agent}:
            raise RequestError("invalid_scope", f"the API key is for {row.agent} alone")
        # One run for as long as the key lives: a new one for each exchange would be a way out of every taint.
        exchanged = {"issuer": "api-key", "subject": row.id, "token": row.id}
        return _Who(row.agent, f"key-{row.id}", row.expires_ms, exchanged)

    def _once(self, subject: Subject) -> bytes:
        if not subject.jti:
            raise EvidenceError(
                "the subject token has no id, so that nobody could see it twice",
                code="token_id",
                next_step="have its issuer put a `jti` into each token",
            )
        # By its id, not its bytes: an ES256 signature can be written in a second way.
        return self._mac("jti", f"{subject.issuer}\x00{subject.jti}")

    def _refused(
        self, exchanged: dict[str, str], error: EvidenceError | ConfigError, now_ms: int
    ) -> EvidenceError | ConfigError:
        """`error`, after it was logged: an authentic token that leads nowhere is somebody's attempt, or mistake."""
        if self._refusals.count(exchanged["issuer"], now_ms):
            self._workspace.record(REFUSED_KIND, "workspace", {**exchanged, "code": error.code})
        return error

    def _require_token_key(self) -> None:
        """The key that signs our tokens, drawn at the first exchange; by one thread."""
        workspace = self._workspace
        if not workspace.trust.holding(KeyRole.TOKEN, tokens.TOKEN_ISSUER):
            with self._lock:
                introduce_key(workspace, KeyRole.TOKEN, tokens.TOKEN_ISSUER, workspace.operator.agents_owner)

    def _mac(self, kind: str, text: str) -> bytes:
        return exchanges.mac(self._workspace.workspace_key, kind, text)


def exchange(workspace: Workspace, settings: GatewayConfig, *, limits: ExchangeLimits | None = None) -> TokenExchange:
    """The token exchange that gateway.yaml describes. Raises ConfigError `origin_invalid`, `ca_unreadable`."""
    return TokenExchange(workspace, settings.issuers, settings.api_keys, limits or ExchangeLimits())


def _too_often(what: str) -> ConflictError:
    return ConflictError(f"{what} too often", code="exchange_rate", next_step="wait a minute, then send it again")
