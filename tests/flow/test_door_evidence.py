"""`evidence: required`: a connected tool acts on a statement that is in the ledger, and on no other digest."""

from types import SimpleNamespace

import msgspec
import pytest
from connected_world import ConnectedWorld, connected, contracts_of
from door_world import NOW, TRUST

from bywire.adapters.sqlite_deliveries import SqliteDeliveries
from bywire.gateway.contract import Catalogue
from bywire.identity.trust import TrustedKey
from bywire.model.decision import OutcomeStatus
from bywire.model.principal import KeyRole
from bywire.model.statement import PLAN, PROVENANCE, Statement, subject
from bywire.seal.digest import sha256_hex
from bywire.seal.dsse import sign_statement
from bywire.seal.keys import SigningKey
from bywire.wiring.door import DeliveryFacts, Shelf

TOOLS = """
version: 1
upstream: cluster
environment: staging
tools:
  - name: deploy
    category: production_orchestration
    risk: high
    reviewed: true
    evidence: required
    schema: {type: object, properties: {name: {type: string}}}
  - name: scale
    category: production_orchestration
    risk: high
    reviewed: true
    schema: {type: object, properties: {name: {type: string}}}
"""
PRODUCER, PLANNER, CODER = (SigningKey.from_seed(seed * 32) for seed in (b"7", b"8", b"9"))
SIGNERS = (
    (PRODUCER, KeyRole.BUILDER, "workload:producer"),
    (PLANNER, KeyRole.AGENT, "agent:planner"),
    (CODER, KeyRole.AGENT, "agent:coder"),
)
ROOT = msgspec.structs.replace(
    TRUST,
    keys=(
        *TRUST.keys,
        *(TrustedKey(key.key_id, role, name, key.public.raw_public.hex()) for key, role, name in SIGNERS),
    ),
)


class EvidenceWorld(ConnectedWorld):
    def make_door(self, **changes):
        self.deliveries = SqliteDeliveries(self.writer, self.reader)
        workspace = SimpleNamespace(
            deliveries=self.deliveries,
            trust=self.trust,
            clock=self.clock,
            machines=SimpleNamespace(load=lambda change: None),
        )
        facts = DeliveryFacts(workspace, Shelf(workspace))
        return super().make_door(**{"facts": facts, "catalogue": Catalogue(contracts_of(TOOLS, "cluster")), **changes})

    def logged(self, kind="plan", *, key=PLANNER, predicate_type=PLAN, n=1, change="dl-1"):
        """The digest of a statement that is in the ledger now."""
        about = Statement(subject=(subject("x", "a" * 64),), predicateType=predicate_type, predicate={"n": n})
        envelope = sign_statement(about, key)
        self.deliveries.deliver(f"{change}:{kind}:{n}:{key.key_id}", change, ((kind, envelope, key.key_id),), {}, NOW)
        return sha256_hex(envelope)

    def seen(self, *evidence, tool="cluster.deploy", key="k1", call="call"):
        """What the policy is told of the evidence of a call."""
        request = connected(tool, key, "staging", {"name": "app"}, evidence=tuple(evidence))
        getattr(self.door, call)(self.token(), request)
        return self.engine.asked[-1]["action"]["connected"].get("evidence")


@pytest.fixture
def world(tmp_path):
    made = EvidenceWorld(tmp_path, trust=ROOT)
    made.engine.obligations = ()
    yield made
    made.close()


@pytest.mark.parametrize("call", ["call", "permit", "advise"])
def test_a_statement_of_the_ledger_is_evidence(world, call):
    plan, asset = world.logged(), world.logged("provenance", key=PRODUCER, predicate_type=PROVENANCE, change="assets")
    assert world.seen(plan, call=call) == "recorded"
    assert world.seen(asset, key="k2", call=call) == "recorded"
    assert world.seen("0" * 64, plan, key="k3", call=call) == "recorded"


def test_a_contract_that_asks_for_none_says_nothing_of_it(world):
    assert world.seen(tool="cluster.scale") is None
    assert world.seen(world.logged(), tool="cluster.scale", key="k2") is None


@pytest.mark.parametrize("call", ["call", "permit", "advise"])
def test_rule_21_no_digest_and_one_of_nothing_are_no_evidence(world, call):
    assert world.seen(call=call) == "missing"
    world.logged()
    assert world.seen("0" * 64, key="k2", call=call) == "missing"
    assert world.seen(sha256_hex(b"plan"), key="k3", call=call) == "missing"


def test_rule_21_what_a_call_left_in_the_ledger_is_no_evidence_for_the_next(world):
    outcome = world.door.call(world.token(), connected("cluster.scale", "k1", "staging", {"name": "app"}))
    assert outcome.status is OutcomeStatus.COMMITTED
    _, decision = world.journal.decision_of(next(iter(world.intents())))
    assert world.deliveries.envelope(sha256_hex(decision)) == decision
    assert world.seen(sha256_hex(decision), key="k2") == "missing"


def test_rule_21_a_consequence_of_a_delivery_is_no_evidence(world):
    for number, kind in enumerate(("verdict", "recourse", "delivery-end", "decision", "outcome")):
        assert world.seen(world.logged(kind, n=number), key=f"k{number}") == "missing"


def test_rule_03_a_statement_that_another_key_signed_is_no_evidence(world):
    assert world.seen(world.logged(key=CODER)) == "missing"
    assert world.seen(world.logged(key=SigningKey.from_seed(b"6" * 32)), key="k4") == "missing"
    assert world.seen(world.logged(key=world.log_key), key="k2") == "missing"
    # Nor does a row of the database make one of bytes that were never signed.
    world.deliveries.deliver("w", "dl-1", (), {}, NOW, (b"a plan",))
    digest = sha256_hex(b"a plan")
    world.writer.run(
        lambda tx: tx.execute("INSERT INTO delivery_statements VALUES ('dl-1', 99, 'plan', ?, ?)", (digest, NOW))
    )
    assert world.seen(digest, key="k3") == "missing"
