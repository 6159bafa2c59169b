"""A process at the door of a connected tool: `connected_victim.py permit DIRECTORY STEP` permits and dies at the step,
`race DIRECTORY NUMBER` waits for a line and then spends what is left of a budget as often as it may, `lately DIRECTORY
NUMBER` what is left of a minute.
"""

import subprocess
import sys
from pathlib import Path

from connected_world import ConnectedWorld, scale
from door_victim import Killed
from door_world import CONTROLLER

from bywire.model.decision import OutcomeStatus

BUDGET = [(CONTROLLER, "replica_hours", 5 * 48_000)]
LATELY = {"kind": "debit", "unit": "actions", "period": "minute", "because": "agents.x.budget"}
CALLS = 20


def raced(what, directory):
    """What two processes at once say of their calls: how many were done and sent, and the codes of the rest."""
    racers = [
        subprocess.Popen(
            [sys.executable, __file__, what, str(directory), str(number)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in range(2)
    ]
    assert [racer.stdout.readline() for racer in racers] == ["ready\n"] * 2
    for racer in racers:
        racer.stdin.write("go\n")
        racer.stdin.flush()
    return [racer.communicate(timeout=60)[0].split() for racer in racers]


def main():
    what, directory, more = sys.argv[1], Path(sys.argv[2]), sys.argv[3]
    # Beside the other process: neither fences the other off.
    world = ConnectedWorld(directory, budgets=[] if what == "lately" else BUDGET, take_over=False)
    world.engine.obligations = ({**LATELY, "limit": 5_000},) if what == "lately" else ()
    if what == "permit":
        world.steps = Killed(more)
        world.door = world.make_door()
        world.door.permit(world.token(), scale())
        return
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.readline()
    outcomes = [world.door.call(world.token(run=f"run-{more}"), scale(f"{more}-{number}")) for number in range(CALLS)]
    done = sum(outcome.status is OutcomeStatus.COMMITTED for outcome in outcomes)
    rest = {(outcome.error or {}).get("code") for outcome in outcomes if outcome.status is not OutcomeStatus.COMMITTED}
    sys.stdout.write(f"{done} {len(world.upstream.effects)} {','.join(sorted(map(str, rest)))}\n")
    world.close()


if __name__ == "__main__":
    main()
