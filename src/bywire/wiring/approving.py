"""A person's word on a packet: their key, their role, verified as any stranger would before it is stored.

Also what there is to know about a request while it waits: who agreed, who may still answer, when the next change window
opens, who is to be reminded.
"""

from collections.abc import Callable
from pathlib import Path

import msgspec

from bywire.adapters.key_files import read_key_file
from bywire.adapters.sqlite_approvals import ApprovalRow
from bywire.approvals import windows
from bywire.approvals.candidate import verify_approvals
from bywire.approvals.grant import Approval, verify_approval
from bywire.approvals.packet import sign_verdict
from bywire.approvals.reminders import Reminder, due, is_escalated
from bywire.approvals.revocation import Revocation, may_revoke, sign_revocation, verify_revocation
from bywire.gateway.redaction import Redactor
from bywire.model.errors import ConfigError, ConflictError, EvidenceError
from bywire.model.operator import OperatorConfig
from bywire.model.principal import KeyRole
from bywire.seal.keys import Signer
from bywire.wiring.workspace import Workspace

SCHEDULED = "scheduled"


class Progress(msgspec.Struct, frozen=True):
    """How a request stands. Times in ms since the epoch.

    `agreed` are the approvals that verify, of distinct persons; `counted` of them are in a role that counts.
    `may_answer` are the persons who hold such a role and have not answered. `opens_ms` is when the next change window
    opens: only for a scheduled gate, None when no window is configured.
    """

    agreed: tuple[Approval, ...]
    counted: int
    denied_by: str
    reason: str
    may_answer: tuple[str, ...]
    scheduled: bool
    opens_ms: int | None
    escalated_to: tuple[str, ...]
    revocation: Revocation | None


class Reminded(msgspec.Struct, frozen=True):
    """A reminder that is due: who should answer, and its ledger index (None when it was recorded before)."""

    reminder: Reminder
    persons: tuple[str, ...]
    entry: int | None


def principal_of(person: str) -> str:
    """`alice` and `person:alice` are the same person."""
    return person if person.startswith("person:") else f"person:{person}"


def roles_of(operator: OperatorConfig, principal: str) -> tuple[str, ...]:
    """The roles that the operator says a person holds."""
    return next((person.roles for person in operator.people if person.id == principal), ())


def refuse_secrets(workspace: Workspace, text: str) -> None:
    """What is signed is kept for ever, so it may hold no secret (RULES 5). Raises EvidenceError `secret_found`."""
    if Redactor(workspace.workspace_key).holds_secret(text):
        raise EvidenceError(
            "the text looks as if it held a secret", code="secret_found", next_step="say where it lies, not what it is"
        )


def person_key(
    workspace: Workspace, principal: str, passphrase: Callable[[], bytes], key_file: Path | None = None
) -> Signer:
    """The person's key: from a file they brought, or from this workspace. ConfigError `key_missing`."""
    if key_file is not None:
        return read_key_file(key_file, passphrase)
    if not workspace.keys.exists(KeyRole.APPROVER, principal):
        raise ConfigError(
            f"{principal} has no approver key in this workspace",
            code="key_missing",
            next_step="name the file it is in: --key FILE",
        )
    return workspace.keys.load(KeyRole.APPROVER, principal, passphrase)


def decide_approval(
    workspace: Workspace,
    row: ApprovalRow,
    person: str,
    role: str,
    reason: str,
    verdict: str,
    sign_with: Callable[[str], Signer],
) -> int:
    """Sign and store; returns the ledger index. `sign_with` gives the key of a principal.

    Raises ConfigError `key_missing`, EvidenceError `approval_role`, ConflictError `approval_settled`.
    """
    principal = principal_of(person)
    chosen = role or _role(workspace.operator, principal, row.packet.roles)
    key = sign_with(principal)
    return record_verdict(
        workspace,
        sign_verdict(row.packet, verdict, principal, chosen, reason, workspace.clock.now_ms(), key),
    )


def record_verdict(workspace: Workspace, envelope: bytes) -> int:
    """Verify and store a signed verdict, by a person's key or by a channel that says what they said.

    The role that it claims must be one that the operator says its person holds, and that counts for this packet: the
    policy would not count another, and the person would believe they had agreed.
    """
    verdict = verify_approval(envelope, workspace.trust)
    refuse_secrets(workspace, verdict.reason)
    held, wanted = roles_of(workspace.operator, verdict.approver), verdict.packet.roles
    if verdict.approval.role not in held or (wanted and verdict.approval.role not in wanted):
        raise _role_missing(verdict.approver, wanted)
    return workspace.approvals.settle(verdict, envelope, workspace.clock.now_ms())


def revoke_approval(
    workspace: Workspace, row: ApprovalRow, person: str, reason: str, sign_with: Callable[[str], Signer]
) -> int:
    """Take an approval back: by one of those who gave it, or by who is in command; returns the ledger index.

    Raises ConfigError `key_missing`, EvidenceError `approval_role`, ConflictError `approval_settled`.
    """
    principal = principal_of(person)
    grant = verify_approvals(row.candidate, workspace.trust)
    gave = tuple(approval.approver for approval in grant.approvals) if grant else ()
    if not may_revoke(principal, roles_of(workspace.operator, principal), gave):
        raise EvidenceError(
            f"{principal} neither approved {row.packet.id} nor is incident commander or security",
            code="approval_role",
            next_step="ask one of its approvers, or stop it: bywire stop --reason TEXT",
        )
    refuse_secrets(workspace, reason)
    now_ms = workspace.clock.now_ms()
    envelope = sign_revocation(row.packet, principal, reason, now_ms, sign_with(principal))
    return workspace.approvals.revoke(verify_revocation(envelope, row.packet, workspace.trust), envelope, now_ms)


def progress(workspace: Workspace, row: ApprovalRow, now_ms: int) -> Progress:
    """How a request stands now, from what verifies."""
    operator, packet = workspace.operator, row.packet
    grant = verify_approvals(row.candidate, workspace.trust)
    agreed = grant.approvals if grant else ()
    denied = grant is not None and grant.verdict == "denied"
    answered = {approval.approver for approval in agreed}
    waits = row.candidate.waiting and now_ms < packet.expires_at_ms
    escalated = operator.reminders.escalate_to if waits and is_escalated(packet, operator.reminders, now_ms) else ()
    counting = [approval for approval in agreed if not packet.roles or approval.role in packet.roles]
    return Progress(
        agreed=agreed,
        counted=len(counting),
        denied_by=grant.approver if grant and denied else "",
        reason=grant.reason if grant and denied else "",
        may_answer=_who(operator, packet.roles, answered) if waits else (),
        scheduled=packet.gate == SCHEDULED,
        opens_ms=windows.next_opening_ms(operator.change_windows, now_ms) if packet.gate == SCHEDULED else None,
        escalated_to=escalated,
        revocation=_revocation(workspace, row),
    )


def remind(workspace: Workspace) -> tuple[Reminded, ...]:
    """Record every reminder that is due, each once over all processes, and say whose turn it is.

    Call it as often as you like, for example each time around while waiting for an approval. It reaches nobody by
    itself: it records and returns what a person or a channel is to be told.
    """
    now_ms = workspace.clock.now_ms()
    found = []
    for row in workspace.approvals.rows():
        if not row.candidate.waiting:
            continue
        for reminder in due(row.packet, workspace.operator.reminders, now_ms, row.reminded):
            document = {**msgspec.to_builtins(reminder), "packet_digest": row.packet.digest, "at_ms": now_ms}
            entry = workspace.approvals.remind(row.packet, reminder.name, document, now_ms)
            grant = verify_approvals(row.candidate, workspace.trust)
            answered = {approval.approver for approval in grant.approvals} if grant else set()
            found.append(Reminded(reminder, _who(workspace.operator, reminder.roles, answered), entry))
    return tuple(found)


def _who(operator: OperatorConfig, roles: tuple[str, ...], answered: set[str]) -> tuple[str, ...]:
    """The persons who hold one of the roles and have not answered; never who owns the agents (RULES 19)."""
    return tuple(
        person.id
        for person in operator.people
        if person.id not in answered
        and person.id != operator.agents_owner
        and (set(person.roles) & set(roles) if roles else person.roles)
    )


def _revocation(workspace: Workspace, row: ApprovalRow) -> Revocation | None:
    if row.revocation is None:
        return None
    try:
        return verify_revocation(row.revocation, row.packet, workspace.trust)
    except EvidenceError:
        # The row says revoked all the same: what no longer verifies is not told as somebody's word.
        return None


def _role(operator: OperatorConfig, principal: str, wanted: tuple[str, ...]) -> str:
    fitting = [role for role in roles_of(operator, principal) if not wanted or role in wanted]
    if not fitting:
        raise _role_missing(principal, wanted)
    return fitting[0]


def _role_missing(principal: str, wanted: tuple[str, ...]) -> EvidenceError:
    return EvidenceError(
        f"{principal} holds no such role, or none that counts here: {', '.join(wanted) or 'none listed'}",
        code="approval_role",
        next_step="ask a person who holds one; roles are listed in operator.yaml under people",
    )


def found_row(row: ApprovalRow | None, approval_id: str) -> ApprovalRow:
    """The row, or ConflictError `not_found`."""
    if row is None:
        raise ConflictError(f"there is no approval {approval_id}", code="not_found", next_step="bywire approvals list")
    return row
