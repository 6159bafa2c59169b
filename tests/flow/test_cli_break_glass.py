"""`bywire break-glass`: opened by a person with a key and a role, used up or closed, answered for; never by a row."""

import contextlib
import json
import sqlite3

import msgspec
import pytest
from scene import Scene, refused

from bywire.adapters.key_files import KeyFiles
from bywire.adapters.operator_dir import OperatorDirectory
from bywire.adapters.sqlite_break_glass import consume_break_glass
from bywire.approvals.break_glass import sign_break_glass, verify_break_glass
from bywire.identity.trust import TrustRoot
from bywire.model.errors import EvidenceError
from bywire.model.principal import KeyRole
from bywire.wiring.breaking_glass import active_break_glass, unsettled_glass

CONTROLLER = "agent:release-controller"
REASON = "checkout is down and the approvers do not answer"
STORY = "At 09:12 checkout failed for all customers; the canary was given 0 percent by hand at 09:14. " * 2
PEOPLE = [
    {"id": "person:dana", "emails": ["dana@example.test"], "roles": ["service-owner"]},
    {"id": "person:oncall", "roles": ["sre-oncall", "service-owner"]},
    {"id": "person:ines", "roles": ["incident-commander"]},
]


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    scene = Scene(tmp_path_factory.mktemp("glass") / "scene")
    assert scene.bywire("init").code == 0
    scene.configure(people=PEOPLE)
    keys = KeyFiles(OperatorDirectory(scene.operator))
    root = keys.trust()
    made = (keys.create(KeyRole.APPROVER, "person:ines"), keys.create(KeyRole.APPROVER, "person:dana"))
    keys.save_trust(TrustRoot(version=1, origin=root.origin, keys=(*root.keys, *made)))
    return scene


@pytest.fixture
def scene(prepared, tmp_path):
    return prepared.clone(tmp_path / "scene")


def breaks(scene, who="oncall", *, reason=REASON, minutes=30, uses=2, tools=("set_canary_weight",), more=()):
    named = [part for tool in tools for part in ("--tool", tool)]
    bounds = ["--minutes", str(minutes), "--uses", str(uses)]
    return scene.bywire("break-glass", "open", "--as", who, "--reason", reason, *named, *bounds, "--json", *more)


def opened(scene, who="oncall", **bounds):
    ran = breaks(scene, who, **bounds)
    assert ran.code == 0, ran
    return ran.json["id"]


def listed(scene):
    return scene.bywire("break-glass", "list", "--json").json


def writes(scene, glass, who="oncall", text=STORY):
    file = scene.root / "postmortem.md"
    file.write_text(text)
    return scene.bywire("break-glass", "postmortem", glass, "--as", who, "--file", str(file), "--json")


def active(scene, principal=CONTROLLER, tool="", later_ms=0):
    workspace = scene.workspace()
    try:
        store, operator = workspace.break_glass, workspace.operator
        now_ms = workspace.clock.now_ms() + later_ms
        return active_break_glass(store, workspace.trust, operator, principal, now_ms, tool)
    finally:
        workspace.close()


def use(scene, glass, times=1):
    workspace = scene.workspace()
    try:
        return [
            workspace.writer.run(lambda tx: consume_break_glass(tx, glass, workspace.clock.now_ms()))
            for _ in range(times)
        ]
    finally:
        workspace.close()


def change(scene, sql, *values):
    with contextlib.closing(sqlite3.connect(scene.operator / "bywire.db")) as connection:
        connection.execute(sql, values)
        connection.commit()


def test_broken_glass_is_verified_and_told_to_the_policy(scene):
    glass = opened(scene)
    document = active(scene)
    assert document.pop("expires_at_ms") > 0
    assert document == {
        "id": glass,
        "person": "person:oncall",
        "roles": ["sre-oncall", "service-owner"],
        "tools": ["set_canary_weight"],
        "principals": [CONTROLLER],
        "uses_left": 2,
        "signature_verified": True,
        "open_postmortem": False,
    }
    assert active(scene, tool="set_canary_weight")["id"] == glass
    assert active(scene, tool="promote_release") is None
    assert active(scene, "agent:planner") is None


def test_only_a_person_with_a_fitting_role_and_their_own_key_breaks_glass(scene):
    refused(breaks(scene, "dana"), "break_glass_refused")
    refused(breaks(scene, "nobody"), "key_missing")
    refused(breaks(scene, CONTROLLER), "principal_malformed")
    borrowed = scene.operator / "keys" / "approver--person-oncall.pem"
    refused(breaks(scene, "ines", more=("--key", str(borrowed))), "signature_invalid")
    assert listed(scene) == []


@pytest.mark.parametrize(
    "bounds",
    [{"reason": "quick fix"}, {"tools": ("*",)}, {"more": ("--agent", "agent:nobody")}, {"more": ("--agent", "*")}],
)
def test_glass_without_a_reason_or_bounds_stays_whole(scene, bounds):
    refused(breaks(scene, **bounds), "break_glass_refused")
    assert listed(scene) == []


def test_glass_stays_open_for_four_hours_at_most(scene):
    assert breaks(scene, minutes=241).code == 2
    assert breaks(scene, minutes=0).code == 2
    assert breaks(scene, uses=51).code == 2


def test_a_secret_in_the_reason_or_the_story_is_not_signed(scene):
    refused(breaks(scene, reason=f"the token is ghp_{'a1B2' * 9} for now"), "secret_found")
    glass = opened(scene)
    assert scene.bywire("break-glass", "close", glass).code == 0
    refused(writes(scene, glass, text=STORY + "password=hunter2hunter2"), "secret_found")


def test_uses_end(scene):
    glass = opened(scene, uses=2)
    assert use(scene, glass, 3) == [True, True, False]
    assert active(scene) is None
    assert [(row["state"], row["owes_postmortem"]) for row in listed(scene)] == [("used up", True)]


def test_time_ends(scene):
    opened(scene, minutes=30)
    assert active(scene, later_ms=29 * 60_000)
    assert active(scene, later_ms=30 * 60_000) is None
    # A row that says otherwise does not outlive the statement.
    change(scene, "UPDATE break_glass SET expires_ms = expires_ms * 2")
    assert active(scene, later_ms=30 * 60_000) is None


def test_closing_ends(scene):
    glass = opened(scene)
    assert scene.bywire("break-glass", "close", glass, "--json").code == 0
    refused(scene.bywire("break-glass", "close", glass, "--json"), "break_glass_settled")
    assert active(scene) is None
    assert use(scene, glass) == [False]
    assert listed(scene)[0]["state"] == "closed"


class TestPostmortem:
    def test_without_one_the_person_breaks_no_more(self, scene):
        glass = opened(scene)
        error = refused(breaks(scene), "postmortem_missing")
        assert glass in error["message"]
        assert error["next_step"] == f"bywire break-glass postmortem {glass} --as oncall --file FILE"
        scene.bywire("break-glass", "close", glass)
        refused(breaks(scene), "postmortem_missing")
        assert opened(scene, "ines")

    def test_with_one_they_may_again(self, scene):
        glass = opened(scene)
        refused(writes(scene, glass), "break_glass_open")
        scene.bywire("break-glass", "close", glass)
        assert writes(scene, glass).code == 0
        refused(writes(scene, glass), "break_glass_settled")
        assert listed(scene)[0]["owes_postmortem"] is False
        assert opened(scene) != glass

    def test_nobody_answers_for_another(self, scene):
        glass = opened(scene)
        scene.bywire("break-glass", "close", glass)
        refused(writes(scene, glass, "ines"), "break_glass_refused")
        refused(writes(scene, glass, text="was fine"), "break_glass_refused")
        refused(writes(scene, "bg-000000000000"), "not_found")
        refused(breaks(scene), "postmortem_missing")

    def test_a_row_does_not_answer(self, scene):
        glass = opened(scene)
        scene.bywire("break-glass", "close", glass)
        change(scene, "UPDATE break_glass SET postmortem = ?, postmortem_entry = 0", b"{}")
        refused(breaks(scene), "postmortem_missing")
        assert listed(scene)[0]["owes_postmortem"] is True
        # A further glass of the same person, slipped past the refusal, says that one is owed.
        workspace = scene.workspace()
        try:
            first, _ = verify_break_glass(workspace.break_glass.row(glass).envelope, workspace.trust)
            further = msgspec.structs.replace(first, uses=9)
            key = workspace.keys.load(KeyRole.APPROVER, "person:oncall")
            workspace.break_glass.open(further, sign_break_glass(further, key), key.key_id, workspace.clock.now_ms())
        finally:
            workspace.close()
        assert active(scene)["open_postmortem"] is True


class TestForgery:
    def test_a_row_with_another_statement_opens_nothing(self, scene):
        glass = opened(scene)
        workspace = scene.workspace()
        try:
            row = workspace.break_glass.row(glass)
        finally:
            workspace.close()
        document = json.loads(row.envelope)
        document["payload"] = document["payload"][:-8] + "AAAAAAA="
        change(scene, "UPDATE break_glass SET envelope = ?", json.dumps(document).encode())
        assert active(scene) is None
        assert listed(scene)[0]["state"] == "unverified"

    def test_more_uses_in_the_row_are_not_more_uses_in_the_statement(self, scene):
        opened(scene, uses=2)
        change(scene, "UPDATE break_glass SET uses_left = 40")
        assert active(scene)["uses_left"] == 2

    def test_a_retired_key_opens_nothing_any_more(self, scene):
        opened(scene)
        keys = KeyFiles(OperatorDirectory(scene.operator))
        root = keys.trust()
        retired = tuple(
            msgspec.structs.replace(key, to_index=1) if key.principal == "person:oncall" else key for key in root.keys
        )
        keys.save_trust(TrustRoot(version=1, origin=root.origin, keys=retired))
        assert active(scene) is None

    def test_a_person_without_the_role_any_more_opens_nothing(self, scene):
        opened(scene)
        scene.configure(people=[PEOPLE[0], {**PEOPLE[1], "roles": ["service-owner"]}, PEOPLE[2]])
        assert active(scene) is None

    def test_an_agent_cannot_sign_one(self, scene):
        workspace = scene.workspace()
        try:
            opened(scene)
            (row,) = workspace.break_glass.rows()
            key = workspace.keys.load(KeyRole.AGENT, CONTROLLER)
            glass, _ = verify_break_glass(row.envelope, workspace.trust)
            with pytest.raises(EvidenceError):
                verify_break_glass(sign_break_glass(glass, key), workspace.trust)
        finally:
            workspace.close()


def test_what_is_open_or_owed_can_be_told(scene):
    glass = opened(scene)
    workspace = scene.workspace()
    try:
        (told,) = unsettled_glass(workspace)
        assert (told.id, told.person, told.state, told.owes_postmortem) == (glass, "person:oncall", "open", True)
    finally:
        workspace.close()
    scene.bywire("break-glass", "close", glass)
    assert writes(scene, glass).code == 0
    workspace = scene.workspace()
    try:
        assert unsettled_glass(workspace) == ()
        kinds = [json.loads(leaf)["kind"] for _, leaf, _ in workspace.ledger.rows(0)]
        assert [kind for kind in kinds if kind.startswith("break-glass")] == [
            "break-glass",
            "break-glass-close",
            "break-glass-postmortem",
        ]
    finally:
        workspace.close()


def test_people_are_told_what_they_did_and_owe(scene):
    said = scene.bywire(
        "break-glass", "open", "--as", "oncall", "--reason", REASON, "--tool", "set_canary_weight", "--minutes", "5"
    )
    assert said.code == 0, said
    assert "glass broken" in said.out
    assert "--as oncall --file FILE" in said.out
    assert "post-mortem owed" in scene.bywire("break-glass", "list").out
