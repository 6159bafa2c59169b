"""The production readiness checklist, item by item, each answered by trying it on this workspace.

No answer rests on what a document promises: tools are iterated, the policy in force is asked, the redactor is given
secrets, a stop is rehearsed in a transaction that is undone. `partly` says what is missing.
"""

from collections.abc import Callable, Iterator, Sequence
from enum import StrEnum
from typing import Any

import msgspec

from bywire.adapters.sqlite_envelope_state import is_stopped
from bywire.adapters.sqlite_reconciling import SqliteReconciling
from bywire.adapters.sqlite_writer import Transaction
from bywire.approvals.packet import BINDING_FIELDS, Packet
from bywire.gateway.contract import Contract, Idempotency
from bywire.gateway.deciding import ENTRYPOINT
from bywire.gateway.egress_contracts import EGRESS
from bywire.gateway.redaction import Redactor
from bywire.ledger.entry import parse_leaf
from bywire.model.decision import Decision, Effect
from bywire.model.errors import BywireError
from bywire.seal.dsse import unverified_statement
from bywire.wiring.door import CATALOGUE
from bywire.wiring.inventory import EntryPoint, Through
from bywire.wiring.workspace import Workspace

ENTRIES_LOOKED_AT = 200
BLOB_BYTES_LOOKED_AT = 262_144
SHOWN_MAX = 5


class Answer(StrEnum):
    """What was found when the item was tried."""

    YES = "yes"
    PARTLY = "partly"
    NO = "no"


class Readiness(msgspec.Struct, frozen=True):
    """One item of a checklist, answered: why, and what would make it yes."""

    item: str
    answer: Answer
    why: str
    fix: str = ""


Told = tuple[Answer, str, str]


def readiness(workspace: Workspace, entries: Sequence[EntryPoint]) -> tuple[Readiness, ...]:
    """The thirteen items, in the checklist's order. Changes nothing."""
    return (
        answered("every tool has a read or write classification", lambda: _classified(workspace)),
        answered("every production write needs a policy decision", lambda: _decided(workspace)),
        answered("approvals are scoped to the exact action and evidence", _scoped),
        answered("logs are redacted before a model sees them", lambda: _redacted(workspace)),
        answered("secrets are never persisted to memory or traces", lambda: _persisted(workspace)),
        answered("CI reruns have a rate limit and idempotency", lambda: _reruns(workspace)),
        answered("deployment actions support a dry run", lambda: _dry_run(workspace)),
        answered("rollback readiness is checked explicitly", lambda: _rollback(workspace)),
        answered("GitOps and platform approvals are not bypassed", lambda: _platform(workspace, entries)),
        answered("agent traces record tool calls and policy results", lambda: _traced(workspace)),
        answered("incident outputs distinguish fact, inference and unknown", _incidents),
        answered("evaluations include prompt injection and unsafe rollback", lambda: _evaluated(workspace)),
        answered("human override and kill switch exist", lambda: _stoppable(workspace)),
    )


def answered(item: str, ask: Callable[[], Told]) -> Readiness:
    """One item; what cannot be tried is a no."""
    try:
        return Readiness(item, *ask())
    except BywireError as error:
        return Readiness(item, Answer.NO, error.message, error.next_step)


def contracts() -> Iterator[Contract]:
    """Every tool that exists here."""
    found = (CATALOGUE.find(name) for name in CATALOGUE.names())
    yield from (contract for contract in found if contract is not None)


def ask_policy(workspace: Workspace, contract: Contract, **action: Any) -> Decision:
    """What the policy in force says to a call about which nothing is known but its tool."""
    known = {"tool": contract.name, "category": contract.category, "environment": "production", **action}
    return workspace.engine().decide(ENTRYPOINT, {"version": 1, "action": known})


def _classified(workspace: Workspace) -> Told:
    tables = workspace.bundle().tables
    rows, categories = tables["capabilities"], tables["categories"]
    wrong = [
        contract.name
        for contract in contracts()
        if contract.read != (contract.category in {"read", EGRESS})
        or contract.category not in categories
        or rows.get(contract.name, {}).get("category") != contract.category
    ]
    if wrong:
        fix = "give each a row in the policy's capability table with the category of its contract"
        return Answer.NO, f"the policy and the contracts disagree about {_some(wrong)}", fix
    reads = sum(contract.read for contract in contracts())
    count = len(CATALOGUE.names())
    return Answer.YES, f"{count} tools: {reads} read, {count - reads} write; the policy lists each the same way", ""


def _decided(workspace: Workspace) -> Told:
    writes = [contract for contract in contracts() if not contract.read]
    passed = [contract.name for contract in writes if ask_policy(workspace, contract).effect is Effect.ALLOW]
    if passed:
        fix = "restore the default deny in the policy: bywire doctor names the bundle"
        return Answer.NO, f"the policy allows {_some(passed)} when it is told nothing about them", fix
    why = f"asked about each of {len(writes)} write tools with nothing known about it, the policy allowed none"
    return Answer.YES, why, ""


def _scoped() -> Told:
    packet = _sample_packet()
    fields = (*BINDING_FIELDS, "action", "evidence", "target", "expires_at_ms")
    loose = [
        name
        for name in fields
        if msgspec.structs.replace(packet, **{name: _changed(getattr(packet, name))}).digest == packet.digest
    ]
    if loose:
        return Answer.NO, f"what a person signs does not change with {_some(loose)}", "report this: it is a defect"
    why = f"what a person signs changed with each of {len(fields)} fields, the action and its evidence among them"
    return Answer.YES, why, ""


def _redacted(workspace: Workspace) -> Told:
    redactor = Redactor(workspace.workspace_key)
    planted = _planted()
    left = [kind for kind, secret in planted.items() if secret in redactor.display(f"step 3: {secret} done")]
    if left:
        return Answer.NO, f"a planted secret came through: {_some(left)}", "report this: it is a defect"
    labelled = sum(contract.untrusted_output for contract in contracts())
    why = f"{len(planted)} planted kinds of secret were taken out; {labelled} tools label their output as untrusted"
    return Answer.YES, why, ""


def _persisted(workspace: Workspace) -> Told:
    redactor = Redactor(workspace.workspace_key)
    start = max(0, workspace.ledger.entry_count() - ENTRIES_LOOKED_AT)
    found = [
        f"#{index} ({', '.join(kinds)})"
        for index, leaf, content in workspace.ledger.rows(start)
        if content is not None and (kinds := redactor.certain(_content(leaf, content)))
    ]
    if found:
        fix = "replace the secret; bywire audit verify shows the entry"
        return Answer.NO, f"the ledger holds what looks like a secret: {_some(found)}", fix
    why = "the newest entries of the ledger hold none that its form gives away; one that only its name gives away is"
    return (
        Answer.PARTLY,
        f"{why} looked for in parameters and results, not in statements",
        "keep secrets out of goals, test names and reasons",
    )


def _reruns(workspace: Workspace) -> Told:
    contract = CATALOGUE.find("rerun_job")
    if contract is None:
        return Answer.PARTLY, "no tool here can rerun a CI job, so there is nothing to limit", ""
    rate = workspace.operator.tool_rates.get(contract.name, contract.rate_per_hour)
    if not rate or contract.idempotency is Idempotency.NONE or not contract.key_template:
        return (
            Answer.NO,
            "rerun_job has no rate of its own, or no key",
            "set tool_rates: {rerun_job: 6} in operator.yaml",
        )
    return Answer.YES, f"at most {rate} an hour, once for each key {contract.key_template}", ""


def _dry_run(workspace: Workspace) -> Told:
    writes = [contract for contract in contracts() if not contract.read]
    differs = [
        contract.name
        for contract in writes
        if ask_policy(workspace, contract, dry_run=True).effect != ask_policy(workspace, contract, dry_run=False).effect
    ]
    if differs:
        return Answer.NO, f"a dry run of {_some(differs)} is judged otherwise", "judge both the same way in the policy"
    why = f"{len(writes)} write tools: a dry run is decided by the same rules and recorded, and nothing is carried out"
    return Answer.YES, why, ""


def _rollback(workspace: Workspace) -> Told:
    if not workspace.target.was_started():
        return (
            Answer.PARTLY,
            "nothing was deployed yet, so there is nothing to go back to",
            "bywire deliver --goal TEXT",
        )
    status = workspace.target.status()
    stable = (status.get("stable") or {}).get("digest", "")
    back = stable if status.get("canary") else status.get("last_good", "")
    if not back:
        return Answer.PARTLY, "there is no earlier release to go back to yet", "deliver a second change"
    if not workspace.releases.holds(back):
        return Answer.NO, f"the artifact of {back[:12]}, the last good release, is gone or damaged", "deliver it again"
    return Answer.YES, f"{back[:12]} is recorded as last good, its artifact is here, byte for byte", ""


def _platform(workspace: Workspace, entries: Sequence[EntryPoint]) -> Told:
    merging = [
        contract.name
        for contract in contracts()
        if contract.category == "repo_write"
        and ask_policy(workspace, contract, parameters={"auto_merge": True}).effect is not Effect.DENY
    ]
    if merging:
        return Answer.NO, f"{_some(merging)} could merge what it proposes", "restore action.auto_merge in the policy"
    past = [point.path for point in entries if point.through_bywire in {Through.NO, Through.PARTLY}]
    if past:
        fix = "guard each with the platform's required reviewers, or let it run `bywire deliver`"
        return Answer.PARTLY, f"bywire merges nothing, but these deploy without it: {_some(past)}", fix
    return Answer.YES, "bywire merges nothing, and no entry point of the repository was seen to deploy without it", ""


def _traced(workspace: Workspace) -> Told:
    rows = SqliteReconciling(workspace.reader).newest(ENTRIES_LOOKED_AT)
    leaves = [workspace.ledger.leaf(entry) for entry, _, _ in rows]
    lost = [leaf for leaf in leaves if leaf is None or parse_leaf(leaf).kind != "decision"]
    silent = [state for _, state, told in rows if not told and state in {"committed", "failed"}]
    if lost or silent:
        why = f"{len(lost)} calls have no decision in the ledger, {len(silent)} no recorded outcome"
        return Answer.NO, why, "bywire audit verify"
    waiting = sum(state in {"intended", "unknown"} for _, state, _ in rows)
    why = f"the newest {len(rows)} effects each have their decision in the ledger; {waiting} wait for their outcome"
    return Answer.YES, why, ""


def _incidents() -> Told:
    kept = {"missing", "contrary", "uncertain"} <= set(Packet.__struct_fields__)
    why = "bywire writes no incident reports; approval packets keep what is missing, contrary and uncertain apart"
    return (Answer.PARTLY if kept else Answer.NO), why, "keep incident texts under people's review"


def _evaluated(workspace: Workspace) -> Told:
    ratio = workspace.operator.limits.jailbreak_refused_ratio
    if ratio < 1.0:
        why = f"the gate lets a release through that refuses only {ratio:.0%} of its jailbreak cases"
        return Answer.NO, why, "set limits.jailbreak_refused_ratio: 1.0 in operator.yaml"
    why = "a service with assets must refuse every jailbreak case of its evaluation; what agents do on the way is not"
    return Answer.PARTLY, f"{why} evaluated", "add injection and unsafe rollback cases to the evaluate command"


class _RehearsedError(Exception):
    """Undoes the rehearsal; never leaves this module."""

    def __init__(self, held: bool) -> None:
        super().__init__()
        self.held = held


def _stoppable(workspace: Workspace) -> Told:
    """Stop everything inside a transaction, see that it holds, undo it."""
    service, now_ms = workspace.operator.service, workspace.clock.now_ms()

    def rehearse(tx: Transaction) -> None:
        workspace.state.stop(tx, "all", "", "person:doctor", "a rehearsal, undone", now_ms)
        raise _RehearsedError(is_stopped(tx, service, "agent:release-controller"))

    try:
        workspace.writer.run(rehearse, reducing=True)
    except _RehearsedError as rehearsed:
        if rehearsed.held:
            why = "a stop was rehearsed and held, then undone; `bywire stop` and `bywire rollback` are the handles"
            return Answer.YES, why, ""
    return Answer.NO, "a rehearsed stop did not hold", "report this: it is a defect"


def _content(leaf: bytes, content: bytes) -> Any:
    """What an entry stands for, as plain values; nothing when it is too large to look into or no JSON."""
    if len(content) > BLOB_BYTES_LOOKED_AT:
        return None
    try:
        return unverified_statement(content).predicate if parse_leaf(leaf).statement else msgspec.json.decode(content)
    except (BywireError, msgspec.DecodeError):
        return None


def _sample_packet() -> Packet:
    digest = "0" * 64
    return Packet(
        id="ap-000000000000", action={"tool": "promote_release"}, action_digest=digest, evidence=(digest,),
        evidence_digest=digest, bundle_digest=digest, environment="production", service="sample",
        requester="agent:sample", target={"stable": digest}, plan=None, plan_digest="", tier="high",
        approver_roles=("sre-oncall",), requested_at_ms=0, expires_at_ms=1, undo="", expected="", missing=(),
        contrary=(), uncertain=(), prose="",
    )  # fmt: skip


def _changed(value: Any) -> Any:
    if isinstance(value, dict):
        return {**value, "changed": True}
    if isinstance(value, tuple):
        return (*value, "changed")
    return value + 1 if isinstance(value, int) else f"{value}x"


def _planted() -> dict[str, str]:
    """Secrets that no scanner of this file finds, because they are put together when they are needed."""
    return {
        "AWS key": "AKIA" + "Q7" * 8,
        "GitHub token": "ghp_" + "a1B2" * 10,
        "GitLab token": "glpat-" + "x9" * 12,
        "JWT": "eyJ" + "hbGciOi" * 3 + ".e30.c2ln",
        "private key": "-----BEGIN PRIVATE" + " KEY-----\nMIIB",
        "password in an address": "postgres://app:" + "hunter2" + "@db/prod",
        "assigned secret": "PASSWORD=" + "correct-horse-battery",
    }


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:SHOWN_MAX]) + (f" and {len(names) - SHOWN_MAX} more" if len(names) > SHOWN_MAX else "")
