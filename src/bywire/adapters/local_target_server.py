"""The control socket of the local target: same user only, bounded lines, one answer for each request."""

import asyncio
import contextlib
import os
import socket
import struct
import sys
import traceback
from pathlib import Path
from typing import Any

import msgspec

from bywire.adapters.local_target_control import Control
from bywire.adapters.local_target_verbs import LINE_BYTES_MAX, Verb
from bywire.model.errors import BywireError, TargetError

SOCKET_NAME = "target.sock"
_IDLE_SECONDS = 60.0
_CONNECTIONS_MAX = 64
_decoder = msgspec.json.Decoder(Verb)


class ControlServer:
    """Serves `control` on `directory`/target.sock (mode 0600)."""

    def __init__(self, control: Control, directory: Path) -> None:
        self._control = control
        self._path = directory / SOCKET_NAME
        self._open = 0

    async def start(self) -> asyncio.Server:
        """Bind and listen. The directory must be the current one: a socket's path may be at most 103 bytes long."""
        self._path.unlink(missing_ok=True)
        before = os.umask(0o177)
        try:
            return await asyncio.start_unix_server(self._serve, SOCKET_NAME, limit=LINE_BYTES_MAX)
        finally:
            os.umask(before)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open += 1
        try:
            if self._open > _CONNECTIONS_MAX or not _is_same_user(writer.get_extra_info("socket")):
                return
            while True:
                async with asyncio.timeout(_IDLE_SECONDS):
                    line = await reader.readuntil(b"\n")
                writer.write(msgspec.json.encode(await self._answer(line)) + b"\n")
                await writer.drain()
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, TimeoutError, OSError):
            pass  # the caller hung up, idled or sent more than a line may hold
        finally:
            self._open -= 1
            with contextlib.suppress(RuntimeError):
                writer.close()

    async def _answer(self, line: bytes) -> dict[str, Any]:
        try:
            return {"ok": True, "result": await self._control.answer(_decoder.decode(line))}
        except BywireError as error:
            return {"ok": False, "error": error.as_json()}
        except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
            refusal = TargetError(
                f"malformed request: {error}", code="invalid_request", next_step="Correct the request."
            )
            return {"ok": False, "error": refusal.as_json()}
        except OSError as error:
            traceback.print_exc(file=sys.stderr)
            failure = TargetError(f"the target failed: {error}", code="target_failed", next_step="See target.log.")
            return {"ok": False, "error": failure.as_json()}


def _is_same_user(connection: socket.socket) -> bool:
    """Linux tells who connected; elsewhere the modes of directory and socket are the guard."""
    if sys.platform != "linux":
        return True
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    _, uid, _ = struct.unpack("3i", credentials)
    return bool(uid == os.getuid())
