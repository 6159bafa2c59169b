"""The compromise drill is run as its page says, and afterwards only that is believed which the page says.

A ```console block right after `<!-- drill: KEY -->` belongs to the test of that name.
"""

import re
import shlex
from pathlib import Path

import pytest
from scene import Scene

from bywire.identity.tokens import TOKEN_ISSUER
from bywire.ledger.checkpoint import log_keys
from bywire.ledger.verify import check_tail
from bywire.model.errors import BywireError, EvidenceError
from bywire.model.principal import KeyRole
from bywire.wiring.identities import issue_token

PAGE = Path(__file__).parents[2] / "docs" / "compromise-drill.md"
BLOCKS = dict(re.findall(r"<!-- drill: ([a-z]+) -->\n```console\n(.*?)```", PAGE.read_text(), re.DOTALL))
BOT = "agent:deploy-bot"


class Drill(Scene):
    """A workspace with an agent of its own, and a process that runs throughout."""

    def play(self, name):
        """Run the commands of a block one after the other."""
        for line in BLOCKS[name].splitlines():
            program, *arguments = shlex.split(line.removeprefix("$ "))
            assert program == "bywire"
            done = self.bywire(*arguments)
            assert done.code == 0, f"{line}\n{done.out}{done.err}"

    def keys(self, **wanted):
        found = self.bywire("keys", "list", "--json").json
        return [key for key in found if all(key[name] == value for name, value in wanted.items())]


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    scene = Scene(tmp_path_factory.mktemp("drill") / "scene").prepared()
    done = scene.bywire("agents", "register", "deploy-bot", "--owner", "dana", "--pattern", "advisor")
    assert done.code == 0, done
    assert scene.bywire("agents", "token", "deploy-bot").code == 0
    return scene


@pytest.fixture
def drill(prepared, tmp_path):
    prepared.clone(tmp_path / "scene")
    return Drill(tmp_path / "scene")


@pytest.fixture
def running(drill):
    """A process that was there before the key was lost."""
    workspace = drill.workspace()
    yield workspace
    try:
        workspace.close()
    except BywireError:
        workspace.writer.close()
        workspace.reader.close()
        workspace.ledger.close()


def admitted(workspace, token):
    """Whether the door would let this token in."""
    try:
        workspace.state.snapshot(workspace.sessions.session_of(token, workspace.clock.now_ms()), "tiny")
    except EvidenceError:
        return False
    return True


def believed(drill, key_id, *indexes):
    """Whether what a key signed at each log index is believed by who has the trust root of now."""
    workspace = drill.workspace()
    try:
        return [workspace.trust.entry(key_id).valid_at(index) for index in indexes]
    finally:
        workspace.close()


def test_every_section_is_drilled():
    here = {name.removeprefix("test_the_loss_of_the_key_of_") for name in globals() if name.startswith("test_the_loss")}
    assert set(BLOCKS) == {*here, "end"}


def test_the_loss_of_the_key_of_agent(drill, running):
    token = issue_token(running, BOT, lifetime_seconds=900).token
    inside = running.token(BOT, "run")
    (old,) = drill.keys(principal=BOT)
    assert admitted(running, token)
    assert admitted(running, inside)
    drill.play("agent")
    assert not admitted(running, token)
    assert not admitted(running, inside)
    (new,) = drill.keys(principal=BOT, valid=True)
    (ended,) = drill.keys(key_id=old["key_id"])
    assert new["key_id"] != old["key_id"]
    assert believed(drill, old["key_id"], ended["to_index"] - 1, ended["to_index"], None) == [True, False, False]
    assert admitted(running, issue_token(running, BOT, lifetime_seconds=900).token)


def test_the_loss_of_the_key_of_approver(drill, running):
    (old,) = running.trust.holding(KeyRole.APPROVER, "person:oncall")
    drill.play("approver")
    (new,) = running.trust.holding(KeyRole.APPROVER, "person:oncall")
    assert new.key_id != old.key_id
    assert not running.trust.entry(old.key_id).valid_at(None)
    assert running.keys.load(KeyRole.APPROVER, "person:oncall").key_id == new.key_id


def test_the_loss_of_the_key_of_token(drill, running):
    token, inside = issue_token(running, BOT, lifetime_seconds=900).token, running.token(BOT, "run")
    (old,) = running.trust.holding(KeyRole.TOKEN, TOKEN_ISSUER)
    drill.play("token")
    assert not admitted(running, token)
    assert admitted(running, inside)
    (published,) = drill.bywire("keys", "jwks").json["keys"]
    assert published["kid"] != old.key_id
    assert admitted(running, issue_token(running, BOT, lifetime_seconds=900).token)


def test_the_loss_of_the_key_of_builder(drill):
    (old,) = drill.keys(principal="workload:builder")
    drill.play("builder")
    assert believed(drill, old["key_id"], 0, 1, 10**6, None) == [True, False, False, False]
    assert len(drill.keys(principal="workload:builder", valid=True)) == 1


def test_the_loss_of_the_key_of_log(drill, running):
    (old,) = drill.keys(role="log")
    before = running.trust
    drill.play("log")
    (ended,) = drill.keys(key_id=old["key_id"])
    assert believed(drill, old["key_id"], ended["to_index"] - 1, ended["to_index"], None) == [True, False, False]
    with pytest.raises(BywireError) as caught:
        running.publish()
    assert caught.value.code == "log_key_retired"
    workspace = drill.workspace()
    try:
        workspace.record("note", "workspace", {"says": "after"})
        note = workspace.publish()
        workspace.writer.run(lambda tx: check_tail(tx, workspace.trust.origin, log_keys(workspace.trust), (note,)))
        with pytest.raises(EvidenceError):
            workspace.writer.run(lambda tx: check_tail(tx, before.origin, log_keys(before), (note,)))
    finally:
        workspace.close()


def test_the_loss_of_the_key_of_workspace(drill, running):
    token, inside = issue_token(running, BOT, lifetime_seconds=900).token, running.token(BOT, "run")
    drill.play("workspace")
    assert not admitted(running, token)
    assert not admitted(running, inside)
    workspace = drill.workspace()
    try:
        assert not admitted(workspace, inside)
        assert admitted(workspace, workspace.token(BOT, "run"))
        assert admitted(workspace, issue_token(workspace, BOT, lifetime_seconds=900).token)
    finally:
        workspace.close()


def test_the_whole_drill_ends_with_a_log_that_verifies(drill):
    for name in BLOCKS:
        drill.play(name)
    assert len(drill.keys(role="log", valid=True)) == 1
    assert all(len(drill.keys(principal=who, valid=True)) == 1 for who in (BOT, "person:oncall", "workload:builder"))
