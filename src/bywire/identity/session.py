"""Sessions: an agent proves its key once, then calls with a short token bound to principal and run.

Session ids are issued here, never by the caller, and a session belongs to one workspace. The token made here is for
callers in this process: id + HMAC-SHA256 under the workspace key, compared in constant time. What leaves the process is
a JWT (see `tokens`). Revoking the session in the state store ends both at once.
"""

import hashlib
import hmac
from typing import Annotated

import msgspec

from bywire.identity.trust import TrustRoot
from bywire.model.errors import EvidenceError
from bywire.model.principal import KeyRole, Principal, PrincipalKind
from bywire.model.statement import Statement, predicate_type, subject
from bywire.seal import jcs
from bywire.seal.digest import sha256_hex
from bywire.seal.dsse import sign_statement, unverified_statement, verify_statement
from bywire.seal.keys import Signer

SESSION_REQUEST = predicate_type("session-request")
REQUEST_AGE_MS_MAX = 60_000
TRUSTED, TAINTED = "trusted", "tainted"
_ROLE_OF_KIND = {PrincipalKind.AGENT: KeyRole.AGENT, PrincipalKind.WORKLOAD: KeyRole.BUILDER}
_AGAIN = "open a new session with the principal's own key"


class Session(msgspec.Struct, frozen=True):
    """An open session. `integrity` is `trusted` or `tainted` and never rises (RULES 22).

    `workspace` is the origin of the workspace that opened it, `parent` the session it was opened from, or empty;
    `key_id` is the key that asked for it, known only while it is being opened.
    """

    id: str
    principal: Principal
    run: str
    integrity: str = "trusted"
    workspace: str = ""
    parent: str = ""
    key_id: str = ""


def request_session(
    principal: str, run: str, nonce: str, now_ms: int, key: Signer, *, workspace: str, parent: str = ""
) -> bytes:
    """The signed request by which `principal` asks for a session in `run` of the workspace with this origin.

    `parent` is the session it works for, or empty. A lie about it cannot raise anything: the parent must exist.
    """
    predicate = {
        "principal": principal,
        "run": run,
        "nonce": nonce,
        "at_ms": now_ms,
        "workspace": workspace,
        "parent": parent,
    }
    return sign_statement(
        Statement(
            subject=(subject("session", sha256_hex(jcs.canonical(predicate))),),
            predicateType=SESSION_REQUEST,
            predicate=predicate,
        ),
        key,
    )


def open_session(envelope: bytes, trust: TrustRoot, now_ms: int, workspace_key: bytes) -> tuple[Session, str]:
    """Verify a session request and return the session with its token.

    The key that verifies is chosen by the principal's *trusted* entry. People hold no sessions: they sign approvals.
    One signed request is one session, however often and in whatever envelope it arrives.
    Raises EvidenceError `session_refused`, `signature_invalid`.
    """
    claimed = _claimed(envelope)
    principal = trust.principal(claimed.principal)
    if principal is None or principal.kind not in _ROLE_OF_KIND:
        raise EvidenceError("no such agent or workload is registered", code="session_refused", next_step=_AGAIN)
    keys = trust.keys_for(_ROLE_OF_KIND[principal.kind], principal=principal.id)
    verified = verify_statement(envelope, keys)
    request = msgspec.convert(verified.statement.predicate, _SessionRequest)
    if verified.statement.predicateType != SESSION_REQUEST or not 0 <= now_ms - request.at_ms <= REQUEST_AGE_MS_MAX:
        raise EvidenceError("the session request is stale", code="session_refused", next_step=_AGAIN)
    if request.workspace != trust.origin:
        raise EvidenceError("the session request is for another workspace", code="session_refused", next_step=_AGAIN)
    session_id = "se-" + jcs.digest(verified.statement.predicate)[:24]
    session = Session(
        id=session_id,
        principal=principal,
        run=request.run,
        workspace=request.workspace,
        parent=request.parent,
        key_id=verified.key_id,
    )
    return session, session_token(session_id, workspace_key)


def session_token(session_id: str, workspace_key: bytes) -> str:
    """`id.mac` with mac = HMAC-SHA256(workspace key, "session" || id)."""
    return f"{session_id}.{_mac(session_id, workspace_key)}"


def session_id_of(token: str, workspace_key: bytes) -> str:
    """The session id of an authentic token; EvidenceError `session_refused` otherwise."""
    session_id, _, mac = token.rpartition(".")
    if not hmac.compare_digest(_bytes(mac), _mac(session_id, workspace_key).encode()):
        raise EvidenceError("the session token is not ours", code="session_refused", next_step=_AGAIN)
    return session_id


_Short = Annotated[str, msgspec.Meta(min_length=1, max_length=256)]


class _SessionRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    principal: str
    run: _Short
    nonce: _Short
    at_ms: int
    workspace: _Short
    parent: Annotated[str, msgspec.Meta(max_length=64)]


def _claimed(envelope: bytes) -> _SessionRequest:
    try:
        return msgspec.convert(unverified_statement(envelope).predicate, _SessionRequest)
    except msgspec.ValidationError as error:
        raise EvidenceError("the session request is malformed", code="session_refused", next_step=_AGAIN) from error


def _mac(session_id: str, workspace_key: bytes) -> str:
    return hmac.new(workspace_key, b"session\x00" + _bytes(session_id), hashlib.sha256).hexdigest()


def _bytes(text: str) -> bytes:
    # A token is any text that somebody sends, lone surrogates too.
    return text.encode("utf-8", "surrogatepass")
