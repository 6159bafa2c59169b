"""Which instances run: started on demand, restarted when stable dies, attached to the router while they live."""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

from bywire.adapters.local_processes import Instance, start_instance
from bywire.adapters.local_target_state import Release
from bywire.adapters.router import Router
from bywire.adapters.sandbox import Sandbox
from bywire.model.errors import BywireError, TargetError

_BACKOFF_FIRST_SECONDS = 0.2
_BACKOFF_MAX_SECONDS = 30.0
_HEALTHY_AFTER_SECONDS = 60.0


class Instances:
    """Instances by digest. `keep_alive` says whether a digest is restarted when its process ends (the stable one)."""

    def __init__(self, sandbox: Sandbox, scratch_root: Path, router: Router, keep_alive: Callable[[str], bool]) -> None:
        self._sandbox = sandbox
        self._scratch_root = scratch_root
        self._router = router
        self._keep_alive = keep_alive
        self._running: dict[str, Instance] = {}
        self._restarts: dict[str, int] = {}
        self._last_error: dict[str, str] = {}
        self._locks: dict[str, asyncio.Lock] = {}
        self._starting: dict[str, asyncio.Task[None]] = {}
        self._closing = False

    def alive(self, digest: str) -> bool:
        """Whether an instance of `digest` runs."""
        return digest in self._running and self._running[digest].alive

    def digests(self) -> list[str]:
        """Every digest with an instance, alive, crashed or on its way."""
        return sorted({*self._running, *self._starting})

    def facts(self, digest: str) -> dict[str, object]:
        """What status shows of one digest."""
        instance = self._running.get(digest)
        running = {"pid": instance.pid, "port": instance.port} if instance is not None and instance.alive else {}
        return {"digest": digest, "alive": self.alive(digest), "restarts": self._restarts.get(digest, 0),
                "last_error": self._last_error.get(digest, ""), **running}  # fmt: skip

    def port(self, digest: str) -> int:
        """The port of a living instance. Raises `TargetError`."""
        if not self.alive(digest):
            raise TargetError(
                f"release {digest[:12]} has no running instance",
                code="not_running",
                next_step="Stage the release again.",
            )
        return self._running[digest].port

    async def ensure(self, release: Release) -> None:
        """Return when an instance of `release` runs and is ready. Raises `TargetError`."""
        async with self._lock(release.digest):
            if not self.alive(release.digest):
                await self._start(release)

    async def _start(self, release: Release) -> None:
        try:
            instance = await start_instance(self._sandbox, release, self._scratch_root)
        except BywireError as error:
            raise TargetError(error.message, code="not_started", next_step=error.next_step) from None
        try:
            await instance.wait_ready()
        except asyncio.CancelledError:
            await instance.stop()
            raise
        instance.on_exit = lambda: self._exited(release, time.monotonic())
        self._running[release.digest] = instance
        self._router.attach(release.digest, instance.port)
        if not instance.alive:
            instance.on_exit()

    async def stop(self, digest: str) -> None:
        """End an instance, if there is one or one is on its way."""
        self._router.detach(digest)
        starting = self._starting.pop(digest, None)
        if starting is not None:
            starting.cancel()
        async with self._lock(digest):
            self._router.detach(digest)
            self._restarts.pop(digest, None)
            self._last_error.pop(digest, None)
            instance = self._running.pop(digest, None)
            if instance is not None:
                await instance.stop()

    def _lock(self, digest: str) -> asyncio.Lock:
        return self._locks.setdefault(digest, asyncio.Lock())

    async def stop_all(self) -> None:
        """End every instance and every pending restart."""
        self._closing = True
        await asyncio.gather(*(self.stop(digest) for digest in self.digests()))

    def start_soon(self, release: Release) -> None:
        """Start `release` in the background; the stable one again and again, with bounded backoff."""
        if not self._closing and release.digest not in self._starting:
            task = asyncio.create_task(self._keep_trying(release))
            self._starting[release.digest] = task
            task.add_done_callback(lambda ended: self._started(release.digest, ended))

    def _started(self, digest: str, task: asyncio.Task[None]) -> None:
        if self._starting.get(digest) is task:
            del self._starting[digest]
        # A service that dies as soon as it is ready does so before its start has ended.
        if not task.cancelled() and digest in self._running and not self.alive(digest) and self._keep_alive(digest):
            self.start_soon(self._running[digest].release)

    def _exited(self, release: Release, started: float) -> None:
        self._router.detach(release.digest)
        if time.monotonic() - started > _HEALTHY_AFTER_SECONDS:
            self._restarts[release.digest] = 0
        if self._keep_alive(release.digest):
            self._restarts[release.digest] = self._restarts.get(release.digest, 0) + 1
            self.start_soon(release)

    async def _keep_trying(self, release: Release) -> None:
        digest = release.digest
        while True:
            if count := self._restarts.get(digest, 0):
                await asyncio.sleep(min(_BACKOFF_MAX_SECONDS, _BACKOFF_FIRST_SECONDS * 2 ** min(count - 1, 10)))
            try:
                await self.ensure(release)
            except TargetError as error:
                self._last_error[digest] = error.message
            if self.alive(digest) or not self._keep_alive(digest):
                return
            self._restarts[digest] = count + 1
