"""Requests that need several people: who counts, who is told, what is taken back; on real keys."""

import contextlib
import sqlite3

import msgspec
import pytest
from scene import Scene, refused

from bywire.adapters.key_files import KeyFiles
from bywire.adapters.operator_dir import OperatorDirectory
from bywire.approvals.grant import verify_approval
from bywire.approvals.packet import Packet, evidence_digest, sign_verdict
from bywire.identity.trust import TrustRoot
from bywire.model.errors import BywireError
from bywire.model.principal import KeyRole
from bywire.seal import jcs
from bywire.wiring.approving import record_verdict, remind

PEOPLE = [
    {"id": "person:dana", "emails": ["dana@example.test"], "roles": ["service-owner"]},
    {"id": "person:oncall", "roles": ["sre-oncall", "service-owner"]},
    {"id": "person:ines", "roles": ["incident-commander", "sre-oncall"]},
    {"id": "person:sam", "roles": ["database-owner"]},
]
REMINDERS = {"after_seconds": [60], "escalate_after_seconds": 120, "escalate_to": ["incident-commander"]}
RUNBOOK = {
    "service": "tiny",
    "environment": "production",
    "steps": [{"tool": "set_canary_weight", "parameters": {"weight": {"min": 0, "max": 25}}}],
    "uses": 5,
    "valid_seconds": 86_400,
}


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    scene = Scene(tmp_path_factory.mktemp("quorum") / "scene")
    assert scene.bywire("init").code == 0
    scene.configure(people=PEOPLE, reminders=REMINDERS)
    keys = KeyFiles(OperatorDirectory(scene.operator))
    root = keys.trust()
    made = [keys.create(KeyRole.APPROVER, person["id"]) for person in PEOPLE if person["id"] != "person:oncall"]
    made.append(keys.create(KeyRole.CHANNEL, "workload:chat"))
    keys.save_trust(TrustRoot(version=1, origin=root.origin, keys=(*root.keys, *made)))
    return scene


@pytest.fixture
def scene(prepared, tmp_path):
    return prepared.clone(tmp_path / "scene")


def asked(scene, **changes):
    """A request as the door would store it."""
    action = {"tool": "start_rollout", "parameters": {"weight": 5}, "principal": "agent:release-controller"}
    workspace = scene.workspace()
    try:
        now_ms = workspace.clock.now_ms()
        made = Packet(
            id="ap-0123456789ab",
            action=action,
            action_digest=jcs.digest(action),
            evidence=(),
            evidence_digest=evidence_digest(()),
            bundle_digest="d" * 64,
            environment="production",
            service="tiny",
            requester="agent:release-controller",
            target={"version": 1, "stable": "b" * 64},
            plan=None,
            plan_digest="",
            tier="high",
            approver_roles=("sre-oncall", "service-owner", "incident-commander"),
            requested_at_ms=now_ms,
            expires_at_ms=now_ms + 3_600_000,
            undo="bywire rollback",
            expected="traffic moves",
            missing=(),
            contrary=("evaluation: 1 of 40 fail",),
            uncertain=(),
            prose="[bold]trust me[/]",
            quorum=2,
        )
        made = msgspec.structs.replace(made, **changes)
        workspace.approvals.pending(made)
    finally:
        workspace.close()
    return made.id


def shown(scene, approval):
    return scene.bywire("approvals", "show", approval, "--json").json


def page(scene, approval):
    return scene.bywire("approvals", "show", approval).out


def revokes(scene, approval, who, reason="wrong artifact"):
    return scene.bywire("approvals", "revoke", approval, "--as", who, "--reason", reason, "--json")


def pass_time(scene, seconds):
    with contextlib.closing(sqlite3.connect(scene.operator / "bywire.db")) as connection:
        connection.execute("INSERT INTO meta VALUES ('now_ms', 0) ON CONFLICT DO NOTHING")
        connection.execute(
            "UPDATE meta SET value = (SELECT max(requested_ms) FROM approvals) + ? WHERE key = 'now_ms'",
            (seconds * 1_000,),
        )
        connection.commit()


class TestQuorum:
    def test_two_persons_agree_one_after_the_other(self, scene):
        approval = asked(scene)
        first = scene.approve(approval, "oncall")
        assert (first.code, first.json["state"], first.json["quorum"]) == (0, "pending", {"have": 1, "needed": 2})
        waiting = shown(scene, approval)
        assert waiting["may_answer"] == ["person:ines"]
        assert waiting["uses_left"] == 0
        second = scene.approve(approval, "ines")
        assert second.json["state"] == "approved"
        done = shown(scene, approval)
        assert [item["approver"] for item in done["approvals"]] == ["person:oncall", "person:ines"]
        assert done["uses_left"] == 1

    def test_rule_19_the_same_person_twice_is_refused(self, scene):
        approval = asked(scene)
        assert scene.approve(approval, "oncall").code == 0
        refused(scene.approve(approval, "oncall"), "approval_settled")
        ran = scene.bywire(
            "approvals", "approve", approval, "--as", "oncall", "--role", "service-owner", "--yes", "--json"
        )
        refused(ran, "approval_settled")
        assert shown(scene, approval)["quorum"]["have"] == 1

    def test_one_denial_settles(self, scene):
        approval = asked(scene)
        assert scene.approve(approval, "oncall").code == 0
        denied = scene.bywire("approvals", "deny", approval, "--as", "ines", "--reason", "not today", "--json")
        assert denied.json["state"] == "denied"
        assert shown(scene, approval)["denied_by"] == "person:ines"
        assert "not today" in page(scene, approval)

    def test_rule_19_a_role_that_is_claimed_but_not_held(self, scene):
        approval = asked(scene, quorum_roles=("incident-commander",))
        claims = ["--role", "incident-commander", "--yes", "--json"]
        refused(scene.bywire("approvals", "approve", approval, "--as", "oncall", *claims), "approval_role")
        refused(scene.approve(approval, "oncall"), "approval_role")
        refused(scene.approve(approval, "sam"), "approval_role")
        held = ["--role", "sre-oncall", "--yes", "--json"]
        refused(scene.bywire("approvals", "approve", approval, "--as", "ines", *held), "approval_role")
        assert scene.approve(approval, "ines").code == 0

    def test_rule_05_a_secret_in_a_reason_is_not_signed(self, scene):
        approval = asked(scene)
        reason = ["--reason", f"see ghp_{'a1B2' * 9}", "--yes", "--json"]
        refused(scene.bywire("approvals", "approve", approval, "--as", "oncall", *reason), "secret_found")
        assert shown(scene, approval)["approvals"] == []


class TestChannel:
    def asserted(self, scene, approval, person="person:ines", role="sre-oncall"):
        workspace = scene.workspace()
        try:
            packet = workspace.approvals.row(approval).packet
            key = workspace.keys.load(KeyRole.CHANNEL, "workload:chat")
            envelope = sign_verdict(packet, "approved", person, role, "", packet.requested_at_ms, key, channel="chat")
            record_verdict(workspace, envelope)
            return verify_approval(envelope, workspace.trust)
        finally:
            workspace.close()

    def test_rule_19_what_a_channel_says_is_marked(self, scene):
        approval = asked(scene)
        assert self.asserted(scene, approval).approval.asserted_by == "channel"
        assert shown(scene, approval)["approvals"][0]["asserted_by"] == "channel"
        assert "in a channel" in page(scene, approval)
        refused(scene.approve(approval, "ines"), "approval_settled")

    def test_rule_19_a_channel_lends_nobody_a_role(self, scene):
        approval = asked(scene)
        for person, role in (
            ("person:sam", "sre-oncall"),
            ("person:nobody", "sre-oncall"),
            ("person:ines", "security"),
        ):
            with pytest.raises(BywireError) as caught:
                self.asserted(scene, approval, person, role)
            assert caught.value.code == "approval_role"
        assert shown(scene, approval)["approvals"] == []


class TestRevocation:
    def test_an_approver_takes_back(self, scene):
        approval = asked(scene, quorum=1)
        assert scene.approve(approval, "oncall").code == 0
        assert revokes(scene, approval, "oncall").code == 0
        told = shown(scene, approval)
        assert (told["state"], told["revoked"], told["revoked_by"]) == ("revoked", True, "person:oncall")
        assert "wrong artifact" in page(scene, approval)
        refused(revokes(scene, approval, "oncall"), "approval_settled")
        refused(scene.approve(approval, "ines"), "approval_settled")

    def test_who_is_in_command_takes_back_what_others_gave(self, scene):
        approval = asked(scene, quorum=1)
        assert scene.approve(approval, "oncall").code == 0
        assert revokes(scene, approval, "ines").code == 0

    def test_nobody_else_does(self, scene):
        approval = asked(scene, quorum=1)
        assert scene.approve(approval, "oncall").code == 0
        for who in ("dana", "sam", "nobody", "agent:release-controller"):
            refused(revokes(scene, approval, who), "approval_role")
        assert shown(scene, approval)["state"] == "approved"

    def test_a_request_that_waits_is_taken_back_by_who_agreed(self, scene):
        approval = asked(scene)
        refused(revokes(scene, approval, "oncall"), "approval_role")
        assert scene.approve(approval, "oncall").code == 0
        assert revokes(scene, approval, "oncall").code == 0
        refused(scene.approve(approval, "ines"), "approval_settled")

    def test_a_reason_is_demanded(self, scene):
        approval = asked(scene, quorum=1)
        assert scene.approve(approval, "oncall").code == 0
        refused(revokes(scene, approval, "oncall", "  "), "revocation_malformed")
        refused(revokes(scene, "ap-000000000000", "oncall"), "not_found")


class TestReminders:
    def test_each_is_recorded_once_and_says_who_and_by_when(self, scene):
        approval = asked(scene)
        assert scene.bywire("approvals", "remind", "--json").json == []
        pass_time(scene, 61)
        (first,) = scene.bywire("approvals", "remind", "--json").json
        assert (first["id"], first["reminder"]) == (approval, "after-60")
        assert first["persons"] == ["person:oncall", "person:ines"]
        assert first["entry"] >= 0
        assert scene.bywire("approvals", "remind", "--json").json == []
        assert scene.approve(approval, "oncall").code == 0
        pass_time(scene, 121)
        said = scene.bywire("approvals", "remind")
        assert "escalated" in said.out
        assert "person:ines: answer by" in said.out
        assert "escalated to incident-commander" in scene.bywire("approvals", "list").out
        assert shown(scene, approval)["reminded"] == ["after-60", "escalated"]

    def test_what_is_answered_or_over_reminds_nobody(self, scene):
        approval = asked(scene, quorum=1)
        assert scene.approve(approval, "oncall").code == 0
        expired = asked(scene, id="ap-000000000001")
        pass_time(scene, 3_601)
        assert "nobody is to be reminded" in scene.bywire("approvals", "remind").out
        assert shown(scene, expired)["state"] == "expired"

    def test_the_loop_that_waits_may_call_it_as_often_as_it_likes(self, scene):
        asked(scene)
        pass_time(scene, 130)
        workspace = scene.workspace()
        try:
            assert [item.reminder.name for item in remind(workspace)] == ["after-60", "escalated"]
            assert remind(workspace) == remind(workspace) == ()
        finally:
            workspace.close()


class TestPage:
    def test_everything_a_person_must_see_is_there(self, scene):
        """Seed 001, 11.3, line by line."""
        approval = asked(
            scene,
            risk_flags=("touches_intent: bywire.yaml",),
            alternatives=("do nothing: the target stays as it is now",),
            evidence_summary=("tests: 41 passed, 0 failed",),
            proposed="weight 5",
        )
        said = page(scene, approval)
        for line in (
            "start_rollout on tiny in production (high tier)",
            "requested by  agent:release-controller",
            "stable bbbbbbbbbbbb",
            "proposed      weight 5",
            "tests: 41 passed",
            "risk          touches_intent",
            "instead       do nothing",
            "undo          bywire rollback",
            "expected      traffic moves",
            'exact call    start_rollout({"weight":5})',
            "0 of 2 persons agreed",
            "waits for     person:oncall, person:ines",
            "untrusted     [bold]trust me[/]",
            "contrary      evaluation: 1 of 40 fail",
        ):
            assert line in said, line

    def test_the_bounds_of_a_runbook_are_there(self, scene):
        action = {"tool": "start_runbook", "parameters": RUNBOOK, "principal": "agent:incident-responder"}
        digests = {"action_digest": jcs.digest(action), "plan_digest": jcs.digest(RUNBOOK)}
        approval = asked(scene, action=action, plan=RUNBOOK, quorum=1, **digests)
        said = page(scene, approval)
        assert "5 steps in all, within 86400 s of the request" in said
        assert "set_canary_weight(weight from 0 to 25)" in said
        assert scene.approve(approval, "oncall").code == 0
        done = shown(scene, approval)
        assert (done["kind"], done["uses_left"]) == ("runbook", 5)
        assert done["expires_in_seconds"] > 86_000

    def test_a_scheduled_gate_says_when_it_opens(self, scene):
        approval = asked(scene, gate="scheduled")
        assert "write change_windows" in page(scene, approval)
        always = {"days": ["mon", "tue", "wed", "thu", "fri", "sat", "sun"], "from": "00:00", "to": "24:00"}
        scene.configure(change_windows=[always])
        assert "window        open now" in page(scene, approval)
        scene.configure(change_windows=[{**always, "to": "00:01"}])
        assert "window        op" in page(scene, approval)
