"""What the door may expect of any approval store: the in-memory one and the one on SQLite answer alike."""

import msgspec
import pytest

from bywire.adapters.sqlite_approvals import CANDIDATES_MAX, SqliteApprovals
from bywire.adapters.sqlite_reading import Reader
from bywire.adapters.sqlite_writer import Writer
from bywire.approvals.grant import verify_approval
from bywire.approvals.packet import Packet, evidence_digest, sign_verdict
from bywire.identity.trust import TrustedKey, TrustRoot
from bywire.model.errors import ConflictError
from bywire.model.principal import KeyRole
from bywire.model.rollout_plan import RolloutPlan, RolloutStep
from bywire.seal import jcs
from bywire.seal.keys import SigningKey

NOW = 1_790_000_000_000
ALICE = SigningKey.from_seed(b"a" * 32)
TRUST = TrustRoot(
    version=1,
    origin="log.example/x",
    keys=(
        TrustedKey(
            key_id=ALICE.key_id, role=KeyRole.APPROVER, principal="person:alice", public=ALICE.public.raw_public.hex()
        ),
    ),
)
PLAN = RolloutPlan("storefront", "production", "a" * 64, "", (RolloutStep(5),), 100, warm=False, origin="x")
PLAN = msgspec.json.decode(msgspec.json.encode(PLAN))


def packet(number=0, *, plan=None, at_ms=NOW, **action):
    asked = {"tool": "deploy_release", "change": "dl-1", "parameters": {"n": 0}, **action}
    return Packet(
        id=f"ap-{number}",
        action=asked,
        action_digest=jcs.digest(asked),
        evidence=(),
        evidence_digest=evidence_digest(()),
        bundle_digest="d" * 64,
        environment="production",
        service="storefront",
        requester="agent:release-controller",
        target={"version": 1},
        plan=plan,
        plan_digest=jcs.digest(plan) if plan else "",
        tier="high",
        approver_roles=("sre-oncall",),
        requested_at_ms=at_ms,
        expires_at_ms=at_ms + 1_000,
        undo="",
        expected="",
        missing=(),
        contrary=(),
        uncertain=(),
        prose="",
    )


def signed(of, verdict="approved"):
    envelope = sign_verdict(of, verdict, "person:alice", "sre-oncall", "", NOW, ALICE)
    return verify_approval(envelope, TRUST), envelope


class MemoryApprovals:
    """The double: the least that keeps the port's promises."""

    def __init__(self):
        self.rows = {}

    def pending(self, asked):
        self.rows.setdefault(asked.id, [asked, None, 0, False])
        return len(self.rows)

    def _newest(self):
        numbered = enumerate(self.rows.values())
        return [row for _, row in sorted(numbered, key=lambda pair: (-pair[1][0].requested_at_ms, -pair[0]))]

    def find(self, *, action_digest, plan_digest):
        fitting = [
            row
            for row in self._newest()
            if row[0].action_digest == action_digest or (plan_digest and row[0].plan_digest == plan_digest)
        ]
        return tuple(tuple(row) for row in fitting[:CANDIDATES_MAX])

    def decided_before(self, asked):
        def alike(one):
            about = one.action["parameters"].get("artifact") or one.action["change"]
            return one.requester, one.service, one.environment, one.action["tool"], about

        decided = (row for row in self._newest() if row[1] is not None and row[0].id != asked.id)
        return next((row[1] for row in decided if alike(row[0]) == alike(asked)), None)

    def settle(self, grant, envelope, now_ms):
        row = self.rows.get(grant.id)
        waits = row is not None and row[1] is None and row[0] == grant.packet and row[0].expires_at_ms > now_ms
        if not waits:
            raise ConflictError("no such packet waits", code="approval_settled", next_step="look")
        row[1:3] = [envelope, grant.uses if grant.verdict == "approved" else 0]
        return 1


@pytest.fixture(params=["memory", "sqlite"])
def store(request, tmp_path):
    if request.param == "memory":
        yield MemoryApprovals()
        return
    with Writer(tmp_path / "bywire.db") as writer:
        reader = Reader(tmp_path / "bywire.db")
        yield SqliteApprovals(writer, reader)
        reader.close()


def found(store, asked, plan_digest=""):
    return store.find(action_digest=asked.action_digest, plan_digest=plan_digest)


def refused(store, grant, envelope, now_ms=NOW):
    with pytest.raises(ConflictError) as caught:
        store.settle(grant, envelope, now_ms)
    assert caught.value.code == "approval_settled"
    assert caught.value.next_step


def test_a_pending_packet_is_found_by_its_action_and_permits_nothing(store):
    store.pending(packet())
    assert found(store, packet()) == ((packet(), None, 0, False),)
    assert found(store, packet(parameters={"n": 1})) == ()


def test_a_verdict_is_found_with_its_uses(store):
    store.pending(packet())
    grant, envelope = signed(packet())
    store.settle(grant, envelope, NOW)
    assert found(store, packet()) == ((packet(), envelope, 1, False),)


def test_a_plan_is_found_by_its_digest_and_nothing_is_found_by_an_empty_one(store):
    planned = packet(plan=PLAN)
    store.pending(planned)
    store.pending(packet(1, parameters={"n": 1}))
    grant, envelope = signed(planned)
    store.settle(grant, envelope, NOW)
    other = packet(2, parameters={"n": 2})
    assert found(store, other, planned.plan_digest) == ((planned, envelope, grant.uses, False),)
    assert found(store, other) == ()
    assert found(store, other, "f" * 64) == ()


def test_a_denial_leaves_no_uses(store):
    store.pending(packet())
    grant, envelope = signed(packet(), "denied")
    store.settle(grant, envelope, NOW)
    assert found(store, packet()) == ((packet(), envelope, 0, False),)


def test_a_packet_is_decided_once(store):
    store.pending(packet())
    store.settle(*signed(packet()), NOW)
    refused(store, *signed(packet(), "denied"))
    refused(store, *signed(packet()))
    assert found(store, packet())[0][2] == 1


def test_an_unknown_expired_or_other_packet_is_not_decided(store):
    refused(store, *signed(packet()))
    store.pending(packet())
    refused(store, *signed(packet()), now_ms=NOW + 1_000)
    # The same name over other contents: what waits is not what was signed.
    refused(store, *signed(msgspec.structs.replace(packet(), tier="low")))
    refused(store, *signed(packet(parameters={"n": 9})))
    assert found(store, packet())[0][1] is None
    store.settle(*signed(packet()), NOW + 999)


def test_asking_twice_is_one_request(store):
    store.pending(packet())
    store.settle(*signed(packet()), NOW)
    store.pending(packet())
    assert len(found(store, packet())) == 1
    assert found(store, packet())[0][1] is not None


def test_candidates_come_newest_first_and_bounded(store):
    for number in range(CANDIDATES_MAX + 4):
        store.pending(packet(number, at_ms=NOW + number // 2))
    ids = [asked.id for asked, *_ in found(store, packet())]
    assert ids == [f"ap-{number}" for number in range(CANDIDATES_MAX + 3, 3, -1)]


def test_the_last_verdict_on_a_like_request_is_found_whatever_its_parameters(store):
    first, second = packet(1), packet(2, parameters={"n": 2}, at_ms=NOW + 1)
    for asked, verdict in ((first, "approved"), (second, "denied")):
        store.pending(asked)
        store.settle(*signed(asked, verdict), NOW)
    store.pending(packet(3, parameters={"n": 3}, at_ms=NOW + 2))
    again = packet(4, parameters={"n": 4}, at_ms=NOW + 3)
    assert store.decided_before(again) == signed(second, "denied")[1]
    assert store.decided_before(second) == signed(first)[1]
    for other in (
        packet(4, tool="promote_release"),
        packet(4, change="dl-2"),
        msgspec.structs.replace(again, requester="agent:other"),
        msgspec.structs.replace(again, service="other"),
        msgspec.structs.replace(again, environment="staging"),
    ):
        assert store.decided_before(other) is None


def test_requests_and_verdicts_are_in_the_log(tmp_path):
    with Writer(tmp_path / "bywire.db") as writer:
        reader = Reader(tmp_path / "bywire.db")
        store = SqliteApprovals(writer, reader)
        assert store.pending(packet()) == 0
        grant, envelope = signed(packet())
        assert store.settle(grant, envelope, NOW) == 1
        leaves = [msgspec.json.decode(row[0]) for row in reader.rows("SELECT leaf FROM entries ORDER BY idx")]
        assert [leaf["kind"] for leaf in leaves] == ["approval-request", "approval"]
        assert leaves[1]["signer"] == ALICE.key_id
        assert leaves[1]["subjects"] == [packet().digest]
        assert store.row("ap-0").verdict == "approved"
        assert store.row("ap-9") is None
        assert [row.packet for row in store.rows()] == [packet()]
        reader.close()
