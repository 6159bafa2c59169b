"""`bywire keys`: keys follow one another whatever step fails, and end at once when they must."""

import base64
import json
import shutil

import msgspec
import pytest
import yaml
from scene import Scene, refused

from bywire.adapters.key_files import KeyFiles
from bywire.adapters.operator_dir import OperatorDirectory
from bywire.adapters.sqlite_ledger import open_reader
from bywire.identity.tokens import TOKEN_ISSUER
from bywire.ledger.checkpoint import log_keys, verify_checkpoint
from bywire.ledger.entry import leaf_bytes, statement_entry
from bywire.ledger.verify import verify_all
from bywire.model.errors import BywireError, EvidenceError
from bywire.model.principal import KeyRole
from bywire.model.statement import KEY_CHANGE, PLAN, Statement, subject
from bywire.seal.dsse import sign_statement, verify_statement
from bywire.seal.keys import SigningKey
from bywire.seal.ssh_wire import SK_ED25519, string
from bywire.wiring.identities import issue_token
from bywire.wiring.key_changes import introduce_key, replace_key, revoke_key
from bywire.wiring.workspace import LOG_PRINCIPAL, open_workspace

PLANNER = "agent:planner"
STEPS = ("keys.drawn", "keys.trusted", "keys.retired", "keys.saved", "keys.swapped")


class Stop(Exception):
    """The process ends here."""


class StopAt:
    def __init__(self, step):
        self.step = step

    def reached(self, step):
        if step == self.step:
            raise Stop


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    return Scene(tmp_path_factory.mktemp("keys") / "scene").prepared()


@pytest.fixture
def scene(prepared, tmp_path):
    return prepared.clone(tmp_path / "scene")


def listed(scene, **wanted):
    keys = scene.bywire("keys", "list", "--json").json
    return [key for key in keys if all(key[name] == value for name, value in wanted.items())]


def key_files(scene):
    return sorted(path.name for path in (scene.operator / "keys").iterdir())


def verified(scene):
    """The whole log verifies, and the published trust root says which keys are valid."""
    workspace = scene.workspace()
    try:
        workspace.publish()
        reader = open_reader(scene.operator / "bywire.db")
        try:
            with reader.snapshot():
                return verify_all(reader, workspace.trust.origin, log_keys(workspace.trust))
        finally:
            reader.close()
    finally:
        workspace.close()


def go_on(scene):
    """A command that opens the workspace, logs something and publishes."""
    workspace = scene.workspace()
    workspace.record("note", "workspace", {"says": "still here"})
    workspace.close()


def predicates(scene, predicate_type):
    workspace = scene.workspace()
    try:
        found = []
        for index, leaf, content in workspace.ledger.rows(0):
            if msgspec.json.decode(leaf).get("statement"):
                keys = [key for role in KeyRole for key in workspace.trust.keys_for(role, index=index)]
                said = verify_statement(content, keys).statement
                found += [said.predicate] if said.predicateType == predicate_type else []
        return found
    finally:
        workspace.close()


# --- replacing


@pytest.mark.parametrize("role", ["agent", "builder", "token", "log"])
def test_a_key_is_replaced_and_the_log_says_so(scene, role):
    principal = {"agent": PLANNER, "builder": "workload:builder", "token": TOKEN_ISSUER, "log": LOG_PRINCIPAL}[role]
    if role == "token":
        assert scene.bywire("agents", "token", "planner").code == 0
    (old,) = listed(scene, role=role, principal=principal)
    done = scene.bywire("keys", "rotate", role, principal, "--json")
    assert done.code == 0, done
    changed = done.json
    assert (changed["change"], changed["principal"], changed["retired"]) == ("rotated", principal, old["key_id"])
    ended, new = sorted(listed(scene, role=role, principal=principal), key=lambda key: key["valid"])
    assert (ended["key_id"], ended["to_index"], ended["valid"]) == (old["key_id"], changed["to_index"], False)
    assert (new["key_id"], new["valid"], new["owner"]) == (changed["added"], True, old["owner"])
    assert changed["to_index"] == changed["entry"] + (role == "log")
    assert verified(scene).ok
    keys = KeyFiles(OperatorDirectory(scene.operator))
    assert keys.load(KeyRole(role), principal).key_id == new["key_id"]
    assert not [name for name in key_files(scene) if "~" in name]
    (said,) = [one for one in predicates(scene, KEY_CHANGE) if one["change"] == "rotated"]
    assert (said["added"], said["retired"], said["by"]) == (new["key_id"], old["key_id"], "Dana")


@pytest.mark.parametrize("role", [KeyRole.AGENT, KeyRole.LOG])
@pytest.mark.parametrize("step", STEPS)
def test_a_replacement_that_is_cut_short_leaves_a_working_workspace(scene, role, step):
    principal = PLANNER if role is KeyRole.AGENT else LOG_PRINCIPAL
    workspace = open_workspace(scene.repo, scene.operator, steps=StopAt(step))
    before = workspace.trust.holding(role, principal)
    with pytest.raises(Stop):
        replace_key(workspace, role, principal)
    # As a process that was killed: nothing is published or flushed.
    workspace.writer.close()
    workspace.reader.close()
    workspace.ledger.close()

    go_on(scene)
    workspace = scene.workspace()
    try:
        assert workspace.token(PLANNER, "run")
        key = workspace.keys.load(role, principal)
        entry = workspace.trust.entry(key.key_id)
        assert entry.valid_at(None)
        moved = STEPS.index(step) >= STEPS.index("keys.retired")
        assert (key.key_id != before[0].key_id) is moved
    finally:
        workspace.close()
    assert verified(scene).ok

    again = scene.bywire("keys", "rotate", str(role), principal, "--json")
    assert again.code == 0, again
    assert len(listed(scene, role=str(role), principal=principal, valid=True)) == 1
    assert not [name for name in key_files(scene) if "~" in name]
    assert verified(scene).ok


def test_rule_25_a_replaced_key_signs_nothing_at_a_later_index(scene):
    """Neither for a reader with the new trust root, nor into the log, by a process that never heard of it."""
    stale = scene.workspace()
    try:
        old = stale.keys.load(KeyRole.AGENT, PLANNER)
        said = Statement(subject=(subject("p", "a" * 64),), predicateType=PLAN, predicate={})
        envelope = sign_statement(said, old)
        leaf = leaf_bytes(statement_entry("plan", 1, "workspace", envelope, said, old.key_id))
        early = stale.writer.run(lambda tx: tx.append(leaf, [envelope]))
        assert scene.bywire("keys", "rotate", "agent", PLANNER).code == 0
        with pytest.raises(BywireError) as caught:
            stale.writer.run(lambda tx: tx.append(leaf, [envelope]))
        assert caught.value.code == "key_retired"
        size = stale.writer.run(lambda tx: tx.entry_count())
        for index, believed in ((early, True), (size, False), (None, False)):
            keys = stale.trust.keys_for(KeyRole.AGENT, principal=PLANNER, index=index)
            try:
                verify_statement(envelope, keys)
                assert believed
            except EvidenceError:
                assert not believed
    finally:
        stale.close()


def test_a_process_with_the_old_log_key_signs_nothing_more(scene):
    stale = scene.workspace()
    assert scene.bywire("keys", "rotate", "log").code == 0
    for call in (stale.publish, stale.close):
        with pytest.raises(BywireError) as caught:
            call()
        assert caught.value.code == "log_key_retired"
        assert "again" in caught.value.next_step
    stale.writer.close()
    stale.reader.close()
    stale.ledger.close()
    assert verified(scene).ok


def test_the_log_key_is_not_replaced_under_a_running_delivery(scene):
    with OperatorDirectory(scene.operator).lock("deliver"):
        refused(scene.bywire("keys", "rotate", "log", "--json"), "workspace_busy")
    assert len(listed(scene, role="log")) == 1


def test_the_old_log_key_vouches_for_its_successor(scene):
    """Who trusts the old key alone can still follow the log up to the entry that names the next one."""
    trust = KeyFiles(OperatorDirectory(scene.operator)).trust()
    go_on(scene)
    changed = scene.bywire("keys", "rotate", "log", "--json").json
    note = (scene.operator / "checkpoint.note").read_text()
    checkpoint = verify_checkpoint(note, trust.origin, log_keys(trust))
    assert checkpoint.size == changed["entry"] + 1
    go_on(scene)
    with pytest.raises(EvidenceError):
        verify_checkpoint((scene.operator / "checkpoint.note").read_text(), trust.origin, log_keys(trust))
    (said,) = predicates(scene, KEY_CHANGE)
    assert said["public"] == listed(scene, role="log", valid=True)[0]["public"]


def test_a_proof_of_before_and_after_verifies_with_the_new_root(scene):
    go_on(scene)
    assert scene.bywire("keys", "rotate", "log").code == 0
    go_on(scene)
    assert scene.bywire("keys", "rotate", "log").code == 0
    report = verified(scene)
    assert report.ok
    assert report.checkpoints >= 3


def test_an_approver_s_key_keeps_its_passphrase(scene):
    keys = KeyFiles(OperatorDirectory(scene.operator))
    keys.protect(KeyRole.APPROVER, "person:oncall", b"correct horse", lambda: b"")
    refused(scene.bywire("keys", "rotate", "approver", "person:oncall", "--json"), "passphrase_missing")
    workspace = scene.workspace()
    try:
        changed = replace_key(workspace, KeyRole.APPROVER, "person:oncall", passphrase=b"battery staple")
    finally:
        workspace.close()
    assert keys.load(KeyRole.APPROVER, "person:oncall", lambda: b"battery staple").key_id == changed.added
    assert "~" not in "".join(key_files(scene))


def test_the_workspace_key_is_replaced_with_every_session_ended(scene):
    workspace = scene.workspace()
    workspace.token(PLANNER, "run")
    workspace.close()
    before = (scene.operator / "keys" / "workspace.key").read_bytes()
    done = scene.bywire("keys", "rotate", "workspace", "--json").json
    assert done["ended"] == {"sessions": 1}
    assert (scene.operator / "keys" / "workspace.key").read_bytes() != before
    go_on(scene)


def test_which_key_is_meant_must_be_clear(scene):
    refused(scene.bywire("keys", "rotate", "builder", "--json"), "key_ambiguous")
    refused(scene.bywire("keys", "rotate", "agent", "agent:nobody", "--json"), "key_missing")
    refused(scene.bywire("keys", "rotate", "agent", "person:oncall", "--json"), "principal_malformed")
    refused(scene.bywire("keys", "rotate", "root", "--json"), "usage")
    refused(scene.bywire("keys", "revoke", "0123456789abcdef", "--reason", "r", "--json"), "key_unknown")
    refused(scene.bywire("keys", "revoke", listed(scene)[0]["key_id"][:4], "--reason", "r", "--json"), "key_unknown")
    refused(scene.bywire("keys", "revoke", "agent:nobody", "--reason", "r", "--json"), "key_unknown")
    assert scene.bywire("keys", "revoke", "agent:coder", "--reason", "r").code == 0
    refused(scene.bywire("keys", "revoke", "agent:coder", "--reason", "r", "--json"), "key_unknown")


# --- revoking


def test_a_revoked_key_ends_at_once_with_what_it_opened(scene):
    running = scene.workspace()
    try:
        token = running.token(PLANNER, "run")
        session = running.sessions.session_of(token, running.clock.now_ms())
        running.state.snapshot(session, "tiny")
        (key,) = listed(scene, principal=PLANNER)
        done = scene.bywire("keys", "revoke", key["key_id"][:12], "--reason", "laptop lost", "--json").json
        assert done["ended"] == {"sessions": 1}
        with pytest.raises(EvidenceError):
            running.state.snapshot(session, "tiny")
        # The running process sees it, too: no new session for a key that it loaded long ago.
        assert running.trust.principal(PLANNER) is None
        with pytest.raises(EvidenceError):
            running.token(PLANNER, "another run")
    finally:
        running.close()
    assert listed(scene, principal=PLANNER)[0]["to_index"] == done["to_index"]
    refused(scene.bywire("keys", "revoke", key["key_id"], "--reason", "again", "--json"), "key_retired")
    assert scene.bywire("keys", "rotate", "agent", PLANNER).code == 0
    workspace = scene.workspace()
    assert workspace.token(PLANNER, "run")
    workspace.close()


def test_a_revocation_that_is_cut_short_stands(scene):
    workspace = open_workspace(scene.repo, scene.operator, steps=StopAt("keys.retired"))
    key = workspace.trust.holding(KeyRole.AGENT, PLANNER)[0]
    with pytest.raises(Stop):
        revoke_key(workspace, key.key_id, "lost")
    workspace.close()
    assert not listed(scene, key_id=key.key_id)[0]["valid"]
    # The file that is given to others follows when the workspace is next opened.
    on_disk = json.loads((scene.operator / "trust.json").read_text())
    assert next(one for one in on_disk["keys"] if one["key_id"] == key.key_id)["to_index"] is not None


def test_an_older_trust_root_does_not_bring_a_key_back(scene):
    shutil.copy(scene.operator / "trust.json", scene.root / "older.json")
    (key,) = listed(scene, principal=PLANNER)
    assert scene.bywire("keys", "revoke", key["key_id"], "--reason", "r").code == 0
    shutil.copy(scene.root / "older.json", scene.operator / "trust.json")
    assert not listed(scene, key_id=key["key_id"])[0]["valid"]


def test_a_key_that_was_in_other_hands_loses_its_past(scene):
    workspace = scene.workspace()
    said = Statement(subject=(subject("p", "a" * 64),), predicateType=PLAN, predicate={})
    key = workspace.keys.load(KeyRole.AGENT, PLANNER)
    envelope = sign_statement(said, key)
    leaf = leaf_bytes(statement_entry("plan", 1, "workspace", envelope, said, key.key_id))
    first, second = (workspace.writer.run(lambda tx: tx.append(leaf, [envelope])) for _ in range(2))
    workspace.close()
    done = scene.bywire("keys", "revoke", key.key_id, "--reason", "r", "--since-index", str(second), "--json").json
    assert done["to_index"] == second
    trust = KeyFiles(OperatorDirectory(scene.operator)).trust()
    believed = [bool(trust.keys_for(KeyRole.AGENT, principal=PLANNER, index=index)) for index in (first, second)]
    assert believed == [True, False]
    # It may be known later to have been earlier still.
    earlier = scene.bywire("keys", "revoke", key.key_id, "--reason", "r", "--since-index", str(first), "--json").json
    assert earlier["to_index"] == first
    assert verified(scene).ok


def test_the_log_is_never_without_a_key(scene):
    (key,) = listed(scene, role="log")
    error = refused(scene.bywire("keys", "revoke", key["key_id"], "--reason", "r", "--json"), "log_key_needed")
    assert error["next_step"] == "replace it: bywire keys rotate log"


def test_a_token_is_worth_nothing_after_its_key_or_session_ended(scene):
    workspace = scene.workspace()
    try:
        issued = issue_token(workspace, "agent:release-controller", lifetime_seconds=900)
        now_ms = workspace.clock.now_ms()
        assert workspace.sessions.session_of(issued.token, now_ms) == issued.session
        (key,) = workspace.trust.holding(KeyRole.TOKEN, TOKEN_ISSUER)
        assert scene.bywire("keys", "revoke", key.key_id, "--reason", "r").code == 0
        with pytest.raises(EvidenceError) as caught:
            workspace.sessions.session_of(issued.token, now_ms)
        assert caught.value.code == "token_key"
    finally:
        workspace.close()
    refused(scene.bywire("agents", "token", "release-controller", "--json"), "key_retired")
    assert scene.bywire("keys", "rotate", "token").code == 0
    assert scene.bywire("agents", "token", "release-controller").code == 0


# --- for others


def test_the_key_set_is_that_of_the_token_keys(scene):
    assert scene.bywire("keys", "jwks", "--json").json == scene.bywire("keys", "jwks").json == {"keys": []}
    assert scene.bywire("agents", "token", "planner").code == 0
    (key,) = scene.bywire("keys", "jwks").json["keys"]
    assert key["kid"] == listed(scene, role="token")[0]["key_id"]
    assert "d" not in key
    assert scene.bywire("keys", "rotate", "token").code == 0
    (after,) = scene.bywire("keys", "jwks").json["keys"]
    assert after["kid"] != key["kid"]


def test_a_person_s_own_openssh_key_is_trusted_as_an_approver(scene, tmp_path):
    point = SigningKey.from_seed(b"p" * 32).public.raw_public.hex()
    blob = string(SK_ED25519) + string(bytes.fromhex(point)) + string(b"ssh:")
    file = tmp_path / "id.pub"
    file.write_text(f"{SK_ED25519.decode()} {base64.b64encode(blob).decode()} oncall@token\n")
    made = scene.bywire("keys", "trust", "--as", "oncall", "--ssh-public", str(file), "--json")
    assert made.code == 0, made
    assert (made.json["principal"], made.json["application"], made.json["role"]) == (
        "person:oncall",
        "ssh:",
        "approver",
    )
    refused(scene.bywire("keys", "trust", "--as", "oncall", "--ssh-public", str(file), "--json"), "key_exists")
    refused(scene.bywire("keys", "trust", "--as", "dana", "--ssh-public", str(file), "--json"), "key_exists")
    refused(scene.bywire("keys", "trust", "--as", "mallory", "--ssh-public", str(file), "--json"), "person_unknown")
    refused(
        scene.bywire("keys", "trust", "--as", "oncall", "--role", "agent", "--ssh-public", str(file), "--json"), "usage"
    )
    file.write_text("ssh-rsa AAAA\n")
    refused(scene.bywire("keys", "trust", "--as", "oncall", "--ssh-public", str(file), "--json"), "ssh_malformed")
    # The file's own key is still the one that `rotate` replaces.
    assert scene.bywire("keys", "rotate", "approver", "person:oncall").code == 0
    assert listed(scene, key_id=made.json["key_id"])[0]["valid"]


def test_a_list_for_people_names_every_key(scene):
    shown = scene.bywire("keys", "list").out
    assert len(shown.splitlines()) == len(listed(scene))
    assert "workload:log" in shown
    assert "#0 to now" in shown


def test_two_processes_do_not_change_keys_at_once(scene):
    with OperatorDirectory(scene.operator).lock("keys"):
        refused(scene.bywire("keys", "rotate", "agent", PLANNER, "--json"), "workspace_busy")
    workspace = scene.workspace()
    known = introduce_key(workspace, KeyRole.AGENT, PLANNER, "person:dana")
    assert known == introduce_key(workspace, KeyRole.AGENT, PLANNER, "person:dana")
    workspace.close()


def test_a_revoked_approver_takes_their_approvals_and_glass_along(scene):
    workspace = scene.workspace()
    key = workspace.trust.holding(KeyRole.APPROVER, "person:oncall")[0]

    def given(tx):
        for name, person, signer in (("ap-1", "person:oncall", key.key_id), ("ap-2", "person:dana", "b" * 64)):
            tx.execute(
                "INSERT INTO approvals (id, action_digest, plan_digest, packet, verdict, uses_left, requested_ms,"
                " expires_ms) VALUES (?, 'a', 'p', x'', 'approved', 1, 0, 1)",
                (name,),
            )
            tx.execute(
                "INSERT INTO verdicts (approval_id, person, verdict, role, key_id, envelope)"
                " VALUES (?, ?, 'approved', 'sre-oncall', ?, x'')",
                (name, person, signer),
            )
            tx.execute(
                "INSERT INTO break_glass (id, person, envelope, entry, uses_left, opened_ms, expires_ms)"
                " VALUES (?, ?, x'', 1, 3, 0, 1)",
                (name, person),
            )

    workspace.writer.run(given)
    assert workspace.trust.holding(KeyRole.APPROVER, "person:oncall")
    done = scene.bywire("keys", "revoke", key.key_id, "--reason", "r", "--json").json
    assert done["ended"] == {"approvals": 1, "break_glass": 1}
    assert not workspace.trust.holding(KeyRole.APPROVER, "person:oncall")
    rows = workspace.reader.rows("SELECT id, revoked FROM approvals ORDER BY id")
    glass = workspace.reader.rows("SELECT id, uses_left FROM break_glass ORDER BY id")
    workspace.close()
    assert rows == [("ap-1", 1), ("ap-2", 0)]
    assert glass == [("ap-1", 0), ("ap-2", 3)]


def test_a_listed_person_gets_their_first_key_and_nobody_else_does(tmp_path):
    scene = Scene(tmp_path / "scene")
    assert scene.bywire("init").code == 0
    assert "as before" in scene.bywire("init").out
    refused(scene.bywire("keys", "rotate", "approver", "person:ines", "--json"), "key_missing")
    ines = {"id": "person:ines", "roles": ["sre-oncall"]}
    listed = yaml.safe_load((scene.operator / "operator.yaml").read_text())["people"]
    scene.configure(people=[*listed, ines])
    assert scene.bywire("keys", "rotate", "approver", "person:ines", "--json").code == 0
    held = [item["principal"] for item in scene.bywire("keys", "list", "--json").json if item["role"] == "approver"]
    assert "person:ines" in held
