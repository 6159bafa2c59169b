"""What the door may expect of any approval store: the in-memory one and the one on SQLite answer alike."""

import contextlib

import msgspec
import pytest
from approval_world import KEYS, NOW, PLAN, packet, signed, taken_back

from bywire.adapters.sqlite_approvals import CANDIDATES_MAX, SqliteApprovals
from bywire.adapters.sqlite_database import connect, open_database
from bywire.adapters.sqlite_reading import Reader
from bywire.adapters.sqlite_schema import MIGRATIONS
from bywire.adapters.sqlite_writer import Writer
from bywire.approvals.candidate import Candidate
from bywire.approvals.grant import uses_of
from bywire.model.errors import ConflictError


class MemoryApprovals:
    """The double: the least that keeps the port's promises."""

    def __init__(self):
        self.rows = {}

    def pending(self, asked):
        self.rows.setdefault(asked.id, {"packet": asked, "said": [], "settled": "", "uses": 0, "revoked": False})
        return len(self.rows)

    def _newest(self):
        numbered = enumerate(self.rows.values())
        return [row for _, row in sorted(numbered, key=lambda pair: (-pair[1]["packet"].requested_at_ms, -pair[0]))]

    def _candidate(self, row):
        envelopes = tuple(envelope for _, envelope in row["said"])
        return Candidate(row["packet"], envelopes, row["uses"], row["revoked"], row["settled"])

    def find(self, *, action_digest, plan_digest):
        fitting = [
            self._candidate(row)
            for row in self._newest()
            if row["packet"].action_digest == action_digest
            or (plan_digest and row["packet"].plan_digest == plan_digest)
        ]
        return tuple(fitting[:CANDIDATES_MAX])

    def decided_before(self, asked):
        def alike(one):
            about = one.action["parameters"].get("artifact") or one.action["change"]
            return one.requester, one.service, one.environment, one.action["tool"], about

        decided = (row for row in self._newest() if row["settled"] and row["packet"].id != asked.id)
        return tuple(self._candidate(row) for row in decided if alike(row["packet"]) == alike(asked))[:1]

    def settle(self, verdict, envelope, now_ms):
        row = self.rows.get(verdict.id)
        if row is None or row["packet"] != verdict.packet or row["settled"] or row["revoked"]:
            raise settled_before()
        asked = row["packet"]
        if asked.expires_at_ms <= now_ms or any(said.approver == verdict.approver for said, _ in row["said"]):
            raise settled_before()
        row["said"].append((verdict, envelope))
        agreed = [said for said, _ in row["said"] if said.verdict == "approved" and said.approval.role in asked.roles]
        if verdict.verdict == "denied":
            row["settled"] = "denied"
        elif len(agreed) >= asked.quorum:
            row["settled"], row["uses"] = "approved", uses_of(asked)
        return 1

    def revoke(self, revocation, envelope, now_ms):
        row = self.rows.get(revocation.approval)
        fits = row is not None and row["packet"].digest == revocation.packet_digest
        if not fits or row["revoked"] or row["settled"] == "denied":
            raise settled_before()
        row["revoked"] = True
        return 1


def settled_before():
    return ConflictError("no such packet waits", code="approval_settled", next_step="look")


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


def refused(store, verdict, envelope, now_ms=NOW):
    with pytest.raises(ConflictError) as caught:
        store.settle(verdict, envelope, now_ms)
    assert caught.value.code == "approval_settled"
    assert caught.value.next_step


def stored(of, *envelopes, uses=0, revoked=False, settled=""):
    return Candidate(of, envelopes, uses, revoked, settled)


def test_a_pending_packet_is_found_by_its_action_and_permits_nothing(store):
    store.pending(packet())
    assert found(store, packet()) == (stored(packet()),)
    assert found(store, packet())[0].waiting
    assert found(store, packet(parameters={"n": 1})) == ()


def test_a_verdict_is_found_with_its_uses(store):
    store.pending(packet())
    verdict, envelope = signed(packet())
    store.settle(verdict, envelope, NOW)
    assert found(store, packet()) == (stored(packet(), envelope, uses=1, settled="approved"),)
    assert not found(store, packet())[0].waiting


def test_a_plan_is_found_by_its_digest_and_nothing_is_found_by_an_empty_one(store):
    planned = packet(plan=PLAN)
    store.pending(planned)
    store.pending(packet(1, parameters={"n": 1}))
    verdict, envelope = signed(planned)
    store.settle(verdict, envelope, NOW)
    other = packet(2, parameters={"n": 2})
    whole = stored(planned, envelope, uses=uses_of(planned), settled="approved")
    assert found(store, other, planned.plan_digest) == (whole,)
    assert found(store, other) == ()
    assert found(store, other, "f" * 64) == ()


def test_a_denial_leaves_no_uses(store):
    store.pending(packet())
    verdict, envelope = signed(packet(), "denied")
    store.settle(verdict, envelope, NOW)
    assert found(store, packet()) == (stored(packet(), envelope, settled="denied"),)


def test_a_packet_is_decided_once(store):
    store.pending(packet())
    store.settle(*signed(packet()), NOW)
    refused(store, *signed(packet(), "denied"))
    refused(store, *signed(packet()))
    refused(store, *signed(packet(), who="bob"))
    assert found(store, packet())[0].uses_left == 1
    assert len(found(store, packet())[0].envelopes) == 1


def test_rule_19_a_quorum_is_of_distinct_persons(store):
    asked = packet(quorum=2)
    store.pending(asked)
    first, second = signed(asked), signed(asked, who="bob")
    store.settle(*first, NOW)
    assert found(store, asked) == (stored(asked, first[1]),)
    refused(store, *signed(asked))
    refused(store, *signed(asked, "denied"))
    assert found(store, asked)[0].waiting
    store.settle(*second, NOW)
    assert found(store, asked) == (stored(asked, first[1], second[1], uses=1, settled="approved"),)


def test_one_denial_settles_a_quorum(store):
    asked = packet(quorum=3)
    store.pending(asked)
    store.settle(*signed(asked), NOW)
    store.settle(*signed(asked, "denied", who="bob"), NOW)
    assert (found(store, asked)[0].settled, found(store, asked)[0].uses_left) == ("denied", 0)
    refused(store, *signed(asked, who="carol"))


def test_only_the_roles_that_count_make_a_quorum(store):
    asked = packet(quorum=2, roles=("security", "incident-commander"))
    store.pending(asked)
    store.settle(*signed(asked, role="security"), NOW)
    store.settle(*signed(asked, who="bob", role="sre-oncall"), NOW)
    assert found(store, asked)[0].waiting
    store.settle(*signed(asked, who="carol", role="incident-commander"), NOW)
    assert found(store, asked)[0].settled == "approved"


def test_an_unknown_expired_or_other_packet_is_not_decided(store):
    refused(store, *signed(packet()))
    store.pending(packet())
    refused(store, *signed(packet()), now_ms=NOW + 1_000)
    # The same name over other contents: what waits is not what was signed.
    refused(store, *signed(msgspec.structs.replace(packet(), tier="low")))
    refused(store, *signed(msgspec.structs.replace(packet(), quorum=2)))
    refused(store, *signed(packet(parameters={"n": 9})))
    assert found(store, packet())[0].envelopes == ()
    store.settle(*signed(packet()), NOW + 999)


def test_what_is_revoked_stays_so_and_takes_no_verdict(store):
    store.pending(packet())
    store.settle(*signed(packet()), NOW)
    store.revoke(*taken_back(packet()), NOW)
    assert found(store, packet())[0].revoked
    assert not found(store, packet())[0].waiting
    not_revoked(store, packet())
    store.pending(packet(1, quorum=2))
    store.settle(*signed(packet(1, quorum=2)), NOW)
    store.revoke(*taken_back(packet(1, quorum=2)), NOW)
    refused(store, *signed(packet(1, quorum=2), who="bob"))


def test_nothing_to_take_back(store):
    not_revoked(store, packet())
    store.pending(packet())
    not_revoked(store, msgspec.structs.replace(packet(), tier="low"))
    store.settle(*signed(packet(), "denied"), NOW)
    not_revoked(store, packet())


def not_revoked(store, of):
    with pytest.raises(ConflictError) as caught:
        store.revoke(*taken_back(of), NOW)
    assert caught.value.code == "approval_settled"
    assert caught.value.next_step


def test_asking_twice_is_one_request(store):
    store.pending(packet())
    store.settle(*signed(packet()), NOW)
    store.pending(packet())
    assert len(found(store, packet())) == 1
    assert found(store, packet())[0].envelopes


def test_candidates_come_newest_first_and_bounded(store):
    for number in range(CANDIDATES_MAX + 4):
        store.pending(packet(number, at_ms=NOW + number // 2))
    ids = [one.packet.id for one in found(store, packet())]
    assert ids == [f"ap-{number}" for number in range(CANDIDATES_MAX + 3, 3, -1)]


def test_the_last_verdict_on_a_like_request_is_found_whatever_its_parameters(store):
    first, second = packet(1), packet(2, parameters={"n": 2}, at_ms=NOW + 1)
    for asked, verdict in ((first, "approved"), (second, "denied")):
        store.pending(asked)
        store.settle(*signed(asked, verdict), NOW)
    store.pending(packet(3, parameters={"n": 3}, at_ms=NOW + 2))
    again = packet(4, parameters={"n": 4}, at_ms=NOW + 3)
    assert store.decided_before(again) == (stored(second, signed(second, "denied")[1], settled="denied"),)
    assert store.decided_before(second) == (stored(first, signed(first)[1], uses=1, settled="approved"),)
    for other in (
        packet(4, tool="promote_release"),
        packet(4, change="dl-2"),
        msgspec.structs.replace(again, requester="agent:other"),
        msgspec.structs.replace(again, service="other"),
        msgspec.structs.replace(again, environment="staging"),
    ):
        assert store.decided_before(other) == ()


def test_requests_and_verdicts_are_in_the_log(tmp_path):
    with Writer(tmp_path / "bywire.db") as writer:
        reader = Reader(tmp_path / "bywire.db")
        store = SqliteApprovals(writer, reader)
        assert store.pending(packet()) == 0
        grant, envelope = signed(packet())
        assert store.settle(grant, envelope, NOW) == 1
        leaves = [msgspec.json.decode(row[0]) for row in reader.rows("SELECT leaf FROM entries ORDER BY idx")]
        assert [leaf["kind"] for leaf in leaves] == ["approval-request", "approval"]
        assert leaves[1]["signer"] == KEYS["alice"].key_id
        assert leaves[1]["subjects"] == [packet().digest]
        assert store.row("ap-0").verdict == "approved"
        assert store.row("ap-9") is None
        assert [row.packet for row in store.rows()] == [packet()]
        reader.close()


def test_a_request_of_the_first_schema_keeps_its_verdict_in_its_row(tmp_path):
    """Version 1 had one verdict a request, in `approvals.envelope`; the migration leaves it there."""
    path = tmp_path / "bywire.db"
    open_database(path, MIGRATIONS[:1]).close()
    _, envelope = signed(packet())
    with contextlib.closing(connect(path)) as connection:
        for number, settled in enumerate((envelope, None)):
            values = (f"ap-{number}", packet().action_digest, msgspec.json.encode(packet(number)), settled)
            connection.execute(
                "INSERT INTO approvals (id, action_digest, plan_digest, packet, envelope, verdict, uses_left,"
                " requested_ms, expires_ms) VALUES (?, ?, '', ?, ?, ?, ?, ?, ?)",
                (*values, "approved" if settled else "pending", int(bool(settled)), NOW - number, NOW + 1_000),
            )
    with Writer(path) as writer:
        reader = Reader(path)
        store = SqliteApprovals(writer, reader)
        assert found(store, packet()) == (
            stored(packet(), envelope, uses=1, settled="approved"),
            stored(packet(1)),
        )
        refused(store, *signed(packet(), who="bob"))
        store.settle(*signed(packet(1), who="bob"), NOW)
        assert store.row("ap-1").verdict == "approved"
        reader.close()


def test_a_reminder_is_recorded_once(tmp_path):
    with Writer(tmp_path / "bywire.db") as writer:
        reader = Reader(tmp_path / "bywire.db")
        store = SqliteApprovals(writer, reader)
        store.pending(packet())
        assert store.remind(packet(), "after-600", {"name": "after-600"}, NOW) == 1
        assert store.remind(packet(), "after-600", {"name": "after-600"}, NOW) is None
        assert store.remind(packet(), "escalated", {"name": "escalated"}, NOW) == 2
        assert store.row("ap-0").reminded == ("after-600", "escalated")
        reader.close()
