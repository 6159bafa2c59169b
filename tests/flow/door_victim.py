"""A process that calls the door and is killed. Run by test_journal.py: `door_victim.py DIRECTORY STEP [COUNT]`."""

import os
import signal
import sys
import time
from pathlib import Path

from door_world import ApprovalEngine, World


class KeyedFile:
    """A target that knows its keys: one line for each effect, durable before the answer; a known key does nothing."""

    def __init__(self, path, reached=lambda step: None):
        self.path = path
        self.reached = reached
        self.path.touch()

    def observe(self):
        done = len(self.keys())
        return {"version": done, "canary": "a" * 64 if done else "", "weight": 5 if done else 0}

    def keys(self):
        return self.path.read_text().splitlines()

    def execute(self, row, values):
        self.reached("target.asked")
        if row.key not in self.keys():
            with self.path.open("a") as file:
                file.write(f"{row.key}\n")
                file.flush()
                os.fsync(file.fileno())
        self.reached("target.changed")
        return {"position": self.keys().index(row.key), "weight": values["weight"]}

    def read(self, tool, values):
        return {}

    def query(self, row):
        return None


class Killed:
    """Stops this process dead at one step, as a power cut would."""

    def __init__(self, step):
        self.step = step

    def reached(self, step):
        if step == self.step:
            os.kill(os.getpid(), signal.SIGKILL)
            time.sleep(60)


def opened(directory, steps):
    engine = ApprovalEngine() if (directory / "ask").exists() else None
    world = World(directory, engine=engine)
    world.steps = steps
    world.target = KeyedFile(directory / "effects", steps.reached)
    world.door = world.make_door()
    return world


def main():
    directory, step, count = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    world = opened(directory, Killed(step))
    with (directory / "told").open("a") as told:
        for number in range(count):
            outcome = world.call(key=f"k{number}")
            told.write(f"k{number} {outcome.status}\n")
            told.flush()
            os.fsync(told.fileno())
    world.close()


if __name__ == "__main__":
    main()
