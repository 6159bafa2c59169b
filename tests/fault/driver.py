"""Delivers, rolls back or changes keys in processes that die by SIGKILL at chosen steps, each followed by a fresh one.

python driver.py JOB.json: `tour` says what is done: "deliver", "roll_back" or "keys". `kill` is "" (nobody dies),
"STEP@REQUEST#N" (the first process dies when it reaches that step for the N-th time while it carries that request) or
"each" (a process dies at every step@request that `only` matches and that none died at yet). Every step reached is
appended to `steps`, every death to `deaths`, so that both survive the killed process. The result is one JSON object on
standard output. Each process is a fork of this one, which never opens the workspace: it starts from nothing but the
files, without paying for the imports again.
"""

import base64
import contextlib
import json
import os
import re
import signal
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from bywire.adapters.clock import pause
from bywire.adapters.operator_dir import OperatorDirectory
from bywire.delivery.state import Ask, DeliveryState, Phase
from bywire.model.errors import ConfigError, TargetError
from bywire.model.principal import KeyRole
from bywire.seal.keys import SigningKey, verify_key
from bywire.seal.ssh_wire import ED25519, string
from bywire.wiring.delivering import Delivering, run_to_rest
from bywire.wiring.key_changes import replace_key, replace_workspace_key, revoke_key, trust_ssh_key
from bywire.wiring.retreat import roll_back
from bywire.wiring.workspace import LOG_PRINCIPAL, Workspace, open_workspace

PROCESSES_MAX = 150
SSH_KEY = SigningKey.from_seed(b"s" * 32).public.raw_public
SSH_LINE = f"ssh-ed25519 {base64.b64encode(string(ED25519) + string(SSH_KEY)).decode()} drill\n"


class DeadlySteps:
    """`runtime.ports.Steps`: notes each step on disk, and dies there when it is told to."""

    def __init__(self, job: dict[str, Any]) -> None:
        self._kill = job["kill"]
        self._only = re.compile(job["only"])
        self._steps = Path(job["steps"])
        self._deaths = Path(job["deaths"])
        self._dead = set(self._deaths.read_text().splitlines()) if self._deaths.exists() else set()
        self._seen: Counter[str] = Counter()
        self.carrying = "start"

    def reached(self, step: str) -> None:
        """Note the step; die here if this is the one."""
        label = f"{step}@{self.carrying}"
        self._seen[label] += 1
        once = f"{label}#{self._seen[label]}"
        _append(self._steps, once)
        if self._kill == "each" and label not in self._dead and self._only.search(label):
            self._die(label)
        elif self._kill == once and once not in self._dead:
            self._die(once)

    def _die(self, name: str) -> None:
        _append(self._deaths, name)
        os.kill(os.getpid(), signal.SIGKILL)


class Watched(Delivering):
    """A delivery that tells the steps which request is being carried, also when a later process recovers it."""

    def __init__(self, workspace: Workspace, steps: DeadlySteps) -> None:
        super().__init__(workspace)
        self._steps = steps
        carry_out = self._joined.door.carry_out

        def named(row: Any, *more: Any) -> Any:
            steps.carrying = row.tool
            return carry_out(row, *more)

        self._joined.door.carry_out = named

    def send(self, object_id: str, request: Any) -> Any:
        """As the parent does."""
        self._steps.carrying = request.tool if isinstance(request, Ask) else request.kind
        return super().send(object_id, request)


def main() -> int:
    """Fork processes until one ends by itself."""
    job = json.loads(Path(sys.argv[1]).read_text())
    for _ in range(PROCESSES_MAX):
        child = os.fork()
        if child == 0:
            os._exit(_carry(job))
        _, status = os.waitpid(child, 0)
        if not (os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL):
            return os.waitstatus_to_exitcode(status)
    return 70


def _carry(job: dict[str, Any]) -> int:
    steps = DeadlySteps(job)
    operator = Path(job["operator"])
    with OperatorDirectory(operator).lock("deliver") if job["tour"] != "keys" else contextlib.nullcontext():
        opened = open_workspace(Path(job["repo"]), operator, take_over=job["tour"] != "keys", steps=steps)
        try:
            result = TOURS[job["tour"]](opened, job, steps)
        finally:
            opened.close()
    sys.stdout.write(json.dumps(result))
    sys.stdout.flush()
    return 0


def _deliver(opened: Workspace, job: dict[str, Any], steps: DeadlySteps) -> dict[str, Any]:
    delivering = Watched(opened, steps)
    state = delivering.begin(job["goal"], job["branch"], dry_run=False, plan=None)

    def seen(state: DeliveryState) -> None:
        steps.carrying = "approval" if state.phase is Phase.APPROVING else "next"

    state = run_to_rest(delivering, state, pause=pause, seen=seen, wait_seconds=0, now_ms=opened.clock.now_ms)
    plain: dict[str, Any] = msgspec.to_builtins(state)
    return {name: plain[name] for name in ("id", "phase", "approval_id", "artifact", "reasons")}


def _roll_back(opened: Workspace, job: dict[str, Any], steps: DeadlySteps) -> dict[str, Any]:
    steps.carrying = "rollback"
    try:
        _, outcome = roll_back(opened, "")
    except TargetError as error:
        # The process that finished the retreat died before it could say so.
        return {"phase": error.code, "approval_id": ""}
    return {"phase": str(outcome.status), "approval_id": outcome.approval_id}


def _change_keys(opened: Workspace, job: dict[str, Any], steps: DeadlySteps) -> dict[str, Any]:
    """Every kind of change once. A process that died after the change was whole finds it done, or does it again."""
    done = Path(f"{job['steps']}.done")
    changes: dict[str, Callable[[], object]] = {
        "rotate-agent": lambda: replace_key(opened, KeyRole.AGENT, "agent:planner"),
        "rotate-log": lambda: replace_key(opened, KeyRole.LOG, LOG_PRINCIPAL),
        "rotate-workspace": lambda: replace_workspace_key(opened, "drill"),
        "trust-ssh": lambda: trust_ssh_key(opened, opened.operator.people[0].id, SSH_LINE),
        "revoke": lambda: revoke_key(opened, verify_key(SSH_KEY.hex()).key_id, "drill"),
    }
    for name, change in changes.items():
        if name in (done.read_text().splitlines() if done.exists() else ()):
            continue
        steps.carrying = name
        try:
            change()
        except ConfigError as error:
            if error.code not in {"key_exists", "key_retired"}:
                raise
        _append(done, name)
    valid = sorted(str(key.principal) for key in opened.trust.keys if key.valid_at(None))
    return {"phase": "changed", "approval_id": "", "valid": valid}


TOURS: dict[str, Callable[[Workspace, dict[str, Any], DeadlySteps], dict[str, Any]]] = {
    "deliver": _deliver,
    "roll_back": _roll_back,
    "keys": _change_keys,
}


def _append(place: Path, line: str) -> None:
    descriptor = os.open(place, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(descriptor, f"{line}\n".encode())
    os.close(descriptor)


if __name__ == "__main__":
    sys.exit(main())
