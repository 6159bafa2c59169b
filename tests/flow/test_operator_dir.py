"""The operator directory: where it is, whose it is, how it is written, and who holds its lock."""

import os
import subprocess
import sys

import pytest

from bywire.adapters.operator_dir import OperatorDirectory, operator_path
from bywire.model.errors import BywireError, ConfigError, ConflictError


@pytest.fixture
def repository(tmp_path, monkeypatch):
    monkeypatch.delenv("BYWIRE_OPERATOR_DIR", raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    root = tmp_path / "Store Front"
    root.mkdir()
    return root


@pytest.fixture
def directory(tmp_path):
    return OperatorDirectory.create(tmp_path / "operator")


def test_the_path_is_stable_per_repository_and_named_after_the_service(repository, tmp_path):
    named = operator_path(repository, "shop")
    assert named.parent == tmp_path / "state" / "bywire"
    assert named.name.startswith("shop-") and len(named.name) == len("shop-") + 8
    assert operator_path(repository).name == named.name.replace("shop", "store-front")
    assert operator_path(tmp_path / "other").name[-8:] != named.name[-8:]


def test_flag_then_variable_then_state_home(repository, tmp_path, monkeypatch):
    monkeypatch.setenv("BYWIRE_OPERATOR_DIR", str(tmp_path / "variable"))
    assert operator_path(repository, given=tmp_path / "flag") == tmp_path / "flag"
    assert operator_path(repository) == tmp_path / "variable"
    monkeypatch.delenv("BYWIRE_OPERATOR_DIR")
    monkeypatch.delenv("XDG_STATE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert operator_path(repository).parent == tmp_path / ".local" / "state" / "bywire"


@pytest.mark.parametrize("place", [".", "ops", "a/../ops", ".."])
def test_inside_or_around_the_repository_is_refused(repository, place):
    with pytest.raises(ConfigError) as caught:
        operator_path(repository, given=repository / place)
    assert caught.value.code == "operator_inside_repository"


def test_a_link_into_the_repository_is_refused(repository, tmp_path):
    (tmp_path / "link").symlink_to(repository)
    with pytest.raises(ConfigError) as caught:
        operator_path(repository, given=tmp_path / "link" / "ops")
    assert caught.value.code == "operator_inside_repository"


def test_created_private_and_files_private_and_whole(directory):
    old = os.umask(0)
    try:
        place = directory.write("keys/approver.key", b"secret")
        other = OperatorDirectory.create(directory.path.parent / "second")
    finally:
        os.umask(old)
    assert place.stat().st_mode & 0o777 == 0o600
    assert place.parent.stat().st_mode & 0o777 == 0o700
    assert other.path.stat().st_mode & 0o777 == 0o700
    directory.write("keys/approver.key", b"second")
    assert directory.read("keys/approver.key") == b"second"
    assert [item.name for item in place.parent.iterdir()] == ["approver.key"]


def test_a_failed_write_leaves_the_old_file_and_no_debris(directory, monkeypatch):
    directory.write("operator.yaml", b"old")

    def full(_descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(BywireError) as caught:
        directory.write("operator.yaml", b"new")
    assert caught.value.code == "disk_full"
    assert directory.read("operator.yaml") == b"old"
    assert [item.name for item in directory.path.iterdir()] == ["operator.yaml"]


@pytest.mark.parametrize("name", ["../x", "/etc/passwd", "a/../../x", "", "."])
def test_names_stay_in_the_directory(directory, name):
    for use in (lambda: directory.write(name, b""), lambda: directory.read(name)):
        with pytest.raises(ConfigError) as caught:
            use()
        assert caught.value.code == "operator_path"


def test_a_link_in_the_directory_is_not_followed(directory, tmp_path):
    (tmp_path / "elsewhere").write_bytes(b"x")
    (directory.path / "operator.yaml").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ConfigError) as caught:
        directory.read("operator.yaml")
    assert caught.value.code == "operator_unsafe"
    directory.write("operator.yaml", b"own")
    assert (tmp_path / "elsewhere").read_bytes() == b"x"


@pytest.mark.parametrize("mode", [0o720, 0o702, 0o777])
def test_a_directory_that_others_may_write_to_is_refused(directory, mode):
    directory.path.chmod(mode)
    with pytest.raises(ConfigError) as caught:
        OperatorDirectory(directory.path)
    assert caught.value.code == "operator_unsafe"
    assert "chmod go-w" in caught.value.next_step


def test_a_file_that_others_may_write_to_is_refused(directory):
    directory.write("operator.yaml", b"x").chmod(0o666)
    with pytest.raises(ConfigError) as caught:
        directory.read("operator.yaml")
    assert caught.value.code == "operator_unsafe"


def test_a_directory_of_somebody_else_is_refused(directory, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: directory.path.stat().st_uid + 1)
    with pytest.raises(ConfigError) as caught:
        OperatorDirectory(directory.path)
    assert "belongs to user" in caught.value.message


def test_a_missing_directory_says_what_to_run(tmp_path):
    with pytest.raises(ConfigError) as caught:
        OperatorDirectory(tmp_path / "none")
    assert (caught.value.code, caught.value.next_step) == ("operator_missing", "run 'bywire init'")


HOLD = """
import sys
from pathlib import Path
from bywire.adapters.operator_dir import OperatorDirectory
with OperatorDirectory(Path(sys.argv[1])).lock("workspace"):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_second_process_is_told_who_holds_the_lock_and_death_releases_it(directory):
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(directory.path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(ConflictError) as caught, directory.lock("workspace"):
            pass
        assert caught.value.code == "workspace_busy"
        assert f"process {holder.pid}" in caught.value.message
    finally:
        holder.kill()
        holder.wait()
        holder.stdin.close()
        holder.stdout.close()
    with directory.lock("workspace"):
        pass


def test_the_lock_is_exclusive_within_a_process_and_free_afterwards(directory):
    with directory.lock("workspace"):
        with pytest.raises(ConflictError), directory.lock("workspace"):
            pass
        with directory.lock("other"):
            pass
    with directory.lock("workspace"):
        pass


def test_an_error_under_the_lock_releases_it(directory):
    with pytest.raises(RuntimeError), directory.lock("workspace"):
        raise RuntimeError
    with directory.lock("workspace"):
        pass
