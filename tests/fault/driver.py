"""Carries a delivery or a rollback out in processes that die by SIGKILL at chosen steps, each followed by a fresh one.

python driver.py JOB.json: `kill` is "" (nobody dies), "STEP@REQUEST#N" (the first process dies when it reaches that step
for the N-th time while it carries that request) or "each" (a process dies at every step@request that none died at yet).
Every step reached is appended to `steps`, every death to `deaths`, so that both survive the killed process. The result
is one JSON object on standard output. Each process is a fork of this one, which never opens the workspace: it starts
from nothing but the files, without paying for the imports again.
"""

import json
import os
import signal
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import msgspec

from bywire.adapters.clock import pause
from bywire.adapters.operator_dir import OperatorDirectory
from bywire.delivery.state import Ask, DeliveryState, Phase
from bywire.wiring import retreat
from bywire.wiring.delivering import Delivering, run_to_rest
from bywire.wiring.workspace import open_workspace

DEATHS_MAX = 100


class DeadlySteps:
    """`runtime.ports.Steps`: notes each step on disk, and dies there when it is told to."""

    def __init__(self, kill: str, steps: Path, deaths: Path) -> None:
        self._kill = kill
        self._steps = steps
        self._deaths = deaths
        self._dead = set(deaths.read_text().splitlines()) if deaths.exists() else set()
        self._seen: Counter[str] = Counter()
        self.carrying = "start"

    def reached(self, step: str) -> None:
        """Note the step; die here if this is the one."""
        label = f"{step}@{self.carrying}"
        self._seen[label] += 1
        _append(self._steps, label)
        once = f"{label}#{self._seen[label]}"
        if self._kill == "each" and label not in self._dead:
            _append(self._deaths, label)
            os.kill(os.getpid(), signal.SIGKILL)
        elif self._kill == once and not self._dead:
            _append(self._deaths, once)
            os.kill(os.getpid(), signal.SIGKILL)


class Watched(Delivering):
    """Tells the steps which request is being carried."""

    def send(self, object_id: str, request: Any) -> Any:
        """As the parent does."""
        steps = self._workspace.steps
        steps.carrying = request.tool if isinstance(request, Ask) else request.kind
        return super().send(object_id, request)


def main() -> int:
    """Fork processes until one ends by itself."""
    job = json.loads(Path(sys.argv[1]).read_text())
    for _ in range(DEATHS_MAX):
        child = os.fork()
        if child == 0:
            os._exit(_child(job))
        _, status = os.waitpid(child, 0)
        if not (os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL):
            return os.waitstatus_to_exitcode(status)
    return 70


def _child(job: dict[str, Any]) -> int:
    steps = DeadlySteps(job["kill"], Path(job["steps"]), Path(job["deaths"]))
    operator = Path(job["operator"])
    with OperatorDirectory(operator).lock("deliver"):
        opened = open_workspace(Path(job["repo"]), operator, take_over=True, steps=steps)
        try:
            result = _deliver(opened, job) if job["goal"] else _roll_back(opened, steps)
        finally:
            opened.close()
    sys.stdout.write(json.dumps(result))
    sys.stdout.flush()
    return 0


def _deliver(opened: Any, job: dict[str, Any]) -> dict[str, Any]:
    delivering = Watched(opened)
    _name_recovery(delivering._joined.door, opened.steps)
    state = delivering.begin(job["goal"], job["branch"], dry_run=False, plan=None)

    def seen(state: DeliveryState) -> None:
        opened.steps.carrying = "wait" if state.phase is Phase.APPROVING else "next"

    state = run_to_rest(
        delivering, state, pause=pause, seen=seen, wait_seconds=0, now_ms=opened.clock.now_ms
    )
    plain: dict[str, Any] = msgspec.to_builtins(state)
    return {name: plain[name] for name in ("id", "phase", "approval_id", "artifact", "reasons", "last_good")}


def _name_recovery(door: Any, steps: DeadlySteps) -> None:
    """Steps of an effect name its tool, also when a later process carries it out."""
    carry_out = door.carry_out

    def named(row: Any, *more: Any) -> Any:
        steps.carrying = row.tool
        return carry_out(row, *more)

    door.carry_out = named


def _roll_back(opened: Any, steps: DeadlySteps) -> dict[str, Any]:
    steps.carrying = "rollback"
    _, outcome = retreat.roll_back(opened, "")
    return {"phase": str(outcome.status), "approval_id": outcome.approval_id}


def _append(place: Path, line: str) -> None:
    descriptor = os.open(place, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(descriptor, f"{line}\n".encode())
    os.close(descriptor)


if __name__ == "__main__":
    sys.exit(main())
