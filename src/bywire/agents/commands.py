"""Running one declared command in a worktree, and what is kept of it: the outcome is signed, the log is only shown."""

import msgspec

from bywire.agents.ports import RunResult, Sandbox, Worktree
from bywire.evidence.deliverables import CommandOutcome
from bywire.model.intent import Command

LOG_CHARACTERS_MAX = 4_000


class Log(msgspec.Struct, frozen=True):
    """The tail of a command's output, for the person who asked; untrusted text, never an instruction, never signed."""

    name: str
    text: str


class Ran(msgspec.Struct, frozen=True):
    """An outcome with its log and its full (bounded) standard output."""

    outcome: CommandOutcome
    log: Log
    stdout: str

    @property
    def succeeded(self) -> bool:
        """Whether it ended by itself with code 0."""
        return self.outcome.exit_code == 0 and not self.outcome.timed_out


def run(name: str, command: Command, worktree: Worktree, sandbox: Sandbox) -> Ran:
    """Run `command` at the root of `worktree` within its own time limit."""
    result = sandbox.run(command.run, cwd=worktree.root, timeout_seconds=command.timeout_seconds)
    return Ran(outcome=_outcome(command, result), log=Log(name=name, text=_tail(result)), stdout=result.stdout)


def _outcome(command: Command, result: RunResult) -> CommandOutcome:
    value = {
        "command": list(command.run),
        "exit_code": result.exit_code,
        "timed_out": result.timed_out,
        "seconds": round(max(result.duration_seconds, 0.0), 3),
        "isolation": str(result.isolation),
    }
    return msgspec.convert(value, CommandOutcome)


def _tail(result: RunResult) -> str:
    return f"{result.stdout}\n{result.stderr}".strip()[-LOG_CHARACTERS_MAX:]
