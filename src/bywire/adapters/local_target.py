"""The embedded deployment target: a long-lived process that supervises service instances and routes traffic to them.

It outlives the control plane: when that dies, stable keeps serving and the canary's lease decays to 0. One process per
directory, kept by a file lock; its state is in target.json, its control socket in target.sock, its diagnostics in
target.log.

python -I -m bywire.adapters.local_target --state DIR [--router-port 0] [--search-path DIRS] [--hide PATH]...
[--detach]
"""

import argparse
import asyncio
import contextlib
import fcntl
import os
import signal
import sys
from pathlib import Path

from bywire.adapters.local_target_control import Control
from bywire.adapters.local_target_server import ControlServer
from bywire.adapters.local_target_state import StateFile
from bywire.adapters.sandbox import Sandbox
from bywire.adapters.sandbox_launch import remove_scratch
from bywire.model.errors import BywireError

_EXIT_TAKEN = 3
_EXIT_FAILED = 2


def main() -> int:
    """Run the target until `shutdown` or a signal. Exit codes: 0 ended, 2 cannot start, 3 already running."""
    parser = argparse.ArgumentParser(prog="bywire.adapters.local_target", description="Embedded deployment target.")
    parser.add_argument("--state", type=Path, required=True)
    parser.add_argument("--router-port", type=int, default=0)
    parser.add_argument("--search-path", default=os.defpath)
    parser.add_argument("--hide", type=Path, action="append", default=[])
    parser.add_argument("--detach", action="store_true", help="run in the background, away from the caller's session")
    options = parser.parse_args()
    directory = options.state.resolve()
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    directory.chmod(0o700)
    os.chdir(directory)  # the control socket is bound relative to it
    if options.detach and os.fork():
        return 0
    with contextlib.suppress(OSError):  # already a session leader
        os.setsid()
    with (directory / "target.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return _EXIT_TAKEN
        (directory / "target.pid").write_text(f"{os.getpid()}\n")
        sandbox = Sandbox(search_path=options.search_path.split(os.pathsep), hide=[directory, *options.hide])
        try:
            asyncio.run(_run(directory, options.router_port, sandbox))
        except (BywireError, OSError) as error:
            print(f"bywire target: {error}", file=sys.stderr)  # noqa: T201  target.log is this process's only voice
            return _EXIT_FAILED
        finally:
            (directory / "target.pid").unlink(missing_ok=True)
    return 0


async def _run(directory: Path, router_port: int, sandbox: Sandbox) -> None:
    sandbox.isolation()
    scratch_root = directory / "scratch"
    if scratch_root.exists():  # left by a target that was killed; its instances died with it
        remove_scratch(scratch_root)
    scratch_root.mkdir(mode=0o700, exist_ok=True)
    control = Control(StateFile(directory), sandbox, scratch_root)
    try:
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, control.stopped.set)
        await control.recover(router_port)
        server = await ControlServer(control, directory).start()
        await control.stopped.wait()
        server.close()
    finally:
        await control.close()


if __name__ == "__main__":
    sys.exit(main())
