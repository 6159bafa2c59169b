"""The door's ports in memory, and one call on its way through: what the unit tests of this room share."""

import msgspec

from bywire.gateway.asking import Entrance
from bywire.gateway.canonical import canonicalise
from bywire.gateway.contract import Catalogue, Contract, Idempotency, parameters
from bywire.gateway.contracts import CONTRACTS
from bywire.gateway.devops_contracts import DEVOPS_CONTRACTS
from bywire.gateway.ports import Credential, IntentRow, StateSnapshot
from bywire.gateway.redaction import Redactor
from bywire.identity.session import Session
from bywire.identity.trust import TrustedKey, TrustRoot
from bywire.model.action import ActionRequest
from bywire.model.decision import Decision, Effect
from bywire.model.operator import Limits, OperatorConfig, Person
from bywire.model.principal import KeyRole, Principal, PrincipalKind
from bywire.seal.dsse import unverified_statement
from bywire.seal.keys import SigningKey

NOW = 1_790_000_000_000
WORKSPACE_KEY = b"w" * 32
ARTIFACT, LAST_GOOD, BUNDLE = "a" * 64, "b" * 64, "d" * 64
SECRET = "ghp_" + "a1B2" * 9
AGENT = Principal("agent:release-controller", PrincipalKind.AGENT, "person:dana")
ALICE, BOB = "person:alice", "person:bob"
KEYS = {
    ALICE: (KeyRole.APPROVER, SigningKey.from_seed(b"a" * 32)),
    BOB: (KeyRole.APPROVER, SigningKey.from_seed(b"b" * 32)),
    AGENT.id: (KeyRole.AGENT, SigningKey.from_seed(b"c" * 32)),
    "workload:log": (KeyRole.LOG, SigningKey.from_seed(b"d" * 32)),
    "workload:builder": (KeyRole.BUILDER, SigningKey.from_seed(b"e" * 32)),
}
LOG_KEY = KEYS["workload:log"][1]
TRUST = TrustRoot(
    version=1,
    origin="log.example/storefront",
    keys=tuple(
        TrustedKey(key_id=key.key_id, role=role, principal=principal, public=key.public.raw_public.hex())
        for principal, (role, key) in KEYS.items()
    ),
)
OPERATOR = OperatorConfig(
    service="storefront",
    people=(Person(ALICE, roles=("sre-oncall",)), Person(BOB, roles=("security",))),
    limits=Limits(approval_ttl_seconds=600, actions_per_hour=50),
)
TEXT = {"type": "string", "maxLength": 8_192}
NOTE = Contract("send_note", "repo_write", "target", parameters({"text": TEXT}))
PUSH = Contract("push_branch", "repo_write", "target", parameters({"text": TEXT}), Idempotency.QUERYABLE, fenced=False)
PAGE = Contract("page_person", "repo_write", "target", parameters({"text": TEXT}), Idempotency.NONE)
CATALOGUE = Catalogue((*CONTRACTS, *DEVOPS_CONTRACTS, NOTE, PUSH, PAGE))
SNAPSHOT = StateSnapshot(
    stop_epoch=3,
    stopped=False,
    freeze_all=False,
    bundle_digest=BUNDLE,
    session=Session("se-1", AGENT, "run-1"),
)


class FixedClock:
    def __init__(self):
        self.now = NOW

    def now_ms(self):
        return self.now


class MemorySessions:
    """`gateway.ports.Sessions`: every token is a session's id."""

    def session_of(self, token, now_ms):
        assert now_ms == NOW
        return f"se-{token}"


class MemoryState:
    """`gateway.ports.NamedState`: one snapshot, and counts by scope and hour."""

    def __init__(self):
        self.snap = SNAPSHOT
        self.counts = {}
        self.lately = ()
        self.asked = []
        self.is_frozen = False

    def snapshot(self, session_id, service):
        self.asked.append((session_id, service))
        return self.snap

    def frozen(self):
        return self.is_frozen

    def used(self, scope, hour):
        return self.counts.get((scope, hour), 0)

    def spent(self, scope, unit, period, at):
        return self.counts.get((scope, unit, period, at), 0)

    def recent(self, scopes, now_ms):
        assert now_ms == NOW
        return tuple(one for one in self.lately if one.scope in scopes)


class MemoryTarget:
    """`gateway.ports.Executor`: what it says, knows and refuses is set by the test."""

    def __init__(self):
        self.says = {"version": 7, "stable": LAST_GOOD, "canary": "", "weight": 0}
        self.answer = {"version": 8}
        self.known = {}
        self.given = []

    def observe(self):
        return _said(self.says)

    def execute(self, row, values):
        self.given.append((row, values))
        return _said(self.answer)

    def execute_with(self, row, values, credential):
        self.given.append((row, values, credential.value))
        return _said(self.answer)

    def read(self, tool, values):
        self.given.append((tool, values))
        return _said(self.answer)

    def read_with(self, tool, values, credential):
        self.given.append((tool, values, credential.value))
        return _said(self.answer)

    def query(self, row):
        return _said(self.known.get(row.key))


def _said(answer):
    if isinstance(answer, BaseException):
        raise answer
    return answer


class MemoryCredentials:
    """`gateway.ports.Credentials`: one credential a name."""

    VALUE = "s3cr3t-of-the-platform"

    def issue(self, name, row, now_ms):
        return Credential(name, self.VALUE, "https://ci.example:443", now_ms + 60_000, minted=True)

    def for_read(self, name, now_ms, *, tool="", environment=""):
        return Credential(name, self.VALUE, "https://ci.example:443", now_ms + 30_000, minted=False)


class MemoryRecords:
    """The part of `gateway.ports.Journal` that keeps documents and statements, in order."""

    def __init__(self):
        self.documents = []
        self.records = []
        self.asked_about = {}

    def record(self, kind, envelope, change, now_ms, about=""):
        said = unverified_statement(envelope).predicate
        self.records.append((kind, said, change, now_ms))
        if about:
            decided = msgspec.convert(said["decision"], Decision)
            self.asked_about[about] = (said["input"]["action"]["digest"], decided)
        return 20 + len(self.records)

    def decision_on(self, approval_id, action_digest):
        digest, decided = self.asked_about.get(approval_id, ("", None))
        return decided if digest == action_digest else None

    def record_document(self, kind, document, change, now_ms):
        self.documents.append((kind, document, change, now_ms))
        return len(self.documents) - 1


def entrance(**changes):
    parts = {
        "catalogue": CATALOGUE,
        "state": MemoryState(),
        "executors": {"target": MemoryTarget()},
        "operator": OPERATOR,
        "sessions": MemorySessions(),
        "clock": FixedClock(),
        "workspace_key": WORKSPACE_KEY,
    }
    return Entrance(**{**parts, **changes})


WEIGHT = {"artifact": ARTIFACT, "weight": 5, "segments": [], "lease_seconds": 30}


def ask(tool="set_canary_weight", values=None, key="k1", **changes):
    made = ActionRequest(tool, "storefront", "production", WEIGHT if values is None else values, key)
    return msgspec.structs.replace(made, **changes)


def decision(effect=Effect.ALLOW, obligations=(), **changes):
    made = Decision("de-1", effect, (), tuple(obligations), "scripted/1", BUNDLE, "entry", "f" * 64)
    return msgspec.structs.replace(made, **changes)


def row_of(request=None, **changes):
    """The journalled intent of one request."""
    request = request or ask()
    action = canonicalise(request, AGENT, Redactor(WORKSPACE_KEY))
    made = IntentRow(
        key=f"{AGENT.id}|{request.tool}|{request.idempotency_key}",
        action_digest=action.digest,
        principal=AGENT.id,
        tool=request.tool,
        service=request.service,
        environment=request.environment,
        change=request.change,
        state="intended",
        epoch=1,
        at_ms=NOW,
        deadline_ms=NOW + 60_000,
        precondition={"version": 7},
        request={"parameters": action.parameters, "redacted": action.parameters != request.parameters},
        decision=decision(),
        outcome=None,
    )
    return msgspec.structs.replace(made, **changes)


class MemoryApprovals:
    """`gateway.ports.ApprovalStore`: candidates by what they bind, newest first, and those decided before."""

    def __init__(self, *candidates, before=()):
        self.candidates = candidates
        self.before = before

    def find(self, *, action_digest, plan_digest):
        return tuple(
            item
            for item in self.candidates
            if item.packet.action_digest == action_digest or (plan_digest and item.packet.plan_digest == plan_digest)
        )

    def decided_before(self, packet):
        return self.before
