"""`bywire agents`: registered by the operator, with a token that ends; and what is tried instead."""

import json

import msgspec
import pytest
from scene import Scene, refused

from bywire.adapters.key_files import KeyFiles
from bywire.adapters.operator_dir import OperatorDirectory
from bywire.identity import tokens
from bywire.identity.registration import Pattern
from bywire.ledger.entry import leaf_bytes, statement_entry
from bywire.model.errors import EvidenceError
from bywire.model.principal import KeyRole
from bywire.model.statement import AGENT_REGISTRATION, Statement, subject
from bywire.seal.dsse import sign_statement, verify_statement
from bywire.seal.keys import SigningKey
from bywire.wiring.identities import agents, issue_token, registrations

BOT = "agent:deploy-bot"
ASKED = ("--owner", "dana", "--pattern", "constrained-executor", "--tool", "deploy_release")


class Stop(Exception):
    """The process ends here."""


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    return Scene(tmp_path_factory.mktemp("agents") / "scene").prepared()


@pytest.fixture
def scene(prepared, tmp_path):
    return prepared.clone(tmp_path / "scene")


@pytest.fixture
def registered(scene):
    assert scene.bywire("agents", "register", "deploy-bot", *ASKED).code == 0
    return scene


def logged(scene, kind):
    """(index, signer, predicate or record) of every entry of a kind."""
    workspace = scene.workspace()
    try:
        found = []
        for index, leaf, content in workspace.ledger.rows(0):
            entry = msgspec.json.decode(leaf)
            if entry["kind"] != kind:
                continue
            if "record" in entry:
                found.append((index, "", json.loads(content)))
                continue
            log_keys = workspace.trust.keys_for(KeyRole.LOG, index=index)
            found.append((index, entry["signer"], verify_statement(content, log_keys).statement.predicate))
        return found
    finally:
        workspace.close()


def test_an_agent_is_registered_with_a_key_of_its_own_and_an_entry_in_the_log(scene):
    done = scene.bywire(
        "agents", "register", "deploy-bot", *ASKED, "--tool", "read_telemetry", "--rate", "deploy_release=5",
        "--actions-per-hour", "60", "--environment", "staging", "--environment", "production",
        "--expires", "2030-01-01T00:00:00Z", "--json",
    )  # fmt: skip
    assert done.code == 0, done
    shown = done.json
    assert {name: shown[name] for name in ("id", "owner", "pattern", "tools", "environments", "state")} == {
        "id": BOT,
        "owner": "person:dana",
        "pattern": "constrained-executor",
        "tools": ["deploy_release", "read_telemetry"],
        "environments": ["production", "staging"],
        "state": "active",
    }
    assert (shown["actions_per_hour"], shown["tool_rates"]) == (60, {"deploy_release": 5})
    assert shown["expires_at_ms"] == 1_893_456_000_000
    (said,) = logged(scene, "agent-registration")
    assert said[0] == shown["entry"]
    assert [one["principal"] for one in said[2]["registrations"]] == [BOT]
    trust = KeyFiles(OperatorDirectory(scene.operator)).trust()
    (key,) = trust.holding(KeyRole.AGENT, BOT)
    assert (key.owner, [key.key_id]) == ("person:dana", shown["key_ids"])
    again = scene.bywire("agents", "show", BOT, "--json").json
    assert {**again, "entry": shown["entry"]} == shown
    assert BOT in [one["id"] for one in scene.bywire("agents", "list", "--json").json]


def test_registering_again_changes_nothing(registered):
    before = (registered.operator / "agents.yaml").read_bytes(), (registered.operator / "trust.json").read_bytes()
    again = registered.bywire("agents", "register", BOT, *ASKED, "--json")
    assert (again.code, again.json["entry"]) == (0, -1)
    assert before == (
        (registered.operator / "agents.yaml").read_bytes(),
        (registered.operator / "trust.json").read_bytes(),
    )
    other = registered.bywire("agents", "register", BOT, *ASKED, "--tool", "promote_release", "--json")
    refused(other, "agent_registered")


def test_a_second_agent_keeps_what_is_written_there(registered):
    file = registered.operator / "agents.yaml"
    file.write_text(file.read_text() + "    # a remark of the operator's\n")
    assert registered.bywire("agents", "register", "reader", "--owner", "dana", "--pattern", "advisor").code == 0
    assert "a remark of the operator's" in file.read_text()
    assert [one["id"] for one in registered.bywire("agents", "list", "--json").json if not one["built_in"]] == [
        BOT,
        "agent:reader",
    ]


def test_a_file_laid_out_otherwise_is_left_alone(registered):
    file = registered.operator / "agents.yaml"
    file.write_text("agents: []\nversion: 1\n")
    assert registered.bywire("agents", "register", "reader", "--owner", "dana", "--pattern", "advisor").code == 0
    file.write_text(
        "agents: [{id: agent:x, owner: person:dana, pattern: advisor, tools: [], environments: [staging]}]\n"
        "version: 1\n"
    )
    before = file.read_text()
    ran = registered.bywire("agents", "register", "other", "--owner", "dana", "--pattern", "advisor", "--json")
    assert ran.code == 2, ran
    assert file.read_text() == before


def test_what_the_operator_changes_by_hand_is_logged_before_it_counts(registered):
    file = registered.operator / "agents.yaml"
    file.write_text(file.read_text().replace('["deploy_release"]', '["deploy_release", "promote_release"]'))
    workspace = registered.workspace()
    known = registrations(workspace).find(BOT)
    registrations(workspace)
    workspace.close()
    assert known.tools == ("deploy_release", "promote_release")
    _, second = logged(registered, "agent-registration")
    assert second[2]["registrations"][0]["tools"] == ["deploy_release", "promote_release"]


def test_a_workspace_without_agents_of_its_own_logs_no_registration(scene):
    workspace = scene.workspace()
    assert {one.principal for one in registrations(workspace).all()} == {
        status.registration.principal for status in agents(workspace)
    }
    workspace.close()
    assert logged(scene, "agent-registration") == []


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("bot", "--owner", "mallory", "--pattern", "advisor"), "is not one of the people"),
        (("bot", "--owner", "person:mallory", "--pattern", "advisor"), "is not one of the people"),
        (("bot", "--owner", "agent:planner", "--pattern", "advisor"), "expected a person"),
        (("planner", *ASKED), "is built in"),
        (("release-controller", *ASKED), "is built in"),
        (("Bot", *ASKED), "expected an agent"),
        (("../bot", *ASKED), "expected an agent"),
        (("person:dana", *ASKED), "expected an agent"),
        (("bot", *ASKED, "--tool", "*"), "there is no '*'"),
        (("bot", *ASKED, "--tool", "deploy_releases"), "expected one of"),
        (("bot", *ASKED, "--rate", "promote_release=3"), "unknown key 'promote_release'"),
        (("bot", *ASKED, "--rate", "deploy_release=0"), "from 1 to"),
        (("bot", *ASKED, "--expires", "soon"), "a time with its zone"),
    ],
)
def test_a_registration_that_cannot_be_is_refused_and_leaves_nothing(scene, arguments, says):
    before = sorted(path.name for path in (scene.operator / "keys").iterdir())
    error = refused(scene.bywire("agents", "register", *arguments, "--json"), "config_invalid")
    assert says in error["message"]
    assert not (scene.operator / "agents.yaml").exists()
    assert sorted(path.name for path in (scene.operator / "keys").iterdir()) == before


def test_rule_20_an_agent_registers_nobody(registered):
    """A registration that an agent signed, in the log as much as it likes, changes nothing about anybody."""
    workspace = registered.workspace()
    claim = {
        "principal": "agent:shadow",
        "owner": "person:dana",
        "pattern": "canary-manager",
        "tools": ["promote_release"],
        "environments": ["production"],
    }
    widened = {**claim, "principal": BOT}
    key = workspace.keys.load(KeyRole.AGENT, BOT)
    said = Statement(
        subject=(subject("agents.yaml", "a" * 64),),
        predicateType=AGENT_REGISTRATION,
        predicate={"registrations": [claim, widened]},
    )
    envelope = sign_statement(said, key)
    leaf = leaf_bytes(statement_entry("agent-registration", 1, "workspace", envelope, said, key.key_id))
    workspace.writer.run(lambda tx: tx.append(leaf, [envelope]))
    known = registrations(workspace)
    assert known.find("agent:shadow") is None
    assert known.find(BOT).pattern is Pattern.CONSTRAINED_EXECUTOR
    assert known.find(BOT).tools == ("deploy_release",)
    workspace.close()
    refused(registered.bywire("agents", "token", "shadow", "--json"), "agent_unregistered")


def test_rule_19_an_owner_that_differs_from_the_key_s_is_no_owner(registered):
    file = registered.operator / "agents.yaml"
    file.write_text(file.read_text().replace("person:dana", "person:oncall"))
    assert registered.bywire("agents", "show", BOT, "--json").json["state"] == "owner-differs"
    refused(registered.bywire("agents", "token", BOT, "--json"), "agent_unregistered")


def test_a_key_without_a_registration_is_no_agent(scene):
    keys = KeyFiles(OperatorDirectory(scene.operator))
    root = keys.trust()
    made = keys.create(KeyRole.AGENT, "agent:stray", "person:dana")
    keys.save_trust(msgspec.structs.replace(root, keys=(*root.keys, made)))
    refused(scene.bywire("agents", "token", "stray", "--json"), "agent_unregistered")
    refused(scene.bywire("agents", "show", "stray", "--json"), "agent_unregistered")


# --- tokens


def test_a_token_opens_a_session_of_the_agent(registered):
    issued = registered.bywire("agents", "token", BOT, "--run", "run-7", "--json").json
    workspace = registered.workspace()
    try:
        now_ms = workspace.clock.now_ms()
        assert workspace.sessions.session_of(issued["token"], now_ms) == issued["session"]
        kept = workspace.state.snapshot(issued["session"], "tiny").session
        assert (kept.principal.id, kept.principal.owner, kept.run) == (BOT, "person:dana", "run-7")
        assert kept.workspace == workspace.trust.origin
        claims = tokens.verify(
            issued["token"], workspace.trust, audience=tokens.door_audience(workspace.trust.origin), now_ms=now_ms
        )
        assert (claims.sub, claims.run, claims.sid) == (BOT, "run-7", issued["session"])
        assert claims.exp - claims.iat == 900
        assert issued["expires_at_ms"] == claims.exp * 1000
    finally:
        workspace.close()
    (recorded,) = logged(registered, "token-issued")
    assert (recorded[0], recorded[2]["principal"]) == (issued["entry"], BOT)
    assert issued["token"] not in json.dumps(recorded[2])


def test_a_token_for_people_is_one_line(registered):
    shown = registered.bywire("agents", "token", BOT)
    assert shown.err == ""
    assert shown.out.count("\n") == 1
    assert shown.out.count(".") == 2


def test_a_token_lives_for_fifteen_minutes_at_most(registered):
    refused(registered.bywire("agents", "token", BOT, "--seconds", "901", "--json"), "usage")
    refused(registered.bywire("agents", "token", BOT, "--seconds", "0", "--json"), "usage")
    assert registered.bywire("agents", "token", BOT, "--seconds", "60", "--json").code == 0


def test_a_token_replayed_after_revocation_is_worth_nothing(registered):
    issued = registered.bywire("agents", "token", BOT, "--json").json
    running = registered.workspace()
    try:
        session = running.sessions.session_of(issued["token"], running.clock.now_ms())
        running.state.snapshot(session, "tiny")
        done = registered.bywire("agents", "revoke", "deploy-bot", "--reason", "it went astray", "--json").json
        assert [one["ended"] for one in done] == [{"sessions": 1}]
        with pytest.raises(EvidenceError) as caught:
            running.state.snapshot(running.sessions.session_of(issued["token"], running.clock.now_ms()), "tiny")
        assert caught.value.code == "session_refused"
    finally:
        running.close()
    assert registered.bywire("agents", "show", BOT, "--json").json["state"] == "revoked"
    refused(registered.bywire("agents", "token", BOT, "--json"), "agent_revoked")
    refused(registered.bywire("agents", "revoke", BOT, "--reason", "again", "--json"), "agent_revoked")
    refused(registered.bywire("agents", "register", BOT, *ASKED, "--json"), "key_retired")
    assert registered.bywire("keys", "rotate", "agent", BOT).code == 0
    assert registered.bywire("agents", "token", BOT).code == 0


def test_a_token_of_another_workspace_is_refused(registered, tmp_path):
    other = Scene(tmp_path / "other").prepared()
    assert other.bywire("agents", "register", "deploy-bot", *ASKED).code == 0
    token = other.bywire("agents", "token", BOT).out.strip()
    workspace = registered.workspace()
    try:
        assert registered.bywire("agents", "token", BOT).code == 0
        with pytest.raises(EvidenceError) as caught:
            workspace.sessions.session_of(token, workspace.clock.now_ms())
        assert caught.value.code == "token_key"
    finally:
        workspace.close()


def test_an_agent_s_own_key_signs_no_token(registered):
    workspace = registered.workspace()
    try:
        issued = issue_token(workspace, BOT, lifetime_seconds=60)
        session = workspace.state.snapshot(issued.session, "tiny").session
        now_ms = workspace.clock.now_ms()
        for key in (workspace.keys.load(KeyRole.AGENT, BOT), workspace.log_key, SigningKey.from_seed(b"x" * 32)):
            forged = tokens.issue(session, key, now_ms=now_ms, lifetime_seconds=60, jti="j")
            with pytest.raises(EvidenceError) as caught:
                workspace.sessions.session_of(forged, now_ms)
            assert caught.value.code == "token_key"
    finally:
        workspace.close()


def test_rule_22_a_token_s_session_inherits_from_run_and_parent(registered):
    first = registered.bywire("agents", "token", BOT, "--run", "run-1", "--json").json
    workspace = registered.workspace()
    workspace.state.taint(first["session"])
    workspace.close()
    same = registered.bywire("agents", "token", BOT, "--run", "run-1", "--json").json
    child = registered.bywire("agents", "token", BOT, "--parent", first["session"], "--json").json
    stranger = registered.bywire("agents", "token", BOT, "--json").json
    workspace = registered.workspace()
    found = [workspace.state.snapshot(one["session"], "tiny").session.integrity for one in (same, child, stranger)]
    workspace.close()
    assert found == ["tainted", "tainted", "trusted"]
    refused(registered.bywire("agents", "token", BOT, "--parent", "se-unknown", "--json"), "session_refused")


def test_an_expired_registration_gives_no_token(scene):
    ended = scene.bywire("agents", "register", BOT, *ASKED, "--expires", "2020-01-01T00:00:00Z", "--json")
    assert ended.json["state"] == "expired"
    refused(scene.bywire("agents", "token", BOT, "--json"), "registration_expired")


def test_people_and_workloads_get_no_token(scene):
    for who in ("person:oncall", "workload:builder", "agent:person:oncall", ""):
        refused(scene.bywire("agents", "token", who, "--json"), "agent_unregistered")


def test_what_is_shown_to_people(registered):
    shown = registered.bywire("agents", "show", "deploy-bot").out
    assert "agent:deploy-bot, active" in shown
    assert "deploy_release" in shown
    lines = registered.bywire("agents", "list").out.splitlines()
    assert len(lines) == 7
    assert any("release-controller" in line and "built in" in line for line in lines)
