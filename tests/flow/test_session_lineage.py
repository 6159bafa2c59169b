"""Where sessions come from: run and parent hand down the lowest integrity, and a revoked one hands down nothing."""

import pytest

from bywire.adapters.sqlite_envelope_state import SqliteState
from bywire.adapters.sqlite_reading import Reader
from bywire.adapters.sqlite_sessions import revoke_all_sessions, revoke_sessions
from bywire.adapters.sqlite_writer import Writer
from bywire.identity.session import Session
from bywire.model.errors import EvidenceError
from bywire.model.principal import Principal, PrincipalKind

HERE = "log.example/here"


class World:
    def __init__(self, path):
        self.writer = Writer(path)
        self.reader = Reader(path)
        self.state = SqliteState(self.writer, self.reader)

    def open(self, name, run="run-1", parent="", agent="agent:a", workspace=HERE):
        session = Session(name, Principal(agent, PrincipalKind.AGENT), run, workspace=workspace, parent=parent)
        self.state.open_session(session)
        return name

    def integrity(self, *names):
        return [self.state.snapshot(name, "tiny").session.integrity for name in names]

    def change(self, work):
        return self.writer.run(work)


@pytest.fixture
def world(tmp_path):
    world = World(tmp_path / "bywire.db")
    yield world
    world.writer.close()
    world.reader.close()


def refused(call):
    with pytest.raises(EvidenceError) as caught:
        call()
    assert caught.value.next_step
    return caught.value.code


def test_a_session_is_told_as_it_was_opened(world):
    world.open("se-1")
    world.open("se-2", run="run-2", parent="se-1")
    kept = world.state.snapshot("se-2", "tiny").session
    assert (kept.run, kept.workspace, kept.parent, kept.integrity) == ("run-2", HERE, "se-1", "trusted")
    assert kept.principal == Principal("agent:a", PrincipalKind.AGENT)


def test_rule_22_a_tainted_run_taints_what_is_opened_in_it(world):
    world.open("se-1")
    world.open("se-2")
    world.open("se-3", run="run-2")
    world.state.taint("se-1")
    world.open("se-4", agent="agent:b")
    assert world.integrity("se-1", "se-2", "se-3", "se-4") == ["tainted", "tainted", "trusted", "tainted"]


def test_rule_22_a_new_origin_does_not_wash_a_run(world):
    world.open("se-1")
    world.state.taint("se-1")
    world.open("se-2", workspace="log.example/fork")
    assert world.integrity("se-2") == ["tainted"]


def test_rule_22_a_tainted_parent_has_tainted_children(world):
    world.open("se-1")
    world.state.taint("se-1")
    world.open("se-2", run="run-2", parent="se-1")
    # The child's run is tainted with it, and so is what that run opens.
    world.open("se-3", run="run-2")
    assert world.integrity("se-2", "se-3") == ["tainted", "tainted"]


def test_rule_22_taint_reaches_children_that_are_open_already(world):
    world.open("se-1")
    world.open("se-2", run="run-2", parent="se-1")
    world.open("se-3", run="run-2")
    world.open("se-4", run="run-3", parent="se-3")
    world.open("se-5", run="run-4")
    world.state.taint("se-1")
    assert world.integrity("se-2", "se-3", "se-4", "se-5") == ["tainted", "tainted", "tainted", "trusted"]


def test_rule_22_nothing_raises_integrity_again(world):
    world.open("se-1")
    world.state.taint("se-1")
    world.open("se-1")
    assert world.integrity("se-1") == ["tainted"]


def test_taint_ends_where_lineages_meet_in_a_circle(world):
    world.open("se-1")
    world.open("se-2", run="run-2", parent="se-1")
    world.open("se-3", run="run-1", parent="se-2")
    world.state.taint("se-2")
    assert world.integrity("se-1", "se-2", "se-3") == ["tainted"] * 3


def test_tainting_an_unknown_session_taints_nobody(world):
    world.open("se-1")
    world.state.taint("se-unknown")
    world.state.taint("")
    assert world.integrity("se-1") == ["trusted"]


def test_rule_22_a_parent_must_be_open_here(world):
    world.open("se-1")
    world.open("se-2", run="run-2", agent="agent:b")
    world.change(lambda tx: revoke_sessions(tx, "agent:b"))
    for parent in ("se-unknown", "se-2", "se-3"):
        assert refused(lambda parent=parent: world.open("se-3", run="run-3", parent=parent)) == "session_refused"
    assert refused(lambda: world.open("se-4", parent="se-1", workspace="log.example/other")) == "session_refused"
    assert refused(lambda: world.state.snapshot("se-3", "tiny")) == "session_refused"


def test_revoking_a_principal_ends_its_sessions_and_no_others(world):
    world.open("se-1")
    world.open("se-2", run="run-2")
    world.open("se-3", agent="agent:b")
    assert world.change(lambda tx: revoke_sessions(tx, "agent:a")) == 2
    assert world.change(lambda tx: revoke_sessions(tx, "agent:a")) == 0
    assert refused(lambda: world.state.snapshot("se-1", "tiny")) == "session_refused"
    assert world.integrity("se-3") == ["trusted"]
    assert world.change(revoke_all_sessions) == 1
    assert refused(lambda: world.state.snapshot("se-3", "tiny")) == "session_refused"


def test_a_revoked_session_is_not_opened_again(world):
    world.open("se-1")
    world.change(lambda tx: revoke_sessions(tx, "agent:a"))
    world.open("se-1")
    assert refused(lambda: world.state.snapshot("se-1", "tiny")) == "session_refused"
