"""Keys as files: private to their owner, one for each role and principal, never replaced by accident."""

import pytest

from bywire.adapters.key_files import KeyFiles
from bywire.adapters.operator_dir import OperatorDirectory
from bywire.identity.trust import TrustRoot, check_trust_root
from bywire.model.errors import BywireError
from bywire.model.principal import KeyRole


@pytest.fixture
def keys(tmp_path):
    return KeyFiles(OperatorDirectory.create(tmp_path / "operator"))


def files(tmp_path):
    return sorted(path for path in (tmp_path / "operator" / "keys").iterdir())


def code_of(call):
    with pytest.raises(BywireError) as caught:
        call()
    assert caught.value.next_step
    return caught.value.code


def test_a_key_is_made_once_and_read_back(keys, tmp_path):
    entry = keys.create(KeyRole.AGENT, "agent:planner", "person:dana")
    assert keys.load(KeyRole.AGENT, "agent:planner").key_id == entry.key_id
    assert (entry.role, entry.principal, entry.owner) == (KeyRole.AGENT, "agent:planner", "person:dana")
    assert code_of(lambda: keys.create(KeyRole.AGENT, "agent:planner")) == "key_exists"
    assert keys.load(KeyRole.AGENT, "agent:planner").key_id == entry.key_id
    check_trust_root(TrustRoot(version=1, origin="o", keys=(entry,)))
    assert [path.stat().st_mode & 0o777 for path in files(tmp_path)] == [0o600]


def test_rule_03_each_role_and_principal_has_its_own_key(keys):
    made = [
        keys.create(role, principal).key_id
        for role, principal in (
            (KeyRole.AGENT, "agent:a"),
            (KeyRole.AGENT, "agent:b"),
            (KeyRole.BUILDER, "workload:a"),
            (KeyRole.LOG, "workload:a"),
        )
    ]
    assert len(set(made)) == 4


def test_rule_03_an_approvers_key_needs_its_passphrase(keys, tmp_path):
    entry = keys.create(KeyRole.APPROVER, "person:alice", passphrase=b"correct horse")
    assert b"ENCRYPTED" in files(tmp_path)[0].read_bytes()
    assert keys.load(KeyRole.APPROVER, "person:alice", lambda: b"correct horse").key_id == entry.key_id
    for wrong in (None, lambda: b"", lambda: b"battery staple"):
        assert code_of(lambda wrong=wrong: keys.load(KeyRole.APPROVER, "person:alice", wrong)) == "key_invalid"


def test_a_passphrase_is_asked_for_only_when_it_is_needed(keys):
    keys.create(KeyRole.AGENT, "agent:planner")
    keys.load(KeyRole.AGENT, "agent:planner", lambda: pytest.fail("asked"))


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o666, 0o644])
def test_rule_03_a_key_that_others_may_read_is_refused(keys, tmp_path, mode):
    keys.create(KeyRole.AGENT, "agent:planner")
    keys.create_workspace_key()
    for path in files(tmp_path):
        path.chmod(mode)
    for read in (lambda: keys.load(KeyRole.AGENT, "agent:planner"), keys.workspace_key):
        assert code_of(read) in {"key_exposed", "operator_unsafe"}


def test_a_missing_or_linked_key_is_refused(keys, tmp_path):
    assert code_of(lambda: keys.load(KeyRole.AGENT, "agent:nobody")) == "key_missing"
    keys.create(KeyRole.AGENT, "agent:planner")
    (path,) = files(tmp_path)
    path.with_name("agent--agent-coder.pem").symlink_to(path)
    assert code_of(lambda: keys.load(KeyRole.AGENT, "agent:coder")) == "operator_unsafe"


@pytest.mark.parametrize("principal", ["person:../../outside", "person:/etc/passwd", "person:a\0b"])
def test_a_name_leads_nowhere_else(keys, principal):
    code_of(lambda: keys.load(KeyRole.APPROVER, principal))
    code_of(lambda: keys.create(KeyRole.APPROVER, principal))


def test_the_workspace_key_is_drawn_once(keys):
    keys.create_workspace_key()
    first = keys.workspace_key()
    keys.create_workspace_key()
    assert keys.workspace_key() == first
    assert len(first) == 32


def test_the_trust_root_is_read_back_checked(keys, tmp_path):
    root = TrustRoot(version=1, origin="o", keys=(keys.create(KeyRole.LOG, "workload:log"),))
    keys.save_trust(root)
    assert keys.trust() == root
    (tmp_path / "operator" / "trust.json").write_bytes(root.to_bytes().replace(b"workload:log", b"person:alice"))
    assert code_of(keys.trust) == "trust_invalid"
