"""Which policy decides: activation whole or not at all, the last good one as the net, hot reload, signatures."""

import json
import shutil
import threading

import pytest
from policy_bundles import ENTRY, RULES, keep, manifest, small, with_agent
from scene import Scene, wait_until

from bywire.adapters import knowledge_base
from bywire.adapters.key_files import KeyFiles
from bywire.adapters.operator_dir import OperatorDirectory
from bywire.adapters.sqlite_ledger import open_reader
from bywire.ledger.entry import parse_leaf
from bywire.model.decision import Effect
from bywire.model.errors import BywireError
from bywire.model.principal import KeyRole
from bywire.policy.bundle import parse_bundle
from bywire.policy.endorsement import sign_bundle
from bywire.wiring import policy_in_force
from bywire.wiring.policy_in_force import LINTED_BY, read_candidate, shipped_digest
from bywire.wiring.workspace import DATABASE_FILE

GO = {"go": True}


@pytest.fixture(scope="module")
def initialised(tmp_path_factory):
    """A workspace whose operator keeps a small policy of their own; nothing of it was opened yet."""
    scene = Scene(tmp_path_factory.mktemp("policies") / "scene").prepared()
    put(scene, small())
    return scene


@pytest.fixture
def scene(initialised, tmp_path):
    return initialised.clone(tmp_path / "scene")


def policy_of(scene):
    return scene.operator / "policy"


def put(scene, files, signature=b""):
    shutil.rmtree(policy_of(scene), ignore_errors=True)
    keep(files, policy_of(scene))
    if signature:
        (policy_of(scene) / "bundle.dsse").write_bytes(signature)


class Opened:
    """An open workspace, closed at the end."""

    def __init__(self, scene):
        self.workspace = scene.workspace()

    def __enter__(self):
        return self.workspace

    def __exit__(self, *_):
        self.workspace.close()


def effect(workspace, question=GO):
    return workspace.engine().decide(ENTRY, question).effect


def records(scene):
    reader = open_reader(scene.operator / DATABASE_FILE)
    try:
        return [json.loads(blob) for _, leaf, blob in reader.rows(0) if parse_leaf(leaf).kind == "policy-bundle"]
    finally:
        reader.close()


def signed_by(scene, files, person="oncall", now_ms=1):
    key = KeyFiles(OperatorDirectory(scene.operator)).load(KeyRole.APPROVER, f"person:{person}")
    return sign_bundle(parse_bundle(files), f"person:{person}", key, now_ms)


def test_the_first_good_copy_is_put_in_force_with_its_files_in_the_log(scene):
    with Opened(scene) as workspace:
        assert effect(workspace) is Effect.ALLOW
        (row,) = workspace.policies.store.bundles()
        assert (row.revision, row.active, row.signer, row.linted_by) == (1, True, "", LINTED_BY)
        assert workspace.policies.refused is None
        deciding = workspace.policies.files(row.digest)
    (record,) = records(scene)
    assert record["digest"] == row.digest
    assert set(deciding) == {"manifest.json", "a.rego", "table/limits.json", "messages.json"}


def test_what_is_shipped_says_so_and_is_not_examined_again(tmp_path, monkeypatch):
    monkeypatch.setattr(policy_in_force, "examine_apart", lambda *_: pytest.fail("examined"))
    with Opened(Scene(tmp_path / "scene").prepared()) as workspace:
        assert workspace.bundle().digest == shipped_digest()
        (row,) = workspace.policies.store.bundles()
        assert row.source.startswith("shipped with bywire ")


def test_nothing_to_fall_back_on_is_an_error(scene):
    put(scene, small(a_rego="package bywire.a\n\ndeny {\n"))
    with Opened(scene) as workspace, pytest.raises(BywireError) as refused:
        workspace.engine()
    assert refused.value.code == "policy_syntax"


BAD = {
    "policy_syntax": small(2, a_rego="package bywire.a\n\ndeny {\n"),
    "policy_lint": small(2, a_rego=RULES + "\nx := time.now_ns()\n"),
    "policy_unproved": {name: body for name, body in small(2).items() if "_test" not in name},
    "bundle_manifest": small(2) | {"manifest.json": b"{"},
    "bundle_table": small(2) | {"table/limits.json": b"["},
    "bundle_not_newer": small(1, limit=11),
    "policy_missing": {},
}


@pytest.mark.parametrize("code", BAD)
def test_rule_08_a_bad_copy_never_replaces_a_good_one(scene, code):
    with Opened(scene) as workspace:
        good = workspace.bundle().digest
    put(scene, BAD[code])
    with Opened(scene) as workspace:
        assert effect(workspace) is Effect.ALLOW
        assert workspace.bundle().digest == workspace.state.active_bundle() == good
        assert workspace.policies.refused.code == code
        assert workspace.policies.refused.next_step
        assert effect(workspace, GO | {"count": 11}) is Effect.DENY
    assert len(records(scene)) == 1


def test_tests_that_fail_keep_a_copy_out(scene):
    with Opened(scene) as workspace:
        assert effect(workspace, GO | {"count": 9}) is Effect.ALLOW
    put(scene, small(2, limit=8))
    with Opened(scene) as workspace:
        assert effect(workspace, GO | {"count": 9}) is Effect.ALLOW
        assert workspace.policies.refused.code == "policy_unproved"
        assert "test_quiet_a_too_many" in workspace.policies.refused.message


def test_a_copy_that_was_refused_is_not_examined_at_every_command(scene, monkeypatch):
    with Opened(scene) as workspace:
        workspace.engine()
    put(scene, BAD["policy_lint"])
    with Opened(scene) as workspace:
        workspace.engine()
    with monkeypatch.context() as patched:
        patched.setattr(policy_in_force, "examine_apart", lambda *_: pytest.fail("examined again"))
        with Opened(scene) as workspace:
            workspace.engine()
            assert workspace.policies.refused.code == "policy_lint"
    put(scene, small(2, limit=10) | {"b.rego": b"package bywire.b\n\nx := 1\n"})
    with Opened(scene) as workspace:
        assert workspace.bundle().manifest.revision == 2
        assert workspace.policies.refused is None


def test_activation_is_one_transaction(scene, monkeypatch):
    with Opened(scene) as workspace:
        good = workspace.bundle().digest
        put(scene, small(2))
        candidate = read_candidate(policy_of(scene))

        def fail(tx, *_):
            raise BywireError("the disk is full", code="disk_full")

        monkeypatch.setattr(workspace.state, "activate_bundle", fail)
        with pytest.raises(BywireError):
            workspace.policies.activate(candidate)
        assert workspace.bundle().digest == workspace.state.active_bundle() == good
        monkeypatch.undo()
        done = workspace.policies.activate(candidate)
        assert (done.revision, workspace.bundle().manifest.revision) == (2, 2)
        assert workspace.policies.activate(candidate).entry == -1
    assert [record["revision"] for record in records(scene)] == [1, 2]


def test_a_running_process_picks_up_what_another_activated(scene):
    with Opened(scene) as running, Opened(scene) as other:
        before = running.engine().decide(ENTRY, {})
        put(scene, small(2) | {"b.rego": b"package bywire.b\n\nx := 1\n"})
        done = other.policies.activate(read_candidate(policy_of(scene)))
        during = running.engine().decide(ENTRY, {})
        assert during.bundle_digest in {before.bundle_digest, done.digest}
        wait_until(lambda: running.engine().bundle_digest == done.digest)
        assert running.bundle().manifest.revision == 2
        assert running.engine().decide(ENTRY, {}).bundle_digest == done.digest


def test_decisions_go_on_while_bundles_change(scene):
    with Opened(scene) as running, Opened(scene) as other:
        decisions, ended = [running.engine().decide(ENTRY, GO)], threading.Event()

        def ask():
            while not ended.is_set():
                decisions.append(running.engine().decide(ENTRY, GO | {"count": 11 if len(decisions) % 2 else 1}))

        asking = threading.Thread(target=ask)
        asking.start()
        for revision in (2, 3):
            put(scene, small(revision))
            done = other.policies.activate(read_candidate(policy_of(scene)))
            wait_until(lambda digest=done.digest: running.engine().bundle_digest == digest)
        ended.set()
        asking.join()
        known = {row.digest for row in other.policies.store.bundles()}
    assert {decision.bundle_digest for decision in decisions} <= known
    assert {reason.rule for decision in decisions for reason in decision.reasons} == {"a.allowed", "a.too_many"}


def test_a_bundle_that_the_log_lost_is_not_loaded(scene, monkeypatch):
    with Opened(scene) as running, Opened(scene) as other:
        before = running.engine().bundle_digest
        put(scene, small(2))
        monkeypatch.setattr(running.policies, "files", lambda _: (_ for _ in ()).throw(BywireError("x", code="lost")))
        other.policies.activate(read_candidate(policy_of(scene)))
        running.engine()
        running.policies.settle()
        assert running.engine().bundle_digest == before
        assert running.policies.refused.code == "lost"


def test_files_in_the_log_must_have_the_digest_they_are_kept_under(scene):
    with Opened(scene) as workspace:
        workspace.engine()
        with pytest.raises(BywireError) as refused:
            workspace.policies.files("0" * 64)
        assert refused.value.code == "bundle_lost"


def test_a_bundle_from_before_its_place_was_kept_is_found_in_the_log(scene):
    with Opened(scene) as workspace:
        digest = workspace.bundle().digest
        workspace.writer.run(lambda tx: tx.execute("DELETE FROM bundle_records"))
    put(scene, BAD["policy_lint"])
    with Opened(scene) as workspace:
        assert effect(workspace) is Effect.ALLOW
        assert workspace.engine().bundle_digest == digest


class TestSigned:
    def test_once_signed_always_signed(self, scene):
        with Opened(scene) as workspace:
            workspace.engine()
        put(scene, small(2), signed_by(scene, small(2)))
        with Opened(scene) as workspace:
            assert workspace.bundle().manifest.revision == 2
            assert workspace.policies.store.bundles()[-1].signer == "person:oncall"
        put(scene, small(3))
        with Opened(scene) as workspace:
            assert effect(workspace) is Effect.ALLOW
            assert workspace.bundle().manifest.revision == 2
            assert workspace.policies.refused.code == "bundle_unsigned"
        put(scene, small(3), signed_by(scene, small(3)))
        with Opened(scene) as workspace:
            assert workspace.bundle().manifest.revision == 3

    def test_what_is_in_force_can_be_signed_afterwards(self, scene):
        with Opened(scene) as workspace:
            workspace.engine()
            (policy_of(scene) / "bundle.dsse").write_bytes(signed_by(scene, small()))
            done = workspace.policies.activate(read_candidate(policy_of(scene)))
            assert (done.signer, done.revision) == ("person:oncall", 1)
            assert done.entry > 0
            assert workspace.policies.activate(read_candidate(policy_of(scene))).entry == -1
        put(scene, small(2))
        with Opened(scene) as workspace:
            assert workspace.bundle().manifest.revision == 1
            assert workspace.policies.refused.code == "bundle_unsigned"
        assert scene.bywire("audit", "verify").code == 0

    def test_a_signature_of_another_version_does_not_fit(self, scene):
        with Opened(scene) as workspace:
            workspace.engine()
        put(scene, small(2), signed_by(scene, small(3)))
        with Opened(scene) as workspace:
            workspace.engine()
            assert workspace.bundle().manifest.revision == 1
            assert workspace.policies.refused.code == "bundle_signature"

    def test_a_signature_of_nobody_does_not_fit(self, scene):
        with Opened(scene) as workspace:
            workspace.engine()
        put(scene, small(2), b"not an envelope")
        with Opened(scene) as workspace:
            workspace.engine()
            assert workspace.policies.refused.code == "envelope_malformed"

    def test_the_signature_is_in_the_record(self, scene):
        put(scene, small(), signed_by(scene, small()))
        with Opened(scene) as workspace:
            workspace.engine()
        (record,) = records(scene)
        assert json.loads(record["signature"])["payloadType"] == "application/vnd.in-toto+json"


def test_an_agents_own_policy_decides(scene):
    put(scene, with_agent())
    with Opened(scene) as workspace:
        late = GO | {"principal": {"id": "agent:web-1"}, "hour": 18}
        assert effect(workspace, late) is Effect.DENY
        assert effect(workspace, late | {"hour": 17}) is Effect.ALLOW
        assert effect(workspace, late | {"principal": {"id": "agent:db"}}) is Effect.ALLOW


def test_a_directory_that_is_no_policy_is_bounded(tmp_path, monkeypatch):
    monkeypatch.setattr(knowledge_base, "FILES_MAX", 3)
    keep({f"a{number}.rego": b"" for number in range(4)}, tmp_path / "many")
    with pytest.raises(BywireError) as refused:
        read_candidate(tmp_path / "many")
    assert refused.value.code == "policy_too_large"
    place = keep({"manifest.json": manifest(), "a.rego": b"package bywire.a\n"}, tmp_path / "linked")
    (place / "b.rego").symlink_to("/etc/hostname")
    assert set(read_candidate(place).files) == {"manifest.json", "a.rego"}
