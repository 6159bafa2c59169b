"""The work behind each request of a delivery: calls the role, checks its hand-over, signs its statements.

A worker's product is kept under the request's key, so a crash never yields two deliverables. Roles are contracts: the
built-in workers here may be replaced by anyone whose statements pass the same checks.
"""

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from bywire import __version__
from bywire.agents import auditor, builder, coder, contract, planner, tester
from bywire.agents.commands import Log
from bywire.agents.ports import Documents, Sandbox, Worktrees
from bywire.delivery.ports import (
    ArtifactStore,
    ChangeSource,
    Clock,
    GateEngine,
    IntentReader,
    Signers,
    StatementShelf,
)
from bywire.delivery.state import DeliveryState, Work
from bywire.evidence import facts
from bywire.evidence.path_classes import PathClasses, is_test
from bywire.evidence.subjects import artifact_subject, source_subject
from bywire.evidence.verification import believe
from bywire.identity.trust import TrustRoot
from bywire.model import statement as kinds
from bywire.model.change import Change
from bywire.model.decision import Decision, Effect
from bywire.model.errors import EvidenceError, WorkError
from bywire.model.json_value import JsonObject
from bywire.model.operator import OperatorConfig
from bywire.model.principal import Principal, PrincipalKind
from bywire.model.statement import Statement, Subject
from bywire.recourse import synthesis
from bywire.seal.digest import sha256_hex
from bywire.seal.dsse import sign_statement

SHOWN_CHARACTERS_MAX = 2_000
GATE_ENTRYPOINT = "data.bywire.gate.decision"
Sealed = tuple[str, bytes, str]


class Product(msgspec.Struct, frozen=True):
    """What a worker made: (kind, envelope, signer key id) statements, blobs to keep, and the result for the machine.

    `shown` is the end of a failing command's output: untrusted text for the person who waits, never kept or signed.
    """

    result: dict[str, Any]
    statements: tuple[Sealed, ...] = ()
    blobs: tuple[bytes, ...] = ()
    shown: str = ""


class Workers:
    """The built-in roles at work for one workspace."""

    def __init__(
        self,
        *,
        repository: ChangeSource,
        worktrees: Worktrees,
        sandbox: Sandbox,
        documents: Documents,
        intents: IntentReader,
        shelf: StatementShelf,
        artifacts: ArtifactStore,
        engine: GateEngine,
        operator: OperatorConfig,
        operator_facts: JsonObject,
        state_facts: Callable[[], JsonObject],
        trust: TrustRoot,
        signers: Signers,
        path_classes: PathClasses,
        clock: Clock,
    ) -> None:
        self._repository = repository
        self._worktrees = worktrees
        self._sandbox = sandbox
        self._documents = documents
        self._intents = intents
        self._shelf = shelf
        self._artifacts = artifacts
        self._engine = engine
        self._operator = operator
        self._operator_facts = operator_facts
        self._state_facts = state_facts
        self._trust = trust
        self._signers = signers
        self._path_classes = path_classes
        self._clock = clock

    def perform(self, state: DeliveryState, work: Work) -> Product:
        """Do one piece of work. Raises BywireError when a role cannot deliver; the machine then fails the delivery."""
        doing = {
            "plan": self._plan,
            "change": self._change,
            "verify": self._verify,
            "build": self._build,
            "audit": self._audit,
            "recourse": self._recourse,
            "verdict": self._verdict,
            "conclude": self._conclude,
        }[work.kind]
        return doing(state, work)

    def _plan(self, state: DeliveryState, _: Work) -> Product:
        change = self._read_change(state)
        intent, loosened = self._intents.intent(change)
        tests = [entry.path for entry in self._repository.list(change.head_commit) if is_test(entry.path)]
        predicate = planner.plan(
            state.goal,
            change,
            intent,
            self._operator,
            path_classes=self._path_classes,
            test_paths=tests,
            loosened=loosened,
        )
        plan = contract.check_plan(predicate, commit=state.head_commit)
        why = "; ".join(reason.because for reason in plan.tier_reasons[-3:])
        lines = [
            f"planner: {plan.tier} tier ({why}); {len(plan.acceptance)} acceptance tests, {len(plan.policies)} policies"
        ]
        sealed = self._sign("agent:planner", "plan", kinds.PLAN, (source_subject(state.head_commit),), predicate)
        lines += [f"planner: the branch asked for less and does not get it: {name}" for name in loosened]
        return _product((sealed,), lines, tier=plan.tier)

    def _change(self, state: DeliveryState, _: Work) -> Product:
        change = self._read_change(state)
        intent, _loosened = self._intents.intent(change)
        coded = coder.change_set(
            change,
            intent,
            people=self._operator.people,
            path_classes=self._path_classes,
            repository=self._repository,
            worktrees=self._worktrees,
            sandbox=self._sandbox,
            documents=self._documents,
        )
        sealed = self._sign(
            "agent:coder", "change-set", kinds.CHANGE_SET, (source_subject(state.head_commit),), coded.predicate
        )
        added = sum(item["added"] for item in coded.predicate["files"])
        lines = [f"coder: {len(coded.predicate['files'])} files, +{added} lines; builds and lints"]
        plan = contract.check_plan(self._predicate(state, kinds.PLAN), commit=state.head_commit)
        short = _shortfall(lambda: contract.check_change_set(coded.predicate, plan), "coder")
        shown = _tail(coded.logs) if short else ""
        return _product((sealed,), lines if not short else [], shown=shown, shortfalls=short)

    def _verify(self, state: DeliveryState, _: Work) -> Product:
        change = self._read_change(state)
        intent, _loosened = self._intents.intent(change)
        verified = tester.verify(
            change, intent, repository=self._repository, worktrees=self._worktrees, sandbox=self._sandbox
        )
        about = (source_subject(state.head_commit),)
        sealed = [self._sign("agent:tester", "test-report", kinds.TEST_REPORT, about, verified.test_report)]
        lines = [_test_line(verified.test_report)]
        report = verified.evaluation_report
        if report is not None:
            sealed.append(self._sign("agent:tester", "evaluation", kinds.EVALUATION_REPORT, about, report))
            scored, refused = report["evaluation"], report["jailbreak"]
            lines.append(
                f"tester: assistant {scored['passed']}/{scored['cases']} cases,"
                f" {refused['refused']}/{refused['cases']} jailbreaks refused"
            )
        plan = contract.check_plan(self._predicate(state, kinds.PLAN), commit=state.head_commit)
        short = _shortfall(lambda: contract.check_verification(verified.test_report, report, plan), "tester")
        return _product(tuple(sealed), lines, shown=_tail(verified.logs) if short else "", shortfalls=short)

    def _build(self, state: DeliveryState, work: Work) -> Product:
        change = self._read_change(state)
        intent, _loosened = self._intents.intent(change)
        built = builder.build(
            builder.BuildRequest(
                commit=state.head_commit,
                invocation_id=work.key,
                now_ms=self._clock.now_ms(),
                tool_version=__version__,
            ),
            intent,
            worktrees=self._worktrees,
            sandbox=self._sandbox,
        )
        self._artifacts.put(built.artifact)
        about = (artifact_subject(state.service, built.digest),)
        sealed = (
            self._sign("workload:builder", "sbom", kinds.SBOM, about, built.sbom),
            self._sign("workload:builder", "provenance", kinds.PROVENANCE, about, built.provenance),
        )
        lines = [
            f"builder: artifact sha256:{built.digest[:12]}, SBOM with {len(built.sbom['components'])} components",
            "builder: SLSA provenance, level 1 (built on this host)",
        ]
        plan = contract.check_plan(self._predicate(state, kinds.PLAN), commit=state.head_commit)
        short = _shortfall(lambda: contract.check_build(built.sbom, built.provenance, built.digest, plan), "builder")
        return _product(sealed, lines, artifact=built.digest, shortfalls=short)

    def _audit(self, state: DeliveryState, _: Work) -> Product:
        derived = self._derive(state)
        question = self._gate_question(state, derived)
        decision = self._engine.decide(GATE_ENTRYPOINT, question)
        summary = auditor.vsa_predicate(
            decision,
            derived.facts,
            service=state.service,
            environment=state.environment,
            verifier_version=__version__,
            now_ms=self._clock.now_ms(),
        )
        about = (artifact_subject(state.service, state.artifact),)
        decided = {"decision": msgspec.to_builtins(decision), "input": question}
        sealed = (
            self._sign("workload:log", "decision", kinds.DECISION, about, decided),
            self._sign("agent:auditor", "vsa", kinds.VSA, about, summary),
        )
        verdict = "PASSED" if decision.effect is Effect.ALLOW else "FAILED"
        rules = ", ".join(reason.rule for reason in decision.reasons)
        return _product(
            sealed,
            [f"auditor: {decision.effect} ({rules})", f"auditor: verification summary {verdict}"],
            effect=str(decision.effect),
            decision_id=decision.id,
            decision=msgspec.to_builtins(decision),
            reasons=[{"rule": reason.rule, "facts": reason.facts} for reason in decision.reasons],
        )

    def _recourse(self, state: DeliveryState, work: Work) -> Product:
        decision = msgspec.convert(work.arguments["decision"], Decision)
        intent, _ = self._intents.intent(self._read_change(state))
        derived = self._derive(state)
        question = self._gate_question(state, derived)
        found = synthesis.synthesise(
            decision,
            derived.facts,
            coder.manifest_documents(state.head_commit, intent, self._repository, self._documents),
            lambda path: self._repository.read(state.head_commit, path),
        )
        found = synthesis.confirm(
            found,
            decision,
            derived.facts,
            self._documents.manifests,
            lambda patched: self._engine.decide(GATE_ENTRYPOINT, {**question, "facts": patched}),
        )
        branch = f"bywire/fix/{state.id.removeprefix('dl-')}-{state.generation}" if found.patches else ""
        predicate = {**found.as_json(), "fix_branch": branch}
        about = (artifact_subject(state.service, state.artifact),)
        sealed = self._sign("agent:recourse", "recourse", kinds.RECOURSE, about, predicate)
        lines = [f"recourse: {len(found.patches)} patch, {len(found.commands)} command for the producer of evidence"]
        blobs = tuple(patch.content for patch in found.patches)
        return _product((sealed,), lines, blobs=blobs, **predicate)

    def _derive(self, state: DeliveryState) -> facts.Derived:
        return facts.derive(
            self._shelf.statements(state.id),
            self._trust,
            commit=state.head_commit,
            artifact=state.artifact,
            now_ms=self._clock.now_ms(),
        )

    def _gate_question(self, state: DeliveryState, derived: facts.Derived) -> dict[str, Any]:
        action = {
            "tool": "gate",
            "category": "gate",
            "environment": state.environment,
            "service": state.service,
            "digest": state.artifact,
            "parameters": {},
            "plan": "",
            "change": state.id,
            "dry_run": state.dry_run,
        }
        return auditor.gate_input(
            derived,
            auditor=self._trust.principal("agent:auditor") or Principal(id="agent:auditor", kind=PrincipalKind.AGENT),
            action=action,
            operator=self._operator_facts,
            state=self._state_facts(),
            now_ms=self._clock.now_ms(),
        )

    def _verdict(self, state: DeliveryState, work: Work) -> Product:
        verdict = work.arguments["verdict"]
        about = (artifact_subject(state.service, state.artifact),)
        predicate = {"delivery": state.id, **verdict}
        sealed = self._sign("agent:release-controller", "verdict", kinds.VERDICT, about, predicate)
        return _product(
            (sealed,),
            [],
            through_interval=verdict["through_interval"],
            decision=verdict["decision"],
            reason=verdict["reason"],
            explanation=verdict["explanation"],
        )

    def _conclude(self, state: DeliveryState, work: Work) -> Product:
        """How the delivery ended, signed: what an export of it closes with."""
        rollout = state.rollout
        predicate = {
            "delivery": state.id,
            "goal": state.goal,
            "commit": state.head_commit,
            "artifact": state.artifact,
            "phase": work.arguments["phase"],
            "says": work.arguments["text"],
            "reasons": list(state.reasons),
            "exposure": {
                "requests": rollout.exposure_requests if rollout else 0,
                "failed": rollout.exposure_bad if rollout else 0,
            },
        }
        about = source_subject(state.head_commit)
        subjects = (about, artifact_subject(state.service, state.artifact)) if state.artifact else (about,)
        sealed = self._sign("agent:release-controller", "delivery-end", kinds.DELIVERY_END, subjects, predicate)
        return _product((sealed,), [])

    def _read_change(self, state: DeliveryState) -> Change:
        change = self._repository.change(state.base_branch, state.branch)
        if change.head_commit != state.head_commit:
            raise EvidenceError(
                f"{state.branch} moved to {change.head_commit[:12]} while {state.head_commit[:12]} was delivered",
                code="branch_moved",
                next_step="deliver the branch again",
            )
        return change

    def _predicate(self, state: DeliveryState, predicate_type: str) -> JsonObject:
        """The newest verified statement of a kind for this delivery."""
        for sealed in reversed(self._shelf.statements(state.id)):
            believed = believe(sealed, self._trust)
            if believed.statement.predicateType == predicate_type:
                return believed.statement.predicate
        raise EvidenceError("a deliverable is missing", code="obligation_missing", next_step="deliver again")

    def _sign(
        self, principal: str, kind: str, predicate_type: str, about: tuple[Subject, ...], predicate: JsonObject
    ) -> Sealed:
        key = self._signers(principal)
        statement = Statement(subject=about, predicateType=predicate_type, predicate=dict(predicate))
        return kind, sign_statement(statement, key), key.key_id


def _product(
    statements: tuple[Sealed, ...], lines: list[str], *, blobs: tuple[bytes, ...] = (), shown: str = "", **more: Any
) -> Product:
    digests = [sha256_hex(envelope) for _, envelope, _ in statements]
    result = {"lines": lines, "statements": digests, **more}
    return Product(result=result, statements=statements, blobs=blobs, shown=shown)


def _tail(logs: Sequence[Log]) -> str:
    """The end of the last output there is."""
    return next((log.text for log in reversed(logs) if log.text), "")[-SHOWN_CHARACTERS_MAX:]


def _shortfall(check: Callable[[], Any], role: str) -> list[dict[str, Any]]:
    """What a hand-over check found missing, as reasons; empty when the deliverable may pass on."""
    try:
        check()
    except (EvidenceError, WorkError) as error:
        facts_of = {"message": error.message, "next_step": error.next_step}
        return [{"rule": f"{role}.{error.code}", "facts": facts_of, "says": error.message}]
    return []


def _test_line(report: JsonObject) -> str:
    tests = report["tests"]
    coverage = tests["coverage_changed_lines"]
    shown = "not measured" if coverage is None else f"{coverage:.0%}"
    return (
        f"tester: {tests['passed']} passed, {tests['failed'] + tests['errors']} failed"
        f" ({tests['property_tests']} property, {tests['fault_injections']} fault);"
        f" changed lines covered {shown}; isolation {tests['isolation']}"
    )
