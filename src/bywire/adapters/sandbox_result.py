"""The words in which the sandbox answers: level of isolation, limits, result, and a prepared service launch."""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path


class IsolationLevel(StrEnum):
    """How far a command is kept apart, strongest first."""

    OWN_UID = "own_uid"
    NAMESPACES = "namespaces"
    NONE = "none"


@dataclass(frozen=True)
class IsolationReport:
    """What this host can do, and one sentence for a person."""

    level: IsolationLevel
    sentence: str


@dataclass(frozen=True)
class SandboxLimits:
    """Ceilings of one command.

    `stdout_limit_bytes` holds for each of the two streams; `memory_limit_bytes` is address space per process;
    `process_limit` counts threads too. `timeout_seconds_max` caps what a command asks for itself.
    """

    stdout_limit_bytes: int = 262_144
    memory_limit_bytes: int = 2_147_483_648
    process_limit: int = 256
    file_limit_bytes: int = 268_435_456
    timeout_seconds_max: float = 3_600


@dataclass(frozen=True)
class SandboxResult:
    """How a command ended.

    `exit_code` is 128 + n for signal n, and -1 when it ran out of time. Streams keep their head and tail.
    `peak_memory_bytes` (largest process) and `cpu_seconds` (all processes) are 0 when the command was killed.
    """

    exit_code: int
    stdout: str
    stderr: str
    timed_out: bool
    duration_seconds: float
    peak_memory_bytes: int
    cpu_seconds: float
    isolation: IsolationLevel


@dataclass(frozen=True)
class SandboxCommand:
    """A launch for a caller with its own event loop: start `argv` with `env`, write `stdin` to it, close that.

    SIGTERM to the process is forwarded to the command, SIGUSR1 ends everything at once. Remove `scratch` when it has
    ended. The process that starts it must stay alive: the command dies with it.
    """

    argv: tuple[str, ...]
    env: dict[str, str]
    stdin: bytes
    scratch: Path
