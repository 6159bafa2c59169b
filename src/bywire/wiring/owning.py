"""A person answers for what nobody else can explain: an unexplained change, or an intent whose outcome nobody knows.

Both answers are statements signed with the person's own approver key (RULES 12, 17), given once.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from bywire.gateway.ports import IntentRow
from bywire.model.decision import Outcome, OutcomeStatus
from bywire.model.errors import ConfigError, ConflictError
from bywire.model.principal import KeyRole
from bywire.model.statement import INTENT_SETTLEMENT, RECONCILE_EXPLANATION, Statement, subject
from bywire.seal import jcs
from bywire.seal.dsse import sign_statement, verify_statement
from bywire.wiring.approving import person_key, principal_of, refuse_secrets, roles_of
from bywire.wiring.door import Joined
from bywire.wiring.reconciling import EXPLANATION_KIND, RECONCILE_OBJECT, needs_person, recorded_findings
from bywire.wiring.workspace import Workspace

SETTLEMENT_KIND = "intent-settlement"
TEXT_CHARACTERS_MAX = 2_000


class Answering(msgspec.Struct, frozen=True):
    """Who answers, and how their key is found: in the workspace, or in a file they brought."""

    person: str
    passphrase: Callable[[], bytes]
    key_file: Path | None = None

    @property
    def principal(self) -> str:
        """The person's id."""
        return principal_of(self.person)


def own(workspace: Workspace, finding_id: str, who: Answering, explanation: str) -> int:
    """Sign for a finding; returns the ledger index.

    Raises ConflictError `not_found`, `finding_owned`; ConfigError `explanation_missing`, `person_unknown`,
    `person_role`, `key_missing`; EvidenceError `signature_invalid` for a key that trust.json does not list as theirs.
    """
    _check_text(workspace, explanation)
    found = next((item for item in recorded_findings(workspace) if item.finding.id == finding_id), None)
    if found is None:
        raise ConflictError(f"there is no finding {finding_id}", code="not_found", next_step="bywire reconcile")
    if found.owner:
        raise ConflictError(
            f"{found.owner} signed for {finding_id} already: {found.explanation}",
            code="finding_owned",
            next_step="nothing: one owner is enough, and what was signed stands",
        )
    digest = jcs.digest(msgspec.to_builtins(found.finding))
    predicate = {
        "finding": finding_id,
        "finding_digest": digest,
        "owner": who.principal,
        "explanation": explanation,
        "at_ms": workspace.clock.now_ms(),
    }
    statement = Statement(
        subject=(subject(finding_id, digest),), predicateType=RECONCILE_EXPLANATION, predicate=predicate
    )
    return int(_log(workspace, EXPLANATION_KIND, finding_id, statement, who)["entries"][0])


def settle(workspace: Workspace, key: str, who: Answering, reason: str, *, happened: bool) -> Outcome:
    """Say how an intent ended that nothing but a person can settle.

    Raises ConflictError `not_found`, `in_flight`, `settled_by_recovery`, `settled_otherwise`, and as `own` does.
    """
    _check_text(workspace, reason)
    joined = Joined(workspace)
    row = _waiting(workspace, joined, key)
    document = {"intent": key, "action_digest": row.action_digest, "happened": happened, "by": who.principal}
    predicate = {**document, "reason": reason, "at_ms": workspace.clock.now_ms()}
    statement = Statement(
        subject=(subject("action", row.action_digest),), predicateType=INTENT_SETTLEMENT, predicate=predicate
    )
    # Whoever signed first is what the log holds, however close together two answers came.
    said = _log(workspace, SETTLEMENT_KIND, key, statement, who, document)
    if said["happened"] != happened:
        raise ConflictError(
            f"{said['by']} signed the opposite before", code="settled_otherwise", next_step="agree with them first"
        )
    status = OutcomeStatus.COMMITTED if happened else OutcomeStatus.FAILED
    error = None if happened else {"code": "did_not_happen", "message": reason, "next_step": "ask again with a new key"}
    outcome = Outcome(
        status=status,
        action_digest=row.action_digest,
        decision=row.decision,
        result={"settled_by": said["by"]} if happened else None,
        error=error,
    )
    return joined.door.settle(row, outcome, {"settled_by": said["by"]}, None)


def _waiting(workspace: Workspace, joined: Joined, key: str) -> IntentRow:
    """The open intent under this key, if a person is what it waits for."""
    row = next((row for row in workspace.journal.open_intents() if row.key == key), None)
    if row is None:
        raise ConflictError(
            "no open intent has this key", code="not_found", next_step="copy the key from `bywire reconcile`"
        )
    if not needs_person(joined, row):
        raise ConflictError(
            f"{row.tool} can be asked or sent again under its key, so bywire settles it itself",
            code="settled_by_recovery",
            next_step="run `bywire deliver` or `bywire rollback` again",
        )
    if row.state == "intended" and workspace.clock.now_ms() < row.deadline_ms:
        raise ConflictError(
            "its deadline has not passed: somebody may be carrying it out now",
            code="in_flight",
            next_step="wait a minute, then bywire reconcile",
        )
    return row


def _log(
    workspace: Workspace,
    kind: str,
    about: str,
    statement: Statement,
    who: Answering,
    result: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Sign, verify as any reader would, and log once; returns what was logged first, with its `entries`."""
    known = [person.id for person in workspace.operator.people]
    if who.principal not in known:
        raise ConfigError(
            f"operator.yaml lists no {who.principal}",
            code="person_unknown",
            next_step=f"use one of: {', '.join(known)}",
        )
    if not roles_of(workspace.operator, who.principal):
        raise ConfigError(
            f"{who.principal} holds no role in operator.yaml",
            code="person_role",
            next_step="somebody with a role answers, or the operator gives them one",
        )
    key = person_key(workspace, who.principal, who.passphrase, who.key_file)
    envelope = sign_statement(statement, key)
    verify_statement(envelope, workspace.trust.keys_for(KeyRole.APPROVER, principal=who.principal))
    return workspace.deliveries.deliver(
        f"{kind}:{about}",
        RECONCILE_OBJECT,
        ((kind, envelope, key.key_id),),
        result or {"by": who.principal},
        workspace.clock.now_ms(),
    )


def _check_text(workspace: Workspace, text: str) -> None:
    if not text.strip() or len(text) > TEXT_CHARACTERS_MAX:
        raise ConfigError(
            f"say what happened, in at most {TEXT_CHARACTERS_MAX} characters",
            code="explanation_missing",
            next_step='for example: "moved by hand during the outage of 12 May"',
        )
    refuse_secrets(workspace, text)
