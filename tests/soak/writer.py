"""One of several processes that call the door on one database until they are told to stop, or die.

python writer.py DIRECTORY NAME: appends to DIRECTORY what it was told (`told-NAME`) and what it sent (`sent`). It ends
when DIRECTORY/stop exists. Some of its keys are its own, some it fights for with the others.
"""

import itertools
import os
import sys
from pathlib import Path
from random import Random

sys.path.insert(0, str(Path(__file__).parents[1] / "flow"))

import msgspec
from door_world import OPERATOR, ORIGIN, World

from bywire.adapters.clock import HighWaterClock
from bywire.adapters.sqlite_journal import SqliteJournal
from bywire.ledger import log
from bywire.model.errors import ConflictError

PUBLISH_EVERY = 50
READ_EVERY = 7
SHARED_KEYS = 40
LIMITS = msgspec.structs.replace(OPERATOR.limits, actions_per_hour=1_000_000_000)


class Sending:
    """A target whose every effect is one line in a file that all share."""

    def __init__(self, place):
        self._file = os.open(place, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def observe(self):
        return {"version": 7, "stable": "b" * 64, "canary": "", "weight": 0}

    def execute(self, row, values):
        os.write(self._file, f"{row.key}\n".encode())
        return {"version": 8}

    def read(self, tool, values):
        return {"status": "serving"}

    def query(self, row):
        return None


def opened(directory, *, take_over=False):
    """The door on the shared database, with a real clock."""
    operator = msgspec.structs.replace(OPERATOR, limits=LIMITS)
    world = World(directory, take_over=take_over, operator=operator)
    world.clock = HighWaterClock(world.state.high_water_ms())
    epoch = world.state.current_epoch()
    world.journal = SqliteJournal(world.writer, world.reader, world.log_key, epoch, world.clock.now_ms)
    world.target = Sending(directory / "sent")
    world.door = world.make_door()
    return world


def main():
    """Call until the stop."""
    directory, name = Path(sys.argv[1]), sys.argv[2]
    world, rng, life = opened(directory), Random(name), os.getpid()
    told = os.open(directory / f"told-{name}", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    token = world.token(run=f"run-{name}-{life}")
    for number in itertools.count():
        if (directory / "stop").exists():
            break
        shared = rng.random() < 0.2
        key = f"shared-{number // SHARED_KEYS}" if shared else f"{name}-{life}-{number}"
        tool = ("send_note", "page_person")[number % 2]
        try:
            status = str(world.call(tool, key, token=token).status)
        except ConflictError as conflict:
            status = conflict.code
        os.write(told, f"{tool}|{key} {status}\n".encode())
        if number % READ_EVERY == 0:
            world.call("get_deployment_status", key="", token=token)
        if number % PUBLISH_EVERY == 0:
            world.writer.run(lambda tx: log.publish(tx, ORIGIN, world.log_key))
    world.close()


if __name__ == "__main__":
    main()
