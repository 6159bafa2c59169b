"""Running the application: one process, one event loop on uvloop, httptools; ends cleanly when told to."""

import asyncio
import contextlib
import logging
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from socket import socket  # noqa: TID251  a type: adapters.listening makes it
from typing import Protocol

import uvicorn
from starlette.types import ASGIApp

from bywire.api.protocol import BoundedConfig
from bywire.model.gateway import ServeLimits

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Beside(Protocol):
    """Another server on the same event loop: the forward proxy."""

    async def start(self) -> None:
        """Begin to answer."""
        ...

    async def close(self) -> None:
        """End what is open."""
        ...


class Server(uvicorn.Server):
    """uvicorn's server, which says when it is up and leaves it to us how the process ends."""

    def __init__(self, config: uvicorn.Config, beside: Sequence[Beside] = ()) -> None:
        super().__init__(config)
        self._beside = tuple(beside)
        self._ready: Callable[[], None] = lambda: None

    def run_on(self, listener: socket, ready: Callable[[], None]) -> None:
        """Serve until SIGTERM or SIGINT, or until `should_exit`. `ready` is called once requests are answered."""
        self._ready = ready
        with asyncio.Runner(loop_factory=self.config.get_loop_factory()) as runner:
            runner.run(self.serve(sockets=[listener]))

    async def startup(self, sockets: list[socket] | None = None) -> None:
        """Say so once it is done."""
        await super().startup(sockets)
        for one in self._beside:
            await one.start()
        self._ready()

    async def shutdown(self, sockets: list[socket] | None = None) -> None:
        """What runs beside ends first: it needs the gateway to the last."""
        for one in self._beside:
            await one.close()
        await super().shutdown(sockets)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """End on SIGTERM and SIGINT; a second SIGINT waits for nobody. The process goes on to close what it holds."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        loop = asyncio.get_running_loop()
        for one in _SIGNALS:
            loop.add_signal_handler(one, self.handle_exit, one, None)
        try:
            yield
        finally:
            for one in _SIGNALS:
                loop.remove_signal_handler(one)


def running(app: ASGIApp, limits: ServeLimits, beside: Sequence[Beside] = ()) -> Server:
    """The server of an application, not started yet."""
    # What uvicorn would say of a client's mistakes is nothing for a log that somebody reads.
    logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
    return Server(
        BoundedConfig(
            app,
            limits,
            loop="uvloop",
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            timeout_keep_alive=limits.idle_seconds,
            timeout_graceful_shutdown=limits.shutdown_seconds,
        ),
        beside,
    )
