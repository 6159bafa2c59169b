"""Calls the door on a disk that fills up at each of its writes; run in a mount namespace of its own.

python full_disk_door.py DIRECTORY: prints one JSON object with what each call did, and what was kept of it.
"""

import functools
import json
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[1] / "flow"))

import door_world
from door_world import ALICE, ORIGIN, ApprovalEngine, World
from full_disk import fill

from bywire.adapters.disk_reserve import DiskReserve
from bywire.adapters.sqlite_writer import Writer
from bywire.approvals.revocation import sign_revocation, verify_revocation
from bywire.ledger import log
from bywire.model.decision import Effect
from bywire.model.errors import BywireError

DISK_BYTES = 24 * 2**20
RESERVE_BYTES = 4 * 2**20


class Rules(ApprovalEngine):
    """Taking back needs nobody."""

    def answer(self, question):
        return Effect.ALLOW if question["action"]["tool"] == "rollback_release" else super().answer(question)


class Story:
    """One world on a small disk; `full` fills what is left of it, `space` gives that back."""

    def __init__(self, disk):
        self.ballast = disk / "ballast"
        self.told = {}
        reserve = DiskReserve(disk / "world" / "bywire.db.reserve", RESERVE_BYTES)
        door_world.Writer = functools.partial(Writer, reserve=reserve)
        (disk / "world").mkdir()
        self.world = World(disk / "world", engine=Rules())
        self.token = self.world.token()

    def full(self):
        fill(self.ballast)

    def space(self):
        self.ballast.unlink()

    def tell(self, name, work):
        """Do something and keep how it ended, beside what there is afterwards."""
        try:
            ended = work()
        except BywireError as error:
            ended = error.code
        self.told[name] = {
            "ended": str(getattr(ended, "status", ended)),
            "effects": len(self.world.target.effects),
            "intents": sorted(self.world.intents().values()),
            "approvals": [list(row) for row in self.world.rows("SELECT verdict, revoked FROM approvals ORDER BY id")],
            "checkpoints": len(self.world.rows("SELECT 1 FROM checkpoints")),
        }
        return ended

    def run(self):
        """Every write of the door and of the people around it, first on a full disk, then with space."""
        world, call = self.world, functools.partial(self.world.call, token=self.token)
        for name in ("pending", "pending with space"):
            self.full() if name == "pending" else None
            pending = self.tell(name, call)
            self.space() if name == "pending" else None
        approve = functools.partial(world.approve, pending.approval_id)
        self.full()
        self.tell("verdict", approve)
        self.space()
        self.tell("verdict with space", lambda: bool(approve()))
        self.full()
        self.tell("intent", call)
        self.space()

        world.steps.hooks["door.intent_committed"] = self.full
        self.tell("outcome", call)
        self.tell("read", lambda: call("get_deployment_status", key=""))
        self.tell("retreat", lambda: self.retreat("back-1"))
        self.space()

        second = call(key="k2", weight=6)
        world.approve(second.approval_id)
        self.full()
        self.tell("revocation", lambda: bool(self.revoke(second.approval_id)))
        self.space()

        publish = lambda: bool(world.writer.run(lambda tx: log.publish(tx, ORIGIN, world.log_key)))
        self.full()
        self.tell("checkpoint", publish)
        self.space()
        self.tell("checkpoint with space", publish)

        world.steps.hooks["door.intent_committed"] = self.full_without_reserve
        self.tell("outcome without reserve", lambda: self.retreat("back-2"))
        self.space()
        self.tell("recovered", lambda: [str(outcome.status) for _, outcome in world.recover()])
        self.told["verified"] = world.verify().ok
        world.close()
        return self.told

    def retreat(self, key):
        """The call that only reduces exposure."""
        return self.world.call("rollback_release", key=key, token=self.token)

    def full_without_reserve(self):
        self.world.writer.release_reserve()
        self.full()

    def revoke(self, approval_id):
        packet = self.world.approvals.row(approval_id).packet
        signed = sign_revocation(packet, ALICE, "not any more", self.world.clock.now, door_world.HOLDERS[ALICE][1])
        found = verify_revocation(signed, packet, self.world.trust)
        return self.world.approvals.revoke(found, signed, self.world.clock.now)


def main():
    """Tell the story on a disk of its own."""
    disk = Path(sys.argv[1])
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "none", str(disk)], check=True)
    sys.stdout.write(json.dumps(Story(disk).run()))


if __name__ == "__main__":
    main()
