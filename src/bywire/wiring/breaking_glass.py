"""Breaking glass in a workspace: opened by a named person, used by the door, closed, and answered for.

Whatever is used is verified again with the trust root and the operator's list of people at that moment; a row in the
database permits nothing. Hard rules hold behind broken glass too: which rules it lifts is the policy's to say.
"""

from typing import Any

import msgspec

from bywire.adapters.sqlite_break_glass import BreakGlassRow, SqliteBreakGlass, postmortem_missing
from bywire.approvals.break_glass import (
    BREAKER_ROLES,
    MINUTE_MS,
    BreakGlass,
    Postmortem,
    check_break_glass,
    sign_break_glass,
    sign_postmortem,
    verify_break_glass,
    verify_postmortem,
)
from bywire.identity.trust import TrustRoot
from bywire.model.errors import ConflictError, EvidenceError
from bywire.model.operator import OperatorConfig
from bywire.seal.keys import Signer
from bywire.wiring.approving import refuse_secrets, roles_of
from bywire.wiring.workspace import Workspace


class Broken(msgspec.Struct, frozen=True):
    """One broken glass as `list`, `status` and `doctor` show it.

    `state` is open, used up, expired, closed or unverified (its statement no longer verifies); `owes_postmortem` keeps
    its person from breaking glass again. `glass` is None when nothing about it can be believed.
    """

    id: str
    person: str
    state: str
    uses_left: int
    left_seconds: int
    owes_postmortem: bool
    entry: int
    glass: BreakGlass | None


def open_break_glass(
    workspace: Workspace,
    person: str,
    reason: str,
    *,
    tools: tuple[str, ...],
    principals: tuple[str, ...],
    minutes: int,
    uses: int,
    key: Signer,
) -> tuple[BreakGlass, int]:
    """Open, sign, store; returns what was opened and its ledger index.

    Raises EvidenceError `break_glass_refused`, `secret_found`, `signature_invalid`; ConflictError `postmortem_missing`.
    """
    operator, now_ms = workspace.operator, workspace.clock.now_ms()
    role = next((role for role in roles_of(operator, person) if role in BREAKER_ROLES), "")
    glass = BreakGlass(
        person=person,
        role=role,
        reason=reason,
        tools=tuple(sorted(set(tools))),
        principals=tuple(sorted(set(principals))),
        service=operator.service,
        environment=operator.environment,
        uses=uses,
        opened_at_ms=now_ms,
        expires_at_ms=now_ms + minutes * MINUTE_MS,
    )
    check_break_glass(glass)
    unknown = [name for name in glass.principals if workspace.trust.principal(name) is None]
    if unknown:
        raise EvidenceError(
            f"nobody knows {unknown[0]}", code="break_glass_refused", next_step="name an agent that has a key here"
        )
    refuse_secrets(workspace, reason)
    owed = next((row for row in workspace.break_glass.by(person) if not _is_settled(row, workspace.trust)), None)
    if owed is not None:
        raise postmortem_missing(owed.id, person)
    envelope = sign_break_glass(glass, key)
    verified, key_id = verify_break_glass(envelope, workspace.trust)
    return verified, workspace.break_glass.open(verified, envelope, key_id, now_ms)


def close_break_glass(workspace: Workspace, glass_id: str, by: str) -> int:
    """End one at once; anybody may. Returns the ledger index."""
    return workspace.break_glass.close(glass_id, by, workspace.clock.now_ms())


def write_postmortem(workspace: Workspace, glass_id: str, person: str, document: str, key: Signer) -> int:
    """Sign and store the post-mortem of a glass that is no longer open; returns the ledger index.

    Raises EvidenceError `break_glass_refused`, `secret_found`; ConflictError `not_found`, `break_glass_open`,
    `break_glass_settled`.
    """
    row = workspace.break_glass.row(glass_id)
    if row is None:
        raise ConflictError(f"there is no {glass_id}", code="not_found", next_step="bywire break-glass list")
    glass, _ = verify_break_glass(row.envelope, workspace.trust, row.entry)
    refuse_secrets(workspace, document)
    now_ms = workspace.clock.now_ms()
    envelope = sign_postmortem(Postmortem(glass_id, person, document, now_ms), key)
    _, key_id = verify_postmortem(envelope, glass, workspace.trust)
    return workspace.break_glass.settle(glass, envelope, key_id, now_ms)


def active_break_glass(
    store: SqliteBreakGlass, trust: TrustRoot, operator: OperatorConfig, principal: str, now_ms: int, tool: str = ""
) -> dict[str, Any] | None:
    """The newest broken glass that covers `principal` (and `tool`, when named), as the policy input carries it.

    Every statement is verified anew with keys that are valid now, for this service and environment, and its person must
    still hold a role that may break glass. None when there is none.
    """
    for row in store.usable(now_ms):
        try:
            glass, _ = verify_break_glass(row.envelope, trust)
        except EvidenceError:
            continue
        roles = roles_of(operator, glass.person)
        here = (glass.service, glass.environment) == (operator.service, operator.environment)
        covers = principal in glass.principals and (not tool or tool in glass.tools)
        in_time = glass.opened_at_ms <= now_ms < glass.expires_at_ms
        if row.id == glass.id and here and covers and in_time and set(roles) & set(BREAKER_ROLES):
            others = (other for other in store.by(glass.person) if other.id != row.id)
            return {
                "id": glass.id,
                "person": glass.person,
                "roles": list(roles),
                "tools": list(glass.tools),
                "principals": list(glass.principals),
                "expires_at_ms": glass.expires_at_ms,
                "uses_left": min(row.uses_left, glass.uses),
                "signature_verified": True,
                "open_postmortem": not all(_is_settled(other, trust) for other in others),
            }
    return None


def broken_glass(workspace: Workspace) -> tuple[Broken, ...]:
    """Every broken glass, newest first, with what verifies of it."""
    now_ms = workspace.clock.now_ms()
    return tuple(_broken(row, workspace.trust, now_ms) for row in workspace.break_glass.rows())


def unsettled_glass(workspace: Workspace) -> tuple[Broken, ...]:
    """Those that are open, or that somebody still owes a post-mortem for: what `status` and `doctor` should name."""
    return tuple(broken for broken in broken_glass(workspace) if broken.state == "open" or broken.owes_postmortem)


def _broken(row: BreakGlassRow, trust: TrustRoot, now_ms: int) -> Broken:
    try:
        glass, _ = verify_break_glass(row.envelope, trust, row.entry)
    except EvidenceError:
        glass = None
    ended = "closed" if row.closed_ms is not None else "used up" if not row.uses_left else "expired"
    state = "open" if row.is_open(now_ms) else ended
    return Broken(
        id=row.id,
        person=glass.person if glass else row.person,
        state=state if glass is not None and glass.id == row.id else "unverified",
        uses_left=row.uses_left,
        left_seconds=max(0, (row.expires_ms - now_ms) // 1_000) if state == "open" else 0,
        owes_postmortem=not _is_settled(row, trust),
        entry=row.entry,
        glass=glass,
    )


def _is_settled(row: BreakGlassRow, trust: TrustRoot) -> bool:
    """Whether a post-mortem of this very glass verifies, with the keys of the time when it was logged."""
    if row.postmortem is None:
        return False
    try:
        glass, _ = verify_break_glass(row.envelope, trust, row.entry)
        verify_postmortem(row.postmortem, glass, trust, row.postmortem_entry)
    except EvidenceError:
        return False
    return glass.id == row.id
