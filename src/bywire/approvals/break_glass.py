"""Broken glass: a named person lets named agents use named tools for a short time, and owes a post-mortem for it.

It lifts what the policy says it lifts and no hard rule. The statement is signed with the person's own approver key and
verified with the trust root each time it is used; the row beside it only counts the uses that are left.
"""

import re
from typing import Annotated, Any

import msgspec

from bywire.approvals.packet import REASON_CHARS_MAX
from bywire.identity.trust import TrustRoot, is_principal
from bywire.model.errors import EvidenceError
from bywire.model.principal import KeyRole, PrincipalKind
from bywire.model.statement import BREAK_GLASS, BREAK_GLASS_POSTMORTEM, Statement, subject
from bywire.seal import jcs
from bywire.seal.digest import same_digest, sha256_hex
from bywire.seal.dsse import Verified, sign_statement, unverified_statement, verify_statement
from bywire.seal.keys import Signer

# Who may break glass, and for how much at once.
BREAKER_ROLES = ("sre-oncall", "incident-commander", "security")
MINUTES_MAX = 240
USES_MAX = 50
TOOLS_MAX = 16
PRINCIPALS_MAX = 8
REASON_CHARS_MIN = 20
POSTMORTEM_CHARS_MIN = 100
POSTMORTEM_BYTES_MAX = 65_536
MINUTE_MS = 60_000

_TOOL = re.compile(r"[a-z][a-z0-9_]{0,63}")
_Names = Annotated[tuple[Annotated[str, msgspec.Meta(min_length=1, max_length=192)], ...], msgspec.Meta(min_length=1)]


class BreakGlass(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a person opens: `tools` for `principals`, `uses` times, until `expires_at_ms` (ms since the epoch)."""

    person: str
    role: str
    reason: Annotated[str, msgspec.Meta(min_length=REASON_CHARS_MIN, max_length=REASON_CHARS_MAX)]
    tools: Annotated[_Names, msgspec.Meta(max_length=TOOLS_MAX)]
    principals: Annotated[_Names, msgspec.Meta(max_length=PRINCIPALS_MAX)]
    service: str
    environment: str
    uses: Annotated[int, msgspec.Meta(ge=1, le=USES_MAX)]
    opened_at_ms: Annotated[int, msgspec.Meta(ge=0)]
    expires_at_ms: int

    def as_json(self) -> dict[str, Any]:
        """Plain JSON, ready for JCS."""
        plain: dict[str, Any] = msgspec.to_builtins(self)
        return plain

    @property
    def id(self) -> str:
        """Its name, derived from everything it says."""
        return f"bg-{jcs.digest(self.as_json())[:12]}"


class Postmortem(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What its person wrote afterwards; `at_ms` is the signer's clock."""

    break_glass: str
    person: str
    document: str
    at_ms: int


def check_break_glass(glass: BreakGlass) -> None:
    """Refuse what nobody may open. Raises EvidenceError `break_glass_refused` naming the fault."""
    fault = _fault(glass)
    if fault:
        raise _refused(fault)


def sign_break_glass(glass: BreakGlass, key: Signer) -> bytes:
    """The statement by which a person breaks glass."""
    check_break_glass(glass)
    about = subject(glass.id, jcs.digest(glass.as_json()))
    return sign_statement(Statement(subject=(about,), predicateType=BREAK_GLASS, predicate=glass.as_json()), key)


def verify_break_glass(envelope: bytes, trust: TrustRoot, index: int | None = None) -> tuple[BreakGlass, str]:
    """What was opened, and the id of the key that signed it: one of the named person's own approver keys.

    Raises EvidenceError: break_glass_refused, signature_invalid.
    """
    verified = _verified(envelope, trust, index)
    glass: BreakGlass = _read(verified, BREAK_GLASS, BreakGlass)
    check_break_glass(glass)
    if not same_digest(verified.statement.subject[0].sha256, jcs.digest(glass.as_json())):
        raise _refused("the signature is over another statement")
    return glass, verified.key_id


def sign_postmortem(postmortem: Postmortem, key: Signer) -> bytes:
    """The statement that settles a broken glass."""
    _check_postmortem(postmortem)
    about = subject(postmortem.break_glass, sha256_hex(postmortem.document.encode()))
    predicate = msgspec.to_builtins(postmortem)
    return sign_statement(Statement(subject=(about,), predicateType=BREAK_GLASS_POSTMORTEM, predicate=predicate), key)


def verify_postmortem(
    envelope: bytes, glass: BreakGlass, trust: TrustRoot, index: int | None = None
) -> tuple[Postmortem, str]:
    """The post-mortem of this very glass by the person who broke it, and the id of the key that signed it.

    Raises EvidenceError: break_glass_refused, signature_invalid.
    """
    verified = _verified(envelope, trust, index)
    postmortem: Postmortem = _read(verified, BREAK_GLASS_POSTMORTEM, Postmortem)
    _check_postmortem(postmortem)
    if (postmortem.break_glass, postmortem.person) != (glass.id, glass.person):
        raise _refused("this post-mortem is about another glass, or by another person")
    return postmortem, verified.key_id


def _verified(envelope: bytes, trust: TrustRoot, index: int | None) -> Verified:
    person = str(unverified_statement(envelope).predicate.get("person", ""))
    keys = trust.keys_for(KeyRole.APPROVER, principal=person, index=index) if person else ()
    if not keys or not is_principal(person, PrincipalKind.PERSON):
        raise _refused(f"{person or 'nobody'} holds no approver key")
    return verify_statement(envelope, keys)


def _read(verified: Verified, kind: str, shape: type[Any]) -> Any:
    if verified.statement.predicateType != kind:
        raise _refused("this is another kind of statement")
    try:
        return msgspec.convert(verified.statement.predicate, shape)
    except msgspec.ValidationError as error:
        raise _refused(f"the statement is malformed: {error}") from error


def _fault(glass: BreakGlass) -> str:
    """Why this glass may not be broken; empty when it may. Bounds hold for what is read and for what is made here."""
    agents = (PrincipalKind.AGENT, PrincipalKind.WORKLOAD)
    minutes = (glass.expires_at_ms - glass.opened_at_ms) / MINUTE_MS
    checks = (
        (is_principal(glass.person, PrincipalKind.PERSON), f"{glass.person} is no person"),
        (glass.role in BREAKER_ROLES, f"it takes one of the roles {', '.join(BREAKER_ROLES)}"),
        (
            len(glass.reason.strip()) >= REASON_CHARS_MIN and len(glass.reason) <= REASON_CHARS_MAX,
            f"the reason has {REASON_CHARS_MIN} to {REASON_CHARS_MAX} characters",
        ),
        (0 < len(glass.tools) <= TOOLS_MAX, f"1 to {TOOLS_MAX} tools are named"),
        (all(map(_TOOL.fullmatch, glass.tools)), "every tool is named: `*` is none"),
        (0 < len(glass.principals) <= PRINCIPALS_MAX, f"1 to {PRINCIPALS_MAX} agents are named"),
        (
            all(any(is_principal(name, kind) for kind in agents) for name in glass.principals),
            "every agent is named, such as agent:release-controller",
        ),
        (0 < minutes <= MINUTES_MAX, f"it stays open for 1 to {MINUTES_MAX} minutes"),
        (1 <= glass.uses <= USES_MAX, f"it has 1 to {USES_MAX} uses"),
    )
    return next((fault for holds, fault in checks if not holds), "")


def _check_postmortem(postmortem: Postmortem) -> None:
    if len(postmortem.document.strip()) < POSTMORTEM_CHARS_MIN:
        raise _refused(f"a post-mortem says what happened, in {POSTMORTEM_CHARS_MIN} characters or more")
    if len(postmortem.document.encode(errors="replace")) > POSTMORTEM_BYTES_MAX:
        raise _refused(f"a post-mortem has at most {POSTMORTEM_BYTES_MAX} bytes; link to what is longer")


def _refused(why: str) -> EvidenceError:
    return EvidenceError(why, code="break_glass_refused", next_step="bywire break-glass --help")
