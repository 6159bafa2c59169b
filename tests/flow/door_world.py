"""A whole door on real SQLite stores, with doubles only at its rim: target, engine, clock, named steps."""

import sqlite3
from contextlib import closing

import msgspec

from bywire.adapters.sqlite_approvals import SqliteApprovals
from bywire.adapters.sqlite_database import connect
from bywire.adapters.sqlite_envelope_state import SqliteState
from bywire.adapters.sqlite_journal import SqliteJournal
from bywire.adapters.sqlite_ledger import SqliteLedger
from bywire.adapters.sqlite_reading import Reader
from bywire.adapters.sqlite_writer import Writer
from bywire.approvals.grant import verify_approval
from bywire.approvals.packet import sign_verdict
from bywire.gateway.contract import Catalogue, Contract, Idempotency, parameters
from bywire.gateway.contracts import CONTRACTS
from bywire.gateway.devops_contracts import DEVOPS_CONTRACTS
from bywire.gateway.door import Door
from bywire.gateway.ports import Credential
from bywire.gateway.recovery import recover
from bywire.identity.session import open_session, request_session
from bywire.identity.tokens import TokenVerifier
from bywire.identity.trust import TrustedKey, TrustRoot, check_trust_root
from bywire.ledger import log
from bywire.ledger.checkpoint import log_keys
from bywire.ledger.verify import verify_all
from bywire.model.action import ActionRequest
from bywire.model.decision import Decision, Effect, Reason
from bywire.model.operator import Limits, OperatorConfig, Person
from bywire.model.principal import KeyRole
from bywire.model.rollout_plan import RolloutPlan, RolloutStep
from bywire.seal import jcs
from bywire.seal.keys import SigningKey

NOW = 1_790_000_000_000
ORIGIN = "log.example/storefront"
WORKSPACE_KEY = b"w" * 32
ARTIFACT, LAST_GOOD = "a" * 64, "b" * 64
BUNDLE = "d" * 64
CONTROLLER, RESPONDER = "agent:release-controller", "agent:incident-responder"
ALICE = "person:alice"
HOLDERS = {
    CONTROLLER: (KeyRole.AGENT, SigningKey.from_seed(b"1" * 32)),
    RESPONDER: (KeyRole.AGENT, SigningKey.from_seed(b"2" * 32)),
    ALICE: (KeyRole.APPROVER, SigningKey.from_seed(b"3" * 32)),
    "workload:log": (KeyRole.LOG, SigningKey.from_seed(b"4" * 32)),
}
TRUST = TrustRoot(
    version=1,
    origin=ORIGIN,
    keys=tuple(
        TrustedKey(key_id=key.key_id, role=role, principal=principal, public=key.public.raw_public.hex())
        for principal, (role, key) in HOLDERS.items()
    ),
)
check_trust_root(TRUST)
OPERATOR = OperatorConfig(
    service="storefront",
    people=(Person(ALICE, roles=("sre-oncall",)),),
    limits=Limits(approval_ttl_seconds=600, actions_per_hour=50),
)
TEXT = {"type": "string", "maxLength": 8_192}
EXTRA = (
    Contract("send_note", "repo_write", "target", parameters({"text": TEXT})),
    Contract("page_person", "repo_write", "target", parameters({"text": TEXT}), idempotency=Idempotency.NONE),
    Contract("push_branch", "repo_write", "target", parameters({"text": TEXT}), Idempotency.QUERYABLE, fenced=False),
    Contract("move_unfenced", "repo_write", "target", parameters({"text": TEXT}), fenced=False, deadline_seconds=30),
)
CATALOGUE = Catalogue((*CONTRACTS, *DEVOPS_CONTRACTS, *EXTRA))
PLAN = RolloutPlan(
    service="storefront",
    environment="production",
    artifact=ARTIFACT,
    last_good=LAST_GOOD,
    steps=(RolloutStep(5), RolloutStep(50)),
    ceiling=100,
    warm=False,
    origin="bywire.yaml",
).as_json()
PLAN_DIGEST = jcs.digest(PLAN)


class FixedClock:
    def __init__(self, now_ms=NOW):
        self.now = now_ms

    def now_ms(self):
        return self.now


class HookedSteps:
    """Named steps with a hook each: what an adversary does at exactly that moment."""

    def __init__(self):
        self.hooks = {}
        self.seen = []

    def reached(self, step):
        self.seen.append(step)
        hook = self.hooks.pop(step, None)
        if hook is not None:
            hook()


class ScriptedEngine:
    """The policy engine at the door's port: one scripted answer, and what it was asked."""

    def __init__(self):
        self.effect = Effect.ALLOW
        self.bundle = BUNDLE
        self.asked = []
        self.obligations = ({"kind": "approval", "roles": ["sre-oncall"], "count": 1, "tier": "high"},)

    def answer(self, question):
        return self.effect

    def decide(self, entrypoint, question):
        self.asked.append(question)
        digest = jcs.digest(question)
        return Decision(
            id=digest[:32],
            effect=self.answer(question),
            reasons=(Reason("test.rule", {"because": "scripted"}),),
            obligations=self.obligations,
            engine="scripted/1",
            bundle_digest=self.bundle,
            entrypoint=entrypoint,
            input_digest=digest,
        )


class ApprovalEngine(ScriptedEngine):
    """Lets a write pass with a fitting grant alone, as the knowledge base does."""

    def answer(self, question):
        grant, action, state = question["grant"], question["action"], question["state"]
        if action["category"] == "read":
            return Effect.ALLOW
        if grant is None:
            return Effect.APPROVAL_NEEDED
        if grant["revoked"]:
            return Effect.DENY
        fits = (
            (grant["action_digest"] == action["digest"] or (grant["plan"] and grant["plan_digest"] == action["plan"]))
            and grant["evidence_digest_matches"]
            and grant["bundle_digest"] == state["bundle_digest"]
            and question["now_ms"] < grant["expires_at_ms"]
            and grant["uses_left"] > 0
            and grant["approver_role"] == "sre-oncall"
        )
        return Effect.ALLOW if fits else Effect.APPROVAL_NEEDED


class RecordingTarget:
    """The target at the executor's port. Refuses to act unless the intent is durable for another connection."""

    def __init__(self, path):
        self.path = path
        self.effects = []
        self.queried = []
        self.known = {}
        self.raises = None
        self.obeys = True
        self.observing = {"version": 7, "stable": LAST_GOOD, "canary": "", "weight": 0}

    def observe(self):
        if isinstance(self.observing, Exception):
            raise self.observing
        return self.observing

    def execute(self, row, values):
        with closing(sqlite3.connect(f"file:{self.path}?mode=ro", uri=True)) as other:
            found = other.execute("SELECT state, action_digest FROM intents WHERE key = ?", (row.key,)).fetchone()
        assert found is not None, "an effect without a durable intent"
        assert found[0] in {"intended", "unknown"}
        assert found[1] == row.action_digest
        self.effects.append((row, values))
        if self.raises is not None:
            raise self.raises
        if self.obeys:
            self.show(row.tool, values)
        return {"version": 8, "said": values.get("text", "")}

    def show(self, tool, values):
        """What the world looks like after an effect that a target really carried out."""
        seen = self.observing if isinstance(self.observing, dict) else {}
        if tool == "set_canary_weight":
            seen = {**seen, "canary": values["artifact"], "weight": values["weight"]}
        elif tool == "promote_release":
            seen = {**seen, "stable": values["artifact"], "canary": "", "weight": 0}
        elif tool in {"rollback_release", "rollback_deployment", "abort_canary"}:
            seen = {**seen, "stable": values["to"], "canary": "", "weight": 0}
        self.observing = seen

    def read(self, tool, values):
        return {"status": "serving", "note": self.known.get("note", "")}

    def query(self, row):
        self.queried.append(row)
        if self.raises is not None:
            raise self.raises
        return self.known.get(row.key)


class Stands:
    """`gateway.ports.Standing`: what a test lets stand."""

    def __init__(self):
        self.registrations = {}
        self.shadowed = []
        self.glass = None
        self.unseen = None

    def registration(self, principal):
        return self.registrations.get(principal)

    def shadows(self, now_ms):
        return self.shadowed

    def unwitnessed(self):
        return self.unseen

    def break_glass(self, principal, tool, now_ms):
        return self.glass


class OneCredential:
    """`gateway.ports.Credentials`: the same secret for one origin."""

    SECRET = "s3cr3t-of-the-platform"

    def __init__(self):
        self.issued = []

    def issue(self, name, row, now_ms):
        self.issued.append((name, row.key))
        return Credential(
            name=name, value=self.SECRET, origin="https://ci.example:443", expires_at_ms=now_ms + 60_000, minted=False
        )

    def for_read(self, name, now_ms, *, tool="", environment=""):
        return Credential(name=name, value=self.SECRET, origin="https://ci.example:443", expires_at_ms=0, minted=False)


class NoFacts:
    def facts_for(self, change):
        return {"authors": ["person:dana"]}, {}, {"last_good": LAST_GOOD, "authorised": True}


class World:
    """Everything of one workspace in a directory; open it twice to play two processes."""

    def __init__(self, directory, *, engine=None, take_over=True, trust=TRUST, operator=OPERATOR):
        self.path = directory / "bywire.db"
        self.clock = FixedClock()
        self.steps = HookedSteps()
        self.engine = engine or ScriptedEngine()
        self.target = RecordingTarget(self.path)
        self.writer = Writer(self.path)
        self.reader = Reader(self.path)
        self.ledger = SqliteLedger(connect(self.path, read_only=True))
        self.state = SqliteState(self.writer, self.reader)
        if not self.state.active_bundle():
            self.activate(BUNDLE, 1)
        self.approvals = SqliteApprovals(self.writer, self.reader)
        epoch = self.state.take_epoch() if take_over else self.state.current_epoch()
        self.log_key = HOLDERS["workload:log"][1]
        self.journal = SqliteJournal(self.writer, self.reader, self.log_key, epoch, self.clock.now_ms)
        self.trust = trust
        self.operator = operator
        self.standing = Stands()
        self.credentials = OneCredential()
        self.sessions = TokenVerifier(lambda: self.trust, WORKSPACE_KEY)
        self.door = self.make_door()

    def make_door(self, **changes):
        parts = {
            "catalogue": CATALOGUE,
            "engine": lambda: self.engine,
            "trust": lambda: self.trust,
            "sessions": self.sessions,
            "operator": self.operator,
            "journal": self.journal,
            "approvals": self.approvals,
            "state": self.state,
            "standing": self.standing,
            "facts": NoFacts(),
            "credentials": self.credentials,
            "executors": {"target": self.target, "repository": self.target},
            "clock": self.clock,
            "steps": self.steps,
            "workspace_key": WORKSPACE_KEY,
            "log_key": self.log_key,
        }
        return Door(**{**parts, **changes})

    def token(self, principal=CONTROLLER, run="run-1", nonce="n"):
        request = request_session(principal, run, nonce, NOW, HOLDERS[principal][1], workspace=ORIGIN)
        session, token = open_session(request, self.trust, NOW, WORKSPACE_KEY)
        self.state.open_session(session)
        return token

    def call(self, tool="set_canary_weight", key="k1", principal=CONTROLLER, token=None, **changes):
        return self.door.call(token or self.token(principal), ask(tool, key, **changes))

    def approve(self, approval_id, verdict="approved", reason="looked at it", role="sre-oncall"):
        packet = self.approvals.row(approval_id).packet
        envelope = sign_verdict(packet, verdict, ALICE, role, reason, self.clock.now, HOLDERS[ALICE][1])
        return self.approvals.settle(verify_approval(envelope, self.trust), envelope, self.clock.now)

    def change(self, sql, *values):
        self.writer.run(lambda tx: tx.execute(sql, values))

    def stop(self, scope="all", target=""):
        self.writer.run(lambda tx: self.state.stop(tx, scope, target, ALICE, "test", self.clock.now))

    def activate(self, digest, revision):
        self.writer.run(lambda tx: self.state.activate_bundle(tx, digest, revision, NOW))

    def recover(self):
        stopped = lambda row: self.state.stopped(row.service, row.principal)
        executors = {"target": self.target, "repository": self.target}
        return recover(self.door, self.journal, CATALOGUE, executors, self.clock, stopped)

    def rows(self, sql, *values):
        return self.reader.rows(sql, values)

    def intents(self):
        return dict(self.rows("SELECT key, state FROM intents"))

    def entries(self, kind=None):
        self.journal.flush_reads()
        self.writer.run(lambda tx: None)
        leaves = [msgspec.json.decode(leaf) for _, leaf, _ in self.ledger.rows(0)]
        return [leaf for leaf in leaves if kind in {None, leaf["kind"]}]

    def predicates(self, kind):
        """The signed predicates of one kind, oldest first."""
        found = []
        for leaf in self.entries(kind):
            envelope = msgspec.json.decode(self.ledger.blob(leaf["statement"]))
            found.append(
                msgspec.json.decode(msgspec.json.decode(b'"' + envelope["payload"].encode() + b'"', type=bytes))
            )
        return [statement["predicate"] for statement in found]

    def verify(self):
        self.writer.run(lambda tx: log.publish(tx, ORIGIN, self.log_key))
        return verify_all(self.ledger, ORIGIN, log_keys(TRUST))

    def close(self):
        self.journal.flush_reads()
        self.writer.close()
        self.reader.close()
        self.ledger.close()


def values_of(tool, **changes):
    given = {
        "set_canary_weight": {"artifact": ARTIFACT, "weight": 5, "segments": [], "lease_seconds": 30},
        "renew_canary_lease": {"artifact": ARTIFACT, "lease_seconds": 30},
        "deploy_release": {"artifact": ARTIFACT},
        "promote_release": {"artifact": ARTIFACT},
        "rollback_release": {"to": LAST_GOOD},
        "start_rollout": PLAN,
        "get_deployment_status": {},
    }.get(tool, {"text": "hello"})
    return {**given, **changes}


def ask(tool="set_canary_weight", key="k1", **changes):
    fields = {field.name for field in msgspec.structs.fields(ActionRequest)}
    request = {
        "service": "storefront",
        "environment": "production",
        "parameters": values_of(tool, **{name: value for name, value in changes.items() if name not in fields}),
        **{name: value for name, value in changes.items() if name in fields},
    }
    return ActionRequest(tool=tool, idempotency_key=key, **request)
