"""A workspace that refuses to open leaves nothing open: no connection, no thread that writes, no lock."""

import os
import sqlite3
import threading
from contextlib import closing

import pytest
from scene import Scene

from bywire.model.errors import LedgerError
from bywire.wiring import workspace as opening
from bywire.wiring.workspace import DATABASE_FILE, open_workspace


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    made = Scene(tmp_path_factory.mktemp("refusals") / "scene")
    assert made.bywire("init").code == 0
    yield made
    made.close()


def held():
    """Open files and threads of this process."""
    return len(os.listdir("/dev/fd")), threading.active_count()


def refused(scene, code):
    before = held()
    with pytest.raises(LedgerError) as caught:
        open_workspace(scene.repo, scene.operator)
    # The error holds the half-made workspace, so that nothing is closed merely because nobody refers to it.
    assert caught.value.code == code
    assert held() == before
    caught.value.__traceback__ = None


@pytest.mark.parametrize(
    "part", ["Reader", "finish_replacements", "connect", "LocalTarget", "Witnesses", "check_tail", "PolicyInForce"]
)
def test_whatever_part_refuses_the_others_are_closed(scene, monkeypatch, part):
    def refuses(*_, **__):
        raise LedgerError("refused", code="refused")

    open_workspace(scene.repo, scene.operator).close()
    with monkeypatch.context() as patched:
        patched.setattr(opening, part, refuses)
        refused(scene, "refused")
    open_workspace(scene.repo, scene.operator).close()


def test_rule_24_a_log_that_is_shorter_than_was_published_is_refused_and_closed(scene):
    workspace = open_workspace(scene.repo, scene.operator)
    workspace.record("test", "workspace", {"n": 1})
    workspace.close()
    with closing(sqlite3.connect(scene.operator / DATABASE_FILE, isolation_level=None)) as connection:
        connection.execute("DELETE FROM entries WHERE idx = (SELECT max(idx) FROM entries)")
    refused(scene, "ledger_truncated")
