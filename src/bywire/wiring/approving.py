"""A person's verdict on a packet: their key, their role, verified as any stranger would before it is stored."""

from collections.abc import Callable
from pathlib import Path

from bywire.adapters.key_files import read_key_file
from bywire.adapters.sqlite_approvals import ApprovalRow
from bywire.approvals.grant import verify_approval
from bywire.approvals.packet import sign_verdict
from bywire.model.errors import ConfigError, EvidenceError
from bywire.model.operator import OperatorConfig
from bywire.model.principal import KeyRole
from bywire.seal.keys import SigningKey
from bywire.wiring.workspace import Workspace


def decide_approval(
    workspace: Workspace,
    row: ApprovalRow,
    person: str,
    role: str,
    reason: str,
    verdict: str,
    passphrase: Callable[[], bytes],
    key_file: Path | None = None,
) -> int:
    """Sign and store; returns the ledger index.

    Raises ConfigError `key_missing`, EvidenceError `approval_role`, ConflictError `approval_settled`.
    """
    principal = person if person.startswith("person:") else f"person:{person}"
    chosen = role or _role(workspace.operator, principal, row.packet.approver_roles)
    key = _key(workspace, principal, passphrase, key_file)
    now_ms = workspace.clock.now_ms()
    envelope = sign_verdict(row.packet, verdict, principal, chosen, reason, now_ms, key)
    grant = verify_approval(envelope, workspace.trust)
    return workspace.approvals.settle(grant, envelope, now_ms)


def _key(workspace: Workspace, principal: str, passphrase: Callable[[], bytes], key_file: Path | None) -> SigningKey:
    """The person's key: from a file they brought, or from this workspace."""
    if key_file is not None:
        return read_key_file(key_file, passphrase)
    if not workspace.keys.exists(KeyRole.APPROVER, principal):
        raise ConfigError(
            f"{principal} has no approver key in this workspace",
            code="key_missing",
            next_step="name the file it is in: --key FILE",
        )
    return workspace.keys.load(KeyRole.APPROVER, principal, passphrase)


def _role(operator: OperatorConfig, principal: str, wanted: tuple[str, ...]) -> str:
    held = next((person.roles for person in operator.people if person.id == principal), ())
    fitting = [role for role in held if not wanted or role in wanted]
    if not fitting:
        raise EvidenceError(
            f"{principal} holds none of the roles that may approve this: {', '.join(wanted) or 'none listed'}",
            code="approval_role",
            next_step="ask a person who holds one; roles are listed in operator.yaml under people",
        )
    return fitting[0]
