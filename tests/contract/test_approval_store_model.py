"""The approval store against a model of ten lines, under any order of questions, answers, revocations and uses."""

import tempfile
from pathlib import Path
from types import SimpleNamespace

import pytest
from approval_world import KEYS, NOW, PLAN, SPARE, TRUST, TTL_MS, packet, signed, taken_back
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, rule

from bywire.adapters.sqlite_approvals import SqliteApprovals
from bywire.adapters.sqlite_journal import SqliteJournal
from bywire.adapters.sqlite_reading import Reader
from bywire.adapters.sqlite_writer import Writer
from bywire.approvals.candidate import verify_approvals
from bywire.approvals.grant import uses_of
from bywire.model.errors import ConflictError

ROLES = ("sre-oncall", "security")


class _Asked:
    """What the model knows of one request."""

    def __init__(self, asked):
        self.packet = asked
        self.said = {}
        self.settled = ""
        self.uses = 0
        self.revoked = False

    def takes(self, who, now_ms):
        return not self.settled and not self.revoked and who not in self.said and now_ms < self.packet.expires_at_ms

    def say(self, who, role, verdict):
        self.said[who] = (role, verdict)
        agreed = [name for name, (held, what) in self.said.items() if what == "approved" and held in self.packet.roles]
        if verdict == "denied":
            self.settled = "denied"
        elif len(agreed) >= self.packet.quorum:
            self.settled, self.uses = "approved", uses_of(self.packet)

    def usable(self, now_ms):
        fits = self.settled == "approved" and not self.revoked and self.uses > 0
        return fits and now_ms < self.packet.expires_at_ms


class ApprovalStore(RuleBasedStateMachine):
    """One machine is one database."""

    requests = Bundle("requests")

    @initialize()
    def open(self):
        self.directory = tempfile.TemporaryDirectory()
        path = Path(self.directory.name) / "bywire.db"
        self.writer = Writer(path)
        self.reader = Reader(path)
        self.store = SqliteApprovals(self.writer, self.reader)
        self.now_ms = NOW
        self.model = {}

    def teardown(self):
        if hasattr(self, "writer"):
            self.writer.close()
            self.reader.close()
            self.directory.cleanup()

    @rule(
        target=requests,
        quorum=st.integers(1, 3),
        roles=st.sampled_from([(), ("security",), ROLES]),
        planned=st.booleans(),
    )
    def ask(self, quorum, roles, planned):
        number = len(self.model)
        asked = packet(
            number,
            plan=PLAN if planned else None,
            at_ms=self.now_ms,
            quorum=quorum,
            roles=roles,
            parameters={"n": number},
        )
        self.store.pending(asked)
        self.model[asked.id] = _Asked(asked)
        return asked.id

    @rule(about=requests)
    def ask_again(self, about):
        self.store.pending(self.model[about].packet)

    @rule(
        about=requests,
        who=st.sampled_from(sorted(KEYS)),
        role=st.sampled_from(ROLES),
        verdict=st.sampled_from(["approved", "approved", "denied"]),
        spare=st.booleans(),
    )
    def answer(self, about, who, role, verdict, spare):
        known = self.model[about]
        key = SPARE if spare and who == "alice" else KEYS[who]
        said = signed(known.packet, verdict, who, role, key)
        if known.takes(who, self.now_ms):
            self.store.settle(*said, self.now_ms)
            known.say(who, role, verdict)
        else:
            refused(lambda: self.store.settle(*said, self.now_ms))

    @rule(about=requests, other=requests, who=st.sampled_from(sorted(KEYS)))
    def answer_something_else(self, about, other, who):
        """A verdict on one request, put under the name of another."""
        if about != other:
            moved = signed(packet(about.partition("-")[2], parameters={"n": -1}), who=who)
            refused(lambda: self.store.settle(*moved, self.now_ms))

    @rule(about=requests, who=st.sampled_from(sorted(KEYS)))
    def revoke(self, about, who):
        known = self.model[about]
        if known.revoked or known.settled == "denied":
            refused(lambda: self.store.revoke(*taken_back(known.packet, who), self.now_ms))
        else:
            self.store.revoke(*taken_back(known.packet, who), self.now_ms)
            known.revoked = True

    @rule(about=requests, uses=st.sampled_from([0, 1]))
    def use(self, about, uses):
        """What the intent transaction does with a grant."""
        known = self.model[about]
        intent = SimpleNamespace(grant_id=about, grant_uses=uses, now_ms=self.now_ms)
        if known.usable(self.now_ms):
            self.writer.run(lambda tx: SqliteJournal._consume(tx, intent))
            known.uses -= uses
        else:
            with pytest.raises(Exception, match=r"approval\.used_or_expired"):
                self.writer.run(lambda tx: SqliteJournal._consume(tx, intent))

    @rule(ms=st.sampled_from([1, TTL_MS // 2, TTL_MS]))
    def pass_time(self, ms):
        self.now_ms += ms

    @rule(about=consumes(requests))
    def forget(self, about):
        """Stop talking about a request; what is stored of it stays as it is."""

    @invariant()
    def the_store_says_what_the_model_says(self):
        for about, known in getattr(self, "model", {}).items():
            row = self.store.row(about)
            (seen,) = self.store.find(action_digest=known.packet.action_digest, plan_digest="")
            assert seen == row.candidate
            assert (seen.packet, seen.settled, seen.revoked, seen.uses_left) == (
                known.packet,
                known.settled,
                known.revoked,
                known.uses,
            )
            assert seen.waiting is (not known.settled and not known.revoked)
            assert len(seen.envelopes) == len(known.said)
            grant = verify_approvals(seen, TRUST)
            agreed = [f"person:{who}" for who, (_, verdict) in known.said.items() if verdict == "approved"]
            assert (grant is None) is (not known.said)
            if grant is not None:
                assert [item.approver for item in grant.approvals] == agreed
                assert (grant.verdict == "denied") is (known.settled == "denied")


def refused(act):
    with pytest.raises(ConflictError) as caught:
        act()
    assert caught.value.code == "approval_settled"


TestApprovalStore = ApprovalStore.TestCase
TestApprovalStore.settings = settings(max_examples=20, stateful_step_count=25, deadline=None)
