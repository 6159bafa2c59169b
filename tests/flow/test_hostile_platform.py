"""Attacks from beyond the door: a platform that plays with time, lengths and echoes, a fix that is more than one."""

import subprocess
import time

import msgspec
import pytest
from test_connections import TOKEN, carry_out, executor, refused, row, says, serving

from bywire.adapters.git_repository import GitRepository
from bywire.adapters.pinned_http import PinnedHttp, parse_origin
from bywire.adapters.repository_executor import RepositoryExecutor
from bywire.model.errors import TargetError
from bywire.seal.digest import sha256_hex


class Repository:
    """A git repository whose work tree is on its first branch."""

    def __init__(self, path):
        self.path = path
        path.mkdir()
        self.git("init", "-q", "-b", "main")

    def git(self, *arguments):
        who = ["-c", "user.name=dana", "-c", "user.email=dana@example.org"]
        done = subprocess.run(["git", *who, *arguments], cwd=self.path, check=True, capture_output=True, text=True)
        return done.stdout

    def commit(self, files):
        for name, content in files.items():
            (self.path / name).write_text(content)
        self.git("add", "-A")
        self.git("commit", "-q", "-m", "work")
        return self.git("rev-parse", "HEAD").strip()


@pytest.fixture
def repo(tmp_path):
    return Repository(tmp_path / "repo")


@pytest.fixture
def hostile():
    with serving() as server:
        yield server


# --- rule 23: a platform that plays with time, lengths and echoes ---


def test_rule_23_a_head_that_drips_holds_no_action_up(hostile):
    def drip(handler):
        for _ in range(200):
            handler.wfile.write(b"X")
            handler.wfile.flush()
            time.sleep(0.05)

    hostile.answer = drip
    begun = time.monotonic()
    with pytest.raises(TimeoutError):
        carry_out(hostile, timeout_seconds=0.4)
    assert time.monotonic() - begun < 3


def test_rule_23_a_platform_that_never_stops_continuing_holds_no_action_up(hostile):
    def carry_on(handler):
        for _ in range(200):
            handler.wfile.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            handler.wfile.flush()
            time.sleep(0.05)

    hostile.answer = carry_on
    begun = time.monotonic()
    with pytest.raises(TimeoutError):
        carry_out(hostile, timeout_seconds=0.4)
    assert time.monotonic() - begun < 3


def test_an_answer_that_ends_before_its_length_is_nobodys_knowledge(hostile):
    def short(handler):
        handler.send_response(200)
        handler.send_header("Content-Length", "100")
        handler.end_headers()
        handler.wfile.write(b"half")

    hostile.answer = short
    with pytest.raises(TimeoutError, match="missing"):
        carry_out(hostile)


def test_rule_23_a_refusal_tells_no_part_of_a_credential(hostile):
    hostile.answer = says(400, b"x" * 197 + TOKEN.encode())
    error = refused("target_refused", lambda: carry_out(hostile))
    assert TOKEN[:3] not in error.message


# --- rule 1: a fix is a new branch ---


def test_rule_01_a_fix_moves_no_branch_that_is_there(repo):
    base, patch = repo.commit({"app.py": "x = 1\n"}), b"weaker: true\n"
    repo.git("branch", "release")
    place = RepositoryExecutor(GitRepository(repo.path), {sha256_hex(patch): patch}.get)
    wanted = {"branch": "release", "base": base, "files": [{"path": "bywire.yaml", "sha256": sha256_hex(patch)}]}
    asked = msgspec.structs.replace(row("create_fix_branch"), request={"parameters": wanted})
    with pytest.raises(TargetError) as caught:
        place.execute(asked, wanted)
    assert caught.value.code == "branch_exists"
    assert repo.git("rev-parse", "release").strip() == base
    fresh = {**wanted, "branch": "bywire/fix/1"}
    asked = msgspec.structs.replace(asked, request={"parameters": fresh})
    assert place.execute(asked, fresh) == place.execute(asked, fresh)


def test_a_fix_whose_patch_the_log_does_not_hold_fails(repo):
    base = repo.commit({"app.py": "x = 1\n"})
    wanted = {"branch": "fix", "base": base, "files": [{"path": "x", "sha256": "e" * 64}]}
    asked = msgspec.structs.replace(row("create_fix_branch"), request={"parameters": wanted})
    with pytest.raises(TargetError) as caught:
        RepositoryExecutor(GitRepository(repo.path), {}.get).execute(asked, wanted)
    assert caught.value.code == "blob_missing"


@pytest.mark.parametrize("address", ["2002:a9fe:a9fe::1", "2002:7f00:1::1", "64:ff9b::a9fe:a9fe", "fec0::1"])
def test_rule_23_an_address_that_stands_for_another_is_judged_as_that_one(address):
    client = PinnedHttp(parse_origin("https://ci.example", private=False), resolve=lambda host, port: [address])
    refused("address_refused", lambda: client.send("GET", "/", {}, None))


def test_rule_06_a_bound_on_what_is_read_holds_for_a_platform_that_knows_none(hostile):
    hostile.answer = says(200, b"x" * 300_000)
    made, credentials = executor(hostile)
    credential = credentials.for_read("ci", 0)
    bounded = made.read_with("get_job_logs", {"job_id": "1", "max_bytes": 100}, credential)
    assert len(bounded["text"]) == 100
    unbounded = made.read_with("get_job_logs", {"job_id": "1"}, credential)
    assert unbounded["cut_to_bytes"] == len(unbounded["text"])
