"""Starting the launcher and listening to it: standard streams, the status pipe and the deadline, for one command."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bywire.adapters.removal import remove_tree
from bywire.adapters.sandbox_output import BoundedOutput, pump
from bywire.adapters.sandbox_result import IsolationLevel, SandboxResult
from bywire.adapters.sandbox_spec import LaunchSpec
from bywire.model.errors import WorkError

_SOURCE_ROOT = str(Path(__file__).resolve().parents[2])
_LAUNCH = "import sys; sys.path.append(sys.argv[1]); from bywire.adapters.sandbox_child import main; main()"
_KILL_GRACE_SECONDS = 3.0
_STATUS_LIMIT_BYTES = 16_384


def launcher_argv() -> tuple[str, ...]:
    """The launcher, without environment or site packages: nothing installed runs with its privileges."""
    return (sys.executable, "-I", "-S", "-c", _LAUNCH, _SOURCE_ROOT)


def launcher_env() -> dict[str, str]:
    """The launcher's own environment; the command's is in the spec."""
    return {"LANG": "C.UTF-8"}


def new_scratch(root: Path | None = None) -> Path:
    """A fresh directory with `home` and `tmp`, readable by its owner only, below `root` or the temporary directory."""
    scratch = Path(os.path.realpath(tempfile.mkdtemp(prefix="bywire-sandbox-", dir=root)))
    for name in ("home", "tmp"):
        (scratch / name).mkdir(mode=0o700)
    return scratch


@contextlib.contextmanager
def scratch_directory() -> Iterator[Path]:
    """A fresh scratch directory that is removed afterwards."""
    scratch = new_scratch()
    try:
        yield scratch
    finally:
        remove_scratch(scratch)


def remove_scratch(scratch: Path) -> None:
    """Remove a scratch directory, whatever the command left behind. Never follows a symlink."""
    remove_tree(scratch)


@contextlib.contextmanager
def status_pipe() -> Iterator[tuple[int, int]]:
    """The launcher reports on it; the command itself never holds it."""
    read, write = os.pipe()
    try:
        yield read, write
    finally:
        for descriptor in (read, write):
            with contextlib.suppress(OSError):
                os.close(descriptor)


def run_to_end(
    spec: LaunchSpec, status_read: int, *, level: IsolationLevel, timeout_seconds: float, stdout_limit_bytes: int
) -> SandboxResult:
    """Launch `spec`, read its streams, end it at the deadline. Raises `WorkError` when the command never started."""
    started = time.monotonic()
    document = spec.to_bytes()
    stdout, stderr = BoundedOutput(stdout_limit_bytes), BoundedOutput(stdout_limit_bytes)
    status = BoundedOutput(_STATUS_LIMIT_BYTES)
    deadline_passed: list[bool] = []
    process = subprocess.Popen(
        launcher_argv(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=launcher_env(),
        pass_fds=[spec.status_fd], start_new_session=True, cwd="/",
    )  # fmt: skip
    with process:
        os.close(spec.status_fd)
        if process.stdin is None or process.stdout is None or process.stderr is None:
            raise WorkError("the launcher has no pipes", code="sandbox_failed", next_step="Run bywire doctor.")
        with contextlib.suppress(BrokenPipeError):  # a launcher that died says why on the status pipe
            process.stdin.write(document)
            process.stdin.close()

        def end_everything() -> None:
            deadline_passed.append(True)
            process.send_signal(signal.SIGUSR1)

        streams = {process.stdout.fileno(): stdout, process.stderr.fileno(): stderr, status_read: status}
        pump(streams, started + timeout_seconds, end_everything, _KILL_GRACE_SECONDS)
        exit_code = _end(process)
    timed_out = bool(deadline_passed)
    facts = _facts(status.text(), stderr.text(), timed_out=timed_out)
    own_uid = level is IsolationLevel.OWN_UID and not facts.get("own_uid", False)
    return SandboxResult(
        exit_code=-1 if timed_out else int(facts.get("exit_code", exit_code)),
        stdout=stdout.text(),
        stderr=stderr.text(),
        timed_out=timed_out,
        duration_seconds=round(time.monotonic() - started, 6),
        peak_memory_bytes=int(facts.get("peak_memory_bytes", 0)),
        cpu_seconds=float(facts.get("cpu_seconds", 0.0)),
        isolation=IsolationLevel.NAMESPACES if own_uid else level,
    )


def _end(process: subprocess.Popen[bytes]) -> int:
    """Wait for the launcher; past the grace time kill it, and with it (Linux) what it started."""
    try:
        return process.wait(_KILL_GRACE_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()


def _facts(status: str, stderr: str, *, timed_out: bool) -> dict[str, Any]:
    """What the launcher reported, merged. Raises when it reported an error or never started the command."""
    facts: dict[str, Any] = {}
    for line in status.splitlines():
        event = json.loads(line)
        if event["event"] == "error":
            next_step = (
                "Check the command in bywire.yaml." if event["code"] != "sandbox_failed" else "Run bywire doctor."
            )
            raise WorkError(f"the command did not run: {event['message']}", code=event["code"], next_step=next_step)
        facts |= event
    if not facts and not timed_out:
        message = f"the launcher ended before the command started: {stderr[-500:]}"
        raise WorkError(message, code="sandbox_failed", next_step="Run bywire doctor.")
    return facts
