"""Compares the target and the protected branch with the ledger, and records each unexplained change once (RULES 17).

The target is read before the journal: an intent is durable before its effect, so whatever the target shows by then has
its intent, and a delivery under way is no finding.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from bywire.adapters.sqlite_deliveries import StatementRow
from bywire.adapters.sqlite_reconciling import IntentSketch, SqliteReconciling
from bywire.adapters.sqlite_restoring import reconciled, reconciliation_owed
from bywire.audit.coverage import Comparison, Coverage, Finding, Mediated, compare
from bywire.delivery.state import Phase
from bywire.evidence import vsa
from bywire.evidence.verification import believe
from bywire.gateway.contract import Idempotency
from bywire.gateway.ports import IntentRow
from bywire.ledger.entry import parse_leaf
from bywire.model.errors import EvidenceError, LedgerError, TargetError
from bywire.model.principal import KeyRole
from bywire.model.statement import RECONCILE_EXPLANATION, RECONCILE_FINDING, VSA, Statement, subject
from bywire.model.target_change import Serving, TargetChange
from bywire.seal import jcs
from bywire.seal.digest import sha256_hex
from bywire.seal.dsse import sign_statement, unverified_statement, verify_statement
from bywire.wiring.delivering import deliveries
from bywire.wiring.door import CATALOGUE, Joined
from bywire.wiring.workspace import Workspace

RECONCILE_OBJECT = "reconcile"
FINDING_KIND, EXPLANATION_KIND = "reconcile-finding", "reconcile-explanation"
COMMITS_SHOWN = 20
DELIVERED_MAX = 200
_LOOKS = 5
_RENEWS = "renew_canary_lease"


class Recorded(msgspec.Struct, frozen=True):
    """A finding of the ledger. `owner` is the person who signed for it, or empty: then it is open."""

    finding: Finding
    entry: int
    at_ms: int
    owner: str = ""
    explanation: str = ""
    owned_entry: int = -1


class _Explanation(msgspec.Struct, frozen=True):
    finding_digest: str
    owner: str
    explanation: str


class OpenIntent(msgspec.Struct, frozen=True):
    """An intent without a known outcome. `target` says what the target knows of it: did, refused, nothing, silent."""

    key: str
    tool: str
    state: str
    at_ms: int
    target: str
    needs_person: bool
    next_step: str


class Outside(msgspec.Struct, frozen=True):
    """Commits on the protected branch that no delivery carried, newest first; `delivered` is the last one that was."""

    branch: str
    tip: str
    delivered: str
    commits: tuple[dict[str, str], ...]
    more: bool


class Report(msgspec.Struct, frozen=True):
    """What reconciling found: findings oldest first, those this run recorded, and what else is open.

    `advised` counts the answers that were given as advice alone: what became of those, bywire does not know (RULES 10).
    """

    findings: tuple[Recorded, ...]
    new: tuple[str, ...]
    coverage: Coverage
    open_intents: tuple[OpenIntent, ...]
    outside: Outside | None
    advised: int = 0

    @property
    def unexplained(self) -> tuple[Recorded, ...]:
        """Findings that nobody signed for yet."""
        return tuple(item for item in self.findings if not item.owner)

    @property
    def settled(self) -> bool:
        """Whether nothing waits for a person."""
        return not self.unexplained and not any(intent.needs_person for intent in self.open_intents)


def look(workspace: Workspace) -> Comparison:
    """Compare, and change nothing. Raises TargetError `target_unreachable` when a target that ran does not answer."""
    serving, history = _target(workspace)
    reading = SqliteReconciling(workspace.reader)
    intents = [_mediated(sketch) for sketch in reading.intents(_target_tools())]
    served = frozenset({serving.stable, serving.canary, *serving.others} - {""})
    known = frozenset(str(intent.parameters.get("artifact", "")) for intent in intents)
    return compare(
        serving,
        history,
        intents,
        known=known,
        gated=_gated(workspace, reading, served),
        epoch=workspace.state.current_epoch(),
    )


def reconcile(workspace: Workspace) -> Report:
    """Compare, record what is new, and report everything that is open. LedgerError `finding_suppressed`."""
    compared = look(workspace)
    before = {item.finding.id for item in recorded_findings(workspace)}
    new = tuple(finding for finding in compared.findings if finding.id not in before)
    for finding in new:
        _record(workspace, finding)
    findings = recorded_findings(workspace)
    lost = {finding.id for finding in compared.findings} - {item.finding.id for item in findings}
    if lost:
        raise LedgerError(
            f"the database says that {', '.join(sorted(lost))} was recorded, and the log holds nothing of it",
            code="finding_suppressed",
            next_step="somebody changed bywire.db: keep a copy of it, then bywire audit verify",
        )
    if reconciliation_owed(workspace.reader) is not None:
        workspace.writer.run(reconciled, reducing=True)
    return Report(
        findings=findings,
        new=tuple(finding.id for finding in new),
        coverage=compared.coverage,
        open_intents=open_intents(workspace),
        outside=_outside(workspace),
        advised=SqliteReconciling(workspace.reader).advised(),
    )


def recorded_findings(workspace: Workspace) -> tuple[Recorded, ...]:
    """Every finding of the ledger, oldest first, with who signed for it. What does not verify explains nothing."""
    rows = workspace.deliveries.statements(RECONCILE_OBJECT)
    explained = [one for row in rows if row.kind == EXPLANATION_KIND for one in _explained(workspace, row)]
    by_finding = {said.finding_digest: (said.owner, said.explanation, entry) for said, entry in explained}
    found = []
    for row in rows:
        finding = _finding(workspace, row) if row.kind == FINDING_KIND else None
        if finding is not None:
            answer = by_finding.get(jcs.digest(msgspec.to_builtins(finding)), ("", "", -1))
            found.append(Recorded(finding, row.entry, row.at_ms, *answer))
    return tuple(found)


def open_intents(workspace: Workspace) -> tuple[OpenIntent, ...]:
    """Intents that a crash left open, oldest first, each with what to do about it."""
    rows = workspace.journal.open_intents()
    joined = Joined(workspace) if rows else None
    return tuple(_open_intent(workspace, joined, row) for row in rows if joined is not None)


def needs_person(joined: Joined, row: IntentRow) -> bool:
    """Whether recovery can never settle this intent.

    It is its caller's to carry out, nobody may ask or send it again, or its parameters are gone.
    """
    contract = joined.catalogue.find(row.tool)
    if (
        not row.mediated
        or contract is None
        or contract.idempotency is Idempotency.NONE
        or contract.executor not in joined.executors
    ):
        return True
    try:
        return joined.door.raw_parameters(row) is None
    except EvidenceError:
        return True


def _target(workspace: Workspace) -> tuple[Serving, tuple[TargetChange, ...]]:
    """What serves now, and the changes that led there: read until the two belong together."""
    if not workspace.target.was_started():
        return Serving(), ()
    history: list[TargetChange] = []
    status: Mapping[str, Any] = {}
    for _ in range(_LOOKS):
        history = workspace.target.history() or []
        status = workspace.target.status()
        if not history or history[-1].version == status["version"]:
            break
    return _serving(status), tuple(history)


def _serving(status: Mapping[str, Any]) -> Serving:
    stable, canary = status.get("stable") or {}, status.get("canary") or {}
    return Serving(
        version=status["version"],
        epoch=status["epoch"],
        stable=stable.get("digest", ""),
        canary=canary.get("digest", ""),
        weight=float(canary.get("weight", 0)),
        others=tuple(item["digest"] for item in status["superseded"]),
    )


def _target_tools() -> tuple[str, ...]:
    """Tools that give the target a new version; a lease's renewal does not."""
    contracts = [CATALOGUE.find(name) for name in CATALOGUE.names()]
    return tuple(
        contract.name
        for contract in contracts
        if contract is not None and contract.executor == "target" and not contract.read and contract.name != _RENEWS
    )


def _mediated(sketch: IntentSketch) -> Mediated:
    version = sketch.result.get("version")
    return Mediated(
        key=sketch.key,
        target_key=sha256_hex(sketch.key.encode()),
        tool=sketch.tool,
        state=sketch.state,
        before=sketch.before,
        version=version if isinstance(version, int) else 0,
        parameters=sketch.parameters,
    )


def _gated(workspace: Workspace, reading: SqliteReconciling, digests: frozenset[str]) -> frozenset[str]:
    """Those of `digests` with a verified summary that passed."""
    found: set[str] = set()
    for sealed in reading.summaries() if digests else ():
        if found >= digests:
            break
        try:
            believed = believe(sealed, workspace.trust)
            passed = believed.statement.predicateType == VSA and vsa.parse(believed.statement.predicate).passed
        except EvidenceError:
            continue  # a summary that does not verify gates nothing; `audit verify` names it
        found |= {digest for digest in digests if passed and believed.is_about(digest)}
    return frozenset(found)


def _record(workspace: Workspace, finding: Finding) -> None:
    predicate = msgspec.to_builtins(finding)
    statement = Statement(
        subject=(subject(finding.id, jcs.digest(predicate)),), predicateType=RECONCILE_FINDING, predicate=predicate
    )
    envelope = sign_statement(statement, workspace.log_key)
    workspace.deliveries.deliver(
        f"{FINDING_KIND}:{finding.id}",
        RECONCILE_OBJECT,
        ((FINDING_KIND, envelope, workspace.log_key.key_id),),
        predicate,
        workspace.clock.now_ms(),
    )


def _logged(workspace: Workspace, row: StatementRow) -> bytes | None:
    """The envelope of a row, when the log itself holds it at that index: keys are believed by index."""
    leaf = workspace.ledger.leaf(row.entry)
    logged = leaf is not None and parse_leaf(leaf).statement == row.digest
    return workspace.deliveries.envelope(row.digest) if logged else None


def _finding(workspace: Workspace, row: StatementRow) -> Finding | None:
    """The finding that the log's own key signed at that index; None for every other text."""
    try:
        keys = workspace.trust.keys_for(KeyRole.LOG, index=row.entry)
        statement = verify_statement(_logged(workspace, row) or b"", keys).statement
    except EvidenceError:
        return None
    return msgspec.convert(statement.predicate, Finding) if statement.predicateType == RECONCILE_FINDING else None


def _explained(workspace: Workspace, row: StatementRow) -> Iterator[tuple[_Explanation, int]]:
    """What a person says of a finding, and at which index, when their own key signed it there."""
    envelope = _logged(workspace, row) or b""
    try:
        owner = str(unverified_statement(envelope).predicate.get("owner"))
        keys = workspace.trust.keys_for(KeyRole.APPROVER, principal=owner, index=row.entry)
        statement = verify_statement(envelope, keys).statement
        if statement.predicateType == RECONCILE_EXPLANATION:
            yield msgspec.convert(statement.predicate, _Explanation), row.entry
    except (EvidenceError, msgspec.ValidationError):
        return  # it explains nothing


def _open_intent(workspace: Workspace, joined: Joined, row: IntentRow) -> OpenIntent:
    person = needs_person(joined, row)
    contract = joined.catalogue.find(row.tool)
    if not row.mediated and workspace.clock.now_ms() < row.deadline_ms:
        advice = f"{row.principal} carries it out and reports; nothing yet"
    elif person:
        advice = (
            f"find out whether it happened, then: bywire reconcile settle '{row.key}' --as PERSON --happened yes|no"
        )
    elif row.state == "intended" and workspace.clock.now_ms() < row.deadline_ms:
        advice = "nothing yet: its deadline has not passed"
    elif row.change:
        advice = "run its `bywire deliver` again, which settles it first: bywire status"
    else:
        advice = "bywire rollback, or the next bywire deliver, settles it first"
    return OpenIntent(
        key=row.key,
        tool=row.tool,
        state=row.state,
        at_ms=row.at_ms,
        target=_told(workspace, row) if contract is not None and contract.executor == "target" else "silent",
        needs_person=person,
        next_step=advice,
    )


def _told(workspace: Workspace, row: IntentRow) -> str:
    if not workspace.target.was_started():
        return "nothing"
    try:
        record = workspace.target.query(sha256_hex(row.key.encode()))
    except TargetError:
        return "silent"
    if record is None or not record["done"]:
        return "nothing"
    return "refused" if record["error"] else "did"


def _outside(workspace: Workspace) -> Outside | None:
    """What came to the protected branch by another way than a delivery; None before the first one, or when it is none.

    A commit whose tree was delivered under another name (a merge of what was delivered) counts as carried.
    """
    branch, repository = workspace.operator.base_branch, workspace.repository
    done = [one for one in deliveries(workspace) if one.phase is Phase.SUCCESSFUL and not one.dry_run]
    heads = tuple(dict.fromkeys(one.head_commit for one in reversed(done)))[:DELIVERED_MAX]
    if not heads:
        return None
    tip = repository.resolve(branch)
    carried = {repository.tree(head) for head in heads}
    beyond = [
        commit for commit in repository.commits_beyond(tip, heads, COMMITS_SHOWN + 1) if commit.tree not in carried
    ]
    if not beyond:
        return None
    commits = tuple({"commit": one.id, "author": one.author, "says": one.says} for one in beyond[:COMMITS_SHOWN])
    return Outside(branch, tip, heads[0], commits, more=len(beyond) > COMMITS_SHOWN)
