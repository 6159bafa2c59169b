"""The launcher: isolates itself, then becomes the parent of the command, and leaves no process behind.

Three processes. The *outer* one stays in the host's process namespace, cannot be seen or signalled from inside, and
waits. The *init* is process 1 of the new namespace: it builds the file system view, gives up every privilege, starts
the command and reaps; when it ends, the kernel kills whatever the command forked, however far it daemonised. Without
namespaces the outer process is a subreaper and hunts descendants through /proc (Linux), or kills the process group
(elsewhere).

Signals to the outer process: SIGTERM is forwarded to the command, SIGUSR1 kills everything at once. If the outer
process or its parent dies, the kernel kills the rest (Linux; polled elsewhere). Standard library only; started by
`sandbox.py` with `-I -S`.
"""

import contextlib
import json
import os
import resource
import signal
import sys
import time
from types import FrameType

from bywire.adapters import sandbox_linux as linux
from bywire.adapters import sandbox_mounts, sandbox_network, sandbox_privileges, sandbox_reaper
from bywire.adapters.sandbox_spec import SPEC_BYTES_MAX, LaunchSpec, spec_from_bytes

EXIT_NOT_ISOLATED = 125
EXIT_NOT_FOUND = 127
_IS_LINUX = sys.platform == "linux"
_POLL_SECONDS = 0.02


def main() -> None:
    """Read the spec from standard input, launch, and exit with the command's code (128 + n when signal n ended it)."""
    spec = spec_from_bytes(sys.stdin.buffer.read(SPEC_BYTES_MAX + 1))
    os.umask(0o022)
    # Opened here, before the child's mounts cover /dev in the namespace that both share.
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    try:
        child, parent_gate = _fork_child(spec)
    except OSError as error:
        _report(spec, {"event": "error", "code": "sandbox_failed", "message": str(error)})
        os._exit(EXIT_NOT_ISOLATED)
    for stream in (1, 2):  # so that end-of-file on the pipes means that the command and its children are gone
        os.dup2(null, stream)
    _forward_signals(child)
    os.write(parent_gate, b"g")
    os._exit(_await_child(child, spec))


def _fork_child(spec: LaunchSpec) -> tuple[int, int]:
    """Fork the init (or, without namespaces, the command). Returns its pid and the gate that it waits at."""
    own_uid_namespace = sandbox_privileges.enter_namespaces(spec) if spec.namespaces else -1
    if _IS_LINUX:
        linux.prctl(linux.PR_SET_PDEATHSIG, signal.SIGKILL)
        linux.prctl(linux.PR_SET_CHILD_SUBREAPER, 1)
        linux.prctl(linux.PR_SET_DUMPABLE, 0)
    if os.getppid() != spec.parent:
        os._exit(EXIT_NOT_ISOLATED)
    gate_read, gate_write = os.pipe()
    child = os.fork()
    if child:
        os.close(gate_read)
        if own_uid_namespace >= 0:
            os.close(own_uid_namespace)
        return child, gate_write
    os.close(gate_write)
    try:
        _run_child(spec, own_uid_namespace, gate_read)
    except BaseException as error:  # noqa: BLE001  a forked child must never return into its parent's code
        _report(spec, {"event": "error", "code": "sandbox_failed", "message": f"{type(error).__name__}: {error}"})
    os._exit(EXIT_NOT_ISOLATED)


def _run_child(spec: LaunchSpec, own_uid_namespace: int, gate: int) -> None:
    if not spec.namespaces:
        if _IS_LINUX:
            linux.prctl(linux.PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.read(gate, 1):
            _report(spec, {"event": "started", "own_uid": False})
            _become_command(spec)
        return
    if not spec.network:
        sandbox_network.bring_up_loopback()
    uid = sandbox_mounts.build_view(spec, own_uid_namespace)
    if own_uid_namespace >= 0:
        os.close(own_uid_namespace)
    own_uid = uid != os.getuid()
    sandbox_privileges.give_scratch(spec, uid)
    sandbox_privileges.drop_privileges(uid)
    linux.prctl(linux.PR_SET_DUMPABLE, 0)
    linux.prctl(linux.PR_SET_PDEATHSIG, signal.SIGKILL)  # after the uid changed, which clears it
    if not os.read(gate, 1):
        return  # the outer process died before the line above could notice
    _report(spec, {"event": "started", "own_uid": own_uid})
    command = os.fork()
    if command == 0:
        _become_command(spec)
    _forward_signals(command)
    os._exit(_reap_until(command, spec))


def _become_command(spec: LaunchSpec) -> None:
    """Replace this process by the command. Never returns."""
    try:
        os.setsid()
        sandbox_privileges.limit_resources(spec)
        for number in (signal.SIGPIPE, signal.SIGTERM, signal.SIGUSR1, signal.SIGINT):
            signal.signal(number, signal.SIG_DFL)
        os.chdir(spec.cwd)
        if spec.status_fd >= 0:
            os.set_inheritable(spec.status_fd, False)
        os.execvpe(spec.argv[0], spec.argv, spec.env)  # noqa: S606  an argument list, no shell
    except (OSError, ValueError) as error:
        code = "command_not_found" if isinstance(error, FileNotFoundError) else "command_not_started"
        why = getattr(error, "strerror", None) or error
        _report(spec, {"event": "error", "code": code, "message": f"{spec.argv[0]}: {why}"})
    finally:
        os._exit(EXIT_NOT_FOUND)


def _reap_until(command: int, spec: LaunchSpec) -> int:
    """As process 1: reap whatever dies; answer when the command does."""
    while True:
        pid, status, usage = os.wait4(-1, 0)
        if pid == command:
            code = _exit_code(status)
            _report(spec, _usage_event(code, usage))
            return code


def _await_child(child: int, spec: LaunchSpec) -> int:
    if _IS_LINUX and spec.namespaces:
        _, status = os.waitpid(child, 0)  # the kernel answers only when the whole process namespace is gone
        return _exit_code(status)
    while True:
        pid, status, usage = os.wait4(child, os.WNOHANG)
        if pid:
            code = _exit_code(status)
            break
        if os.getppid() != spec.parent:
            sandbox_reaper.kill_descendants(child)
            os._exit(EXIT_NOT_ISOLATED)
        time.sleep(_POLL_SECONDS)
    sandbox_reaper.kill_descendants(child)
    _report(spec, _usage_event(code, usage))
    return code


def _forward_signals(child: int) -> None:
    def forward(_number: int, _frame: FrameType | None) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, signal.SIGTERM)

    def kill_all(_number: int, _frame: FrameType | None) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)

    signal.signal(signal.SIGTERM, forward)
    signal.signal(signal.SIGUSR1, kill_all)


def _exit_code(status: int) -> int:
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


def _usage_event(code: int, usage: resource.struct_rusage) -> dict[str, object]:
    unit = 1024 if _IS_LINUX else 1
    cpu = round(usage.ru_utime + usage.ru_stime, 6)
    return {"event": "ended", "exit_code": code, "peak_memory_bytes": usage.ru_maxrss * unit, "cpu_seconds": cpu}


def _report(spec: LaunchSpec, event: dict[str, object]) -> None:
    """Tell the parent; where it gave no status pipe, errors go to standard error."""
    if spec.status_fd < 0 and event["event"] != "error":
        return
    with contextlib.suppress(BrokenPipeError):  # the parent stopped listening: it is ending this launch
        os.write(spec.status_fd if spec.status_fd >= 0 else 2, json.dumps(event).encode() + b"\n")
