"""Service instances as child processes: sandboxed, in process groups of their own, ended with the target."""

import asyncio
import contextlib
import signal
import socket
from collections.abc import Callable
from pathlib import Path

from bywire.adapters import router_http as http
from bywire.adapters.local_target_state import Release
from bywire.adapters.router_backend import Backend, BackendError
from bywire.adapters.sandbox import Sandbox
from bywire.adapters.sandbox_launch import remove_scratch
from bywire.adapters.sandbox_output import BoundedOutput
from bywire.model.errors import TargetError

_OUTPUT_BYTES = 32_768
_READY_POLL_SECONDS = 0.05
_READY_TRY_SECONDS = 2.0
_STOP_GRACE_SECONDS = 3.0


class Instance:
    """One running process of a release. `on_exit` is called once, unless `stop` was asked for."""

    def __init__(self, release: Release, port: int, process: asyncio.subprocess.Process, scratch: Path) -> None:
        self.release = release
        self.port = port
        self._process = process
        self._scratch = scratch
        self._stopping = False
        self.on_exit: Callable[[], None] = lambda: None
        self._output = BoundedOutput(_OUTPUT_BYTES)
        self._watcher = asyncio.create_task(self._watch())

    @property
    def alive(self) -> bool:
        """Whether the process runs."""
        return self._process.returncode is None

    @property
    def pid(self) -> int:
        """The launcher's pid."""
        return self._process.pid

    async def wait_ready(self) -> None:
        """Poll the ready path until it answers 2xx.

        Raises `TargetError` code `not_ready`; the instance is stopped then.
        """
        start = self.release.start
        try:
            async with asyncio.timeout(start.ready_timeout_seconds):
                while self.alive:
                    if await self._answers(start.ready):
                        return
                    await asyncio.sleep(_READY_POLL_SECONDS)
            reason = f"it exited with code {self._process.returncode} before it was ready"
        except TimeoutError:
            reason = f"{start.ready} did not answer 2xx within {start.ready_timeout_seconds} s"
        await self.stop()
        output = self._output.text()[-2_000:]
        raise TargetError(
            f"the release did not start: {reason}. Its output ends with:\n{output}",
            code="not_ready",
            next_step="Run the start command by hand with the same PORT and fix what it prints.",
        )

    async def stop(self) -> None:
        """SIGTERM, a grace time, then the end of everything that it forked."""
        self._stopping = True
        for number, grace in ((signal.SIGTERM, _STOP_GRACE_SECONDS), (signal.SIGUSR1, _STOP_GRACE_SECONDS)):
            if self.alive:
                with contextlib.suppress(ProcessLookupError):
                    self._process.send_signal(number)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(asyncio.shield(self._watcher), grace)
        if self.alive:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
        await self._watcher

    async def _answers(self, path: str) -> bool:
        backend = Backend(self.port)
        message = http.encode_head(b"GET %b HTTP/1.1" % path.encode(), [(b"host", b"localhost")], 0)
        try:
            response = await backend.exchange(b"GET", message, _READY_TRY_SECONDS)
        except BackendError:
            return False
        finally:
            backend.close()
        return 200 <= response.head.status < 300

    async def _watch(self) -> None:
        if self._process.stdout is not None:
            while chunk := await self._process.stdout.read(16_384):
                self._output.add(chunk)
        await self._process.wait()
        await asyncio.to_thread(remove_scratch, self._scratch)
        if not self._stopping:
            self.on_exit()


async def start_instance(sandbox: Sandbox, release: Release, scratch_root: Path) -> Instance:
    """Start a release on a free port.

    Its working directory is the artifact, read-only; the port comes in its `port_env`.
    """
    port = _free_port()
    command = sandbox.command(
        release.start.run,
        cwd=Path(release.artifact_dir),
        env_allow={**release.env, release.start.port_env: str(port)},
        network=True,
        scratch_root=scratch_root,
    )
    process = await asyncio.create_subprocess_exec(
        *command.argv, env=command.env, cwd="/", start_new_session=True,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    if process.stdin is not None:
        with contextlib.suppress(OSError):  # a launcher that died is noticed by its watcher
            process.stdin.write(command.stdin)
            await process.stdin.drain()
            process.stdin.close()
    return Instance(release, port, process, command.scratch)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def is_directory(path: str) -> bool:
    """Whether an absolute path names a directory."""
    return Path(path).is_absolute() and Path(path).is_dir()
