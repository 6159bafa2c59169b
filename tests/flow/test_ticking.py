"""Rounds of upkeep: a delivery that was left goes on, under the lock of `bywire deliver` and never without it."""

import contextlib
import time

import pytest
from scene import Scene

from bywire.delivery.state import Phase
from bywire.model.errors import LedgerError
from bywire.wiring.delivering import deliveries
from bywire.wiring.ticking import BACK_OFF_MS, DELIVER_LOCK, ROUND_SECONDS, Ticking, ticking
from bywire.wiring.workspace import open_workspace


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    scene = Scene(tmp_path_factory.mktemp("ticking") / "scene").prepared()
    yield scene
    scene.close()


@pytest.fixture
def workspace(scene):
    with contextlib.closing(open_workspace(scene.repo, scene.operator)) as opened:
        yield opened


def phases(workspace):
    return [state.phase for state in deliveries(workspace)]


def test_nothing_to_do_takes_no_lease(workspace):
    before = workspace.state.current_epoch()
    upkeep = Ticking(workspace)
    assert upkeep.round() == ROUND_SECONDS
    assert upkeep.told() == {"open_deliveries": 0, "held_up_by": ""}
    assert workspace.state.current_epoch() == before


def test_a_delivery_goes_on_after_its_approval_but_not_while_somebody_else_holds_it(scene, workspace):
    pending = scene.deliver("first release")
    assert pending.code == 3
    upkeep = Ticking(workspace)
    epoch = workspace.state.current_epoch()
    with workspace.directory.lock(DELIVER_LOCK):
        upkeep.round()
        assert upkeep.told() == {"open_deliveries": 1, "held_up_by": "workspace_busy"}
        assert workspace.state.current_epoch() == epoch
    assert scene.approve(pending.approval).code == 0
    upkeep = Ticking(workspace)
    deadline = time.monotonic() + 60
    while phases(workspace) != [Phase.SUCCESSFUL]:
        assert time.monotonic() < deadline, (phases(workspace), upkeep.told())
        time.sleep(upkeep.round())
        with workspace.directory.lock(DELIVER_LOCK):
            pass  # between two rounds the lock is free
    assert workspace.state.current_epoch() == epoch + 1
    assert workspace.leased == epoch + 1


def test_an_error_is_told_and_backed_off_from(workspace, monkeypatch):
    def failing():
        raise LedgerError("no", code="database_failed", next_step="look")

    upkeep = Ticking(workspace)
    monkeypatch.setattr(workspace, "publish", failing)
    assert upkeep.round() == ROUND_SECONDS
    assert upkeep.told()["held_up_by"] == "database_failed"
    assert upkeep._due["deliver"] >= workspace.clock.now_ms() + BACK_OFF_MS - 1_000


def test_its_thread_ends_with_its_block(workspace):
    with ticking(workspace) as upkeep:
        assert upkeep.told()["held_up_by"] == ""
