"""Approvals that do not fit: by the wrong person or key, too late, twice, or for something else than what is asked."""

import contextlib
import json
import shutil
import sqlite3

import pytest
from scene import Scene, approving, refused

from bywire.adapters.key_files import KeyFiles
from bywire.adapters.operator_dir import OperatorDirectory
from bywire.identity.trust import TrustRoot
from bywire.model.action import ActionRequest
from bywire.model.decision import OutcomeStatus
from bywire.model.errors import BywireError
from bywire.model.principal import KeyRole
from bywire.wiring.delivering import CONTROLLER
from bywire.wiring.door import Joined
from bywire.wiring.workspace import LOG_PRINCIPAL

PLAN = "{version: 1, steps: [{weight: 1}, {weight: 100}]}"


@pytest.fixture(scope="module")
def waiting(tmp_path_factory):
    """A delivery that waits for its approval; cloned for each test."""
    scene = Scene(tmp_path_factory.mktemp("waiting") / "scene").prepared()
    try:
        assert approving(scene.deliver("g"))
    finally:
        scene.close()
    return scene


@pytest.fixture
def scene(waiting, tmp_path):
    scene = waiting.clone(tmp_path / "scene")
    yield scene
    scene.close()


def asked(scene, state="pending"):
    return next(row for row in scene.bywire("approvals", "list", "--json").json if row["state"] == state)


def state_of(scene, approval):
    return scene.bywire("approvals", "show", approval, "--json").json["state"]


def give_key(scene, person):
    """An approver key of `person`, known to the trust root."""
    keys = KeyFiles(OperatorDirectory(scene.operator))
    root = keys.trust()
    made = keys.create(KeyRole.APPROVER, person)
    keys.save_trust(TrustRoot(version=1, origin=root.origin, keys=(*root.keys, made)))


def pass_time(scene, hours):
    """The clock never runs backwards, so a later high-water mark is a later now."""
    with contextlib.closing(sqlite3.connect(scene.operator / "bywire.db")) as connection:
        connection.execute("UPDATE meta SET value = value + ? WHERE key = 'now_ms'", (hours * 3_600_000,))
        connection.commit()


def nothing_exposed(scene):
    return not scene.bywire("status", "--json").json.get("target", {}).get("stable")


class TestWho:
    def test_a_person_without_a_key(self, scene):
        approval = asked(scene)["id"]
        refused(scene.approve(approval, "dana"), "key_missing")
        assert state_of(scene, approval) == "pending"

    def test_a_person_without_a_role(self, scene):
        scene.configure(people=[{"id": "person:dana", "roles": ["service-owner"]}, {"id": "person:oncall"}])
        approval = asked(scene)["id"]
        refused(scene.approve(approval), "approval_role")
        assert state_of(scene, approval) == "pending"

    def test_a_stranger(self, scene):
        approval = asked(scene)["id"]
        refused(scene.approve(approval, "nobody"), "approval_role")
        refused(scene.approve(approval, "../../etc"), "approval_role")
        assert state_of(scene, approval) == "pending"

    def test_the_author_of_the_change(self, scene):
        give_key(scene, "person:dana")
        approval = asked(scene)["id"]
        signed = scene.approve(approval, "dana")
        ran = scene.deliver("g")
        assert (signed.code, ran.code, ran.json["phase"]) == (0, 1, "denied")
        assert {"duties.approver_is_author", "duties.approver_owns_agent"} & {
            reason["rule"] for reason in ran.json["reasons"]
        }
        assert nothing_exposed(scene)

    @pytest.mark.parametrize("role", ["agent--agent-planner", "builder--workload-builder", "log--workload-log"])
    def test_the_key_of_an_agent_or_workload(self, scene, role):
        keys = scene.operator / "keys"
        shutil.copy(keys / f"{role}.pem", keys / "approver--person-oncall.pem")
        approval = asked(scene)["id"]
        ran = scene.approve(approval)
        assert ran.code == 2, ran
        assert ran.json["error"]["next_step"]
        assert state_of(scene, approval) == "pending"
        assert scene.deliver("g").code == 3

    def test_an_agent_by_name(self, scene):
        refused(scene.approve(asked(scene)["id"], "agent:planner"), "approval_role")

    def test_a_key_that_nobody_trusts(self, scene):
        root = (scene.operator / "trust.json").read_bytes()
        (scene.operator / "keys" / "approver--person-oncall.pem").unlink()
        give_key(scene, "person:oncall")
        (scene.operator / "trust.json").write_bytes(root)
        approval = asked(scene)["id"]
        assert scene.approve(approval).code == 2
        assert state_of(scene, approval) == "pending"


class TestWhen:
    def test_an_expired_request_takes_no_verdict(self, scene):
        approval = asked(scene)["id"]
        pass_time(scene, hours=2)
        refused(scene.approve(approval), "approval_settled")
        assert state_of(scene, approval) == "expired"
        assert approving(scene.deliver("g")) != approval

    def test_an_expired_approval_allows_nothing(self, scene):
        approval = asked(scene)["id"]
        assert scene.approve(approval).code == 0
        pass_time(scene, hours=2)
        again = approving(scene.deliver("g"))
        assert again != approval
        packet = scene.bywire("approvals", "show", again, "--json").json["packet"]
        assert packet["supersedes"] == approval
        assert "the approval expired or was used up" in packet["contrary"]
        assert nothing_exposed(scene)

    def test_a_verdict_is_final(self, scene):
        approval = asked(scene)["id"]
        assert scene.bywire("approvals", "deny", approval, "--as", "oncall", "--reason", "not today").code == 0
        refused(scene.approve(approval), "approval_settled")
        assert state_of(scene, approval) == "denied"
        ran = scene.deliver("g")
        assert ran.code in {1, 3}
        assert nothing_exposed(scene)

    def test_an_approval_is_used_once(self, scene):
        approval = asked(scene)["id"]
        assert scene.approve(approval).code == 0
        done = scene.deliver("g").json
        assert done["phase"] == "successful"
        assert not nothing_exposed(scene)
        opened = scene.workspace()
        try:
            before = scene.target.status()
            for last_good in ("", before["stable"]["digest"]):
                again = ActionRequest(
                    tool="start_rollout",
                    service="tiny",
                    environment="production",
                    parameters={**done["plan"], "last_good": last_good},
                    idempotency_key=f"once more {last_good}",
                    evidence=tuple(done["evidence"]),
                    plan=done["plan_digest"],
                    change=done["id"],
                )
                outcome = Joined(opened).door.call(opened.token(CONTROLLER, done["id"]), again)
                assert outcome.status in {OutcomeStatus.PENDING, OutcomeStatus.DENIED}
            assert opened.approvals.row(approval).uses_left >= 0
            assert scene.target.status()["version"] == before["version"]
        finally:
            opened.close()


class TestWhat:
    def test_another_plan_needs_another_approval(self, scene):
        approval = asked(scene)["id"]
        assert scene.approve(approval).code == 0
        scene.configure(limits={"rollout_ceiling": 100})
        place = scene.root / "plan.yaml"
        place.write_text(PLAN.replace("{version: 1,", "{version: 1, warm: true,"))
        ran = scene.deliver("g", "--plan", str(place))
        assert approving(ran) != approval
        said = scene.bywire("deliver", "--goal", "g", "--plan", str(place))
        assert said.code == 3
        assert f"{approval} was given for something else" in said.out
        assert "warm: approved false, asked true" in said.out
        assert nothing_exposed(scene)

    def test_another_policy_judges_again(self, scene):
        approval = asked(scene)["id"]
        assert scene.approve(approval).code == 0
        manifest = scene.operator / "policy" / "manifest.json"
        document = json.loads(manifest.read_text())
        manifest.write_text(json.dumps({**document, "revision": document["revision"] + 1}))
        ran = scene.deliver("g")
        assert (ran.code, ran.json["phase"]) == (1, "denied")
        assert [reason["rule"] for reason in ran.json["reasons"]] == ["vsa.bundle_changed"]
        assert approving(scene.deliver("g")) != approval
        assert nothing_exposed(scene)

    def test_a_packet_changed_in_the_database_fits_no_signature(self, scene):
        approval = asked(scene)["id"]
        assert scene.approve(approval).code == 0
        with contextlib.closing(sqlite3.connect(scene.operator / "bywire.db")) as connection:
            (envelope,) = connection.execute("SELECT envelope FROM verdicts").fetchone()
            document = json.loads(envelope)
            document["payload"] = document["payload"][:-8] + "AAAAAAA="
            for table in ("approvals", "verdicts"):
                connection.execute(f"UPDATE {table} SET envelope = ?", (json.dumps(document).encode(),))
            connection.commit()
        assert approving(scene.deliver("g")) != approval
        assert nothing_exposed(scene)


def test_a_confirmation_is_asked_for(scene):
    approval = asked(scene)["id"]
    process = scene.spawn("approvals", "approve", approval, "--as", "oncall")
    process.stdin = None
    out, err = process.communicate(timeout=30)
    assert process.returncode != 0, out
    assert "Traceback" not in err
    assert state_of(scene, approval) == "pending"


def test_a_run_of_an_agent_without_its_key_opens_no_session(scene):
    opened = scene.workspace()
    try:
        (scene.operator / "keys" / "agent--agent-release-controller.pem").unlink()
        with pytest.raises(BywireError, match="agent--agent-release-controller") as caught:
            opened.token(CONTROLLER, "run")
        assert caught.value.code == "key_missing"
        with pytest.raises(BywireError):
            opened.token(LOG_PRINCIPAL, "run")
    finally:
        opened.close()
