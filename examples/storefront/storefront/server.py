"""Keep-alive connections around one answering function.

Promises: a bounded number of connections, an end to silent ones, and a drain that finishes every request already read.
"""

import asyncio
import sys
import threading
import traceback
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

from storefront.wire import HEAD_BYTES_MAX, Refused, Request, Response, json_response, read_request

CONNECTIONS_MAX = 512
IDLE_SECONDS = 75.0
DRAIN_SECONDS = 5.0

Answer = Callable[[Request], Awaitable[Response]]


class Server:
    """Serves `answer` over HTTP/1.1 until drained."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self._server: asyncio.Server | None = None
        self._conversations: set[asyncio.Task[None]] = set()
        self._waiting: set[asyncio.StreamWriter] = set()
        self._draining = False

    async def start(self, host: str, port: int) -> int:
        """Listen, and return the port in use (it differs from `port` when that is 0)."""
        self._server = await asyncio.start_server(self._accept, host, port, limit=HEAD_BYTES_MAX)
        return int(self._server.sockets[0].getsockname()[1])

    async def drain(self) -> None:
        """Stop accepting, close connections that wait for a request, and let requests in progress finish."""
        self._draining = True
        if self._server is not None:
            self._server.close()
        for writer in tuple(self._waiting):
            writer.close()
        if self._conversations:
            await asyncio.wait(self._conversations, timeout=DRAIN_SECONDS)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._conversations.add(task)
        try:
            if len(self._conversations) > CONNECTIONS_MAX:
                writer.write(json_response(503, {"error": "too many connections"}).encode(keep_alive=False))
            else:
                await self._converse(reader, writer)
        except ConnectionError:
            return  # the peer went away; there is nobody left to answer
        finally:
            self._conversations.discard(task)
            writer.close()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        keep_alive = True
        while keep_alive and not self._draining:
            self._waiting.add(writer)
            try:
                async with asyncio.timeout(IDLE_SECONDS):
                    request = await read_request(reader)
            except TimeoutError:
                return
            except Refused as refused:
                response, keep_alive = json_response(refused.status, {"error": str(refused)}), False
            else:
                if request is None:
                    return
                self._waiting.discard(writer)
                response = await self._answer_or_apologise(request)
                keep_alive = request.keep_alive and not self._draining
            finally:
                self._waiting.discard(writer)
            writer.write(response.encode(keep_alive=keep_alive))
            await writer.drain()

    async def _answer_or_apologise(self, request: Request) -> Response:
        try:
            return await self._answer(request)
        except Refused as refused:
            return json_response(refused.status, {"error": str(refused)})
        except Exception:  # one broken request must not end the connection loop; the trace goes to the log
            traceback.print_exc(file=sys.stderr)
            return json_response(500, {"error": "internal error"})


@contextmanager
def serving(answer: Answer) -> Iterator[int]:
    """Serve from a thread on a free loopback port, for the evaluation and the tests; yields the port."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    server = Server(answer)
    try:
        yield asyncio.run_coroutine_threadsafe(server.start("127.0.0.1", 0), loop).result(5)
    finally:
        asyncio.run_coroutine_threadsafe(_finish(server), loop).result(DRAIN_SECONDS + 5)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(5)
        loop.close()


async def _finish(server: Server) -> None:
    await server.drain()
    left = asyncio.all_tasks() - {asyncio.current_task()}
    for task in left:
        task.cancel()
    await asyncio.gather(*left, return_exceptions=True)
