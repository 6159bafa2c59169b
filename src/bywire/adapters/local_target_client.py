"""How the control plane speaks to the local target: synchronous, one connection a call, no state of its own."""

import contextlib
import fcntl
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from bywire.adapters.local_target_server import SOCKET_NAME
from bywire.model.errors import TargetError
from bywire.model.intent import StartCommand
from bywire.model.target_change import TargetChange
from bywire.model.telemetry import ArmInterval

_START_SECONDS = 20.0
_CALL_SECONDS = 15.0
_POLL_SECONDS = 0.02
_ANSWER_BYTES_MAX = 16 * 1024 * 1024
_TELEMETRY_PAGES_MAX = 64
_SOCKET_PATH_MAX = 100
_ENVIRONMENT = ("HOME", "LANG", "TMPDIR", "SSH_AUTH_SOCK")  # the last one to be hidden, not used


class LocalTarget:
    """The target whose state lives in `directory`.

    `search_path` and `hide` reach the sandbox of the instances it starts.

    Every method raises `TargetError`; its code says which refusal it was: fenced, precondition_failed,
    idempotency_conflict, canary_active, lease_expired, not_ready, not_running, not_started, superseded, warm_failed,
    target_disk_full, target_unreachable, invalid_request.
    """

    def __init__(
        self, directory: Path, *, search_path: Sequence[str], hide: Sequence[Path] = (), router_port: int = 0
    ) -> None:
        self._directory = directory.resolve()
        self._search_path = os.pathsep.join(search_path)
        self._hide = tuple(hide)
        self._router_port = router_port

    def was_started(self) -> bool:
        """Whether a target ever ran here; asking starts nothing."""
        return (self._directory / "target.json").exists()

    def ensure_running(self) -> dict[str, Any]:
        """Start the target unless it answers; it survives this process. Returns its status."""
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        with (self._directory / "start.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            with contextlib.suppress(TargetError):
                return self.status()
            self._spawn()
            deadline = time.monotonic() + _START_SECONDS
            while True:
                try:
                    return self.status()
                except TargetError as error:
                    if error.code != "target_unreachable" or time.monotonic() > deadline:
                        raise
                    time.sleep(_POLL_SECONDS)

    def status(self) -> dict[str, Any]:
        """Version, epoch, router_port, stable, canary (weight, lease), last_good, superseded, interval_now, traffic."""
        return self._call("status")

    def stage(
        self, *, key: str, epoch: int, expect_version: int, digest: str, artifact_dir: Path, start: StartCommand,
        env: Mapping[str, str],
    ) -> dict[str, Any]:  # fmt: skip
        """Launch a release as canary at weight 0; returns when it is ready."""
        return self._call(
            "stage", start.ready_timeout_seconds + _CALL_SECONDS, key=key, epoch=epoch, expect_version=expect_version,
            digest=digest, artifact_dir=str(artifact_dir), start=msgspec.to_builtins(start), env=dict(env),
        )  # fmt: skip

    def set_weight(
        self, *, key: str, epoch: int, expect_version: int, digest: str, weight: float, segments: Sequence[str],
        lease_seconds: float,
    ) -> dict[str, Any]:  # fmt: skip
        """Give the canary `weight` percent of the traffic of `segments` (empty = all) for `lease_seconds`."""
        return self._call(
            "set_weight", key=key, epoch=epoch, expect_version=expect_version, digest=digest, weight=weight,
            segments=list(segments), lease_seconds=lease_seconds,
        )  # fmt: skip

    def renew(self, *, epoch: int, digest: str, lease_seconds: float) -> dict[str, Any]:
        """Extend the canary's lease; `lease_expired` when it is too late."""
        return self._call("renew", epoch=epoch, digest=digest, lease_seconds=lease_seconds)

    def warm(self, *, key: str, epoch: int, digest: str, path: str, timeout_seconds: float) -> dict[str, Any]:
        """POST `path` to the canary's instance; anything but 2xx is `warm_failed`."""
        seconds = timeout_seconds + _CALL_SECONDS
        return self._call(
            "warm", seconds, key=key, epoch=epoch, digest=digest, path=path, timeout_seconds=timeout_seconds
        )

    def promote(self, *, key: str, epoch: int, expect_version: int, digest: str) -> dict[str, Any]:
        """The canary becomes stable."""
        return self._call("promote", key=key, epoch=epoch, expect_version=expect_version, digest=digest)

    def retreat(self, *, key: str, epoch: int, digest_to: str) -> dict[str, Any]:
        """All traffic to `digest_to` (stable or last good), the canary stopped.

        `durable` says whether the disk took it.
        """
        return self._call("retreat", 6 * _CALL_SECONDS, key=key, epoch=epoch, digest_to=digest_to)

    def settle(self, *, epoch: int) -> dict[str, Any]:
        """Stop superseded instances."""
        return self._call("settle", epoch=epoch)

    def query(self, key: str) -> dict[str, Any] | None:
        """The record of a key: {request_digest, done, result, error}; None when the target never saw it."""
        record: dict[str, Any] | None = self._call("query", key=key)["record"]
        return record

    def history(self) -> list[TargetChange] | None:
        """The newest changes of the target, oldest first; None when the running target is too old to keep any."""
        try:
            rows = self._call("history")["changes"]
        except TargetError as error:
            if error.code == "invalid_request":
                return None
            raise
        try:
            return msgspec.convert(rows, list[TargetChange])
        except msgspec.ValidationError as error:
            raise _unreachable(f"its history cannot be read: {error}") from None

    def configure(
        self, *, segment_header: str, segments: Sequence[str], slow_threshold_ms: float, interval_seconds: float,
        user_header: str = "x-user-id",
    ) -> dict[str, Any]:  # fmt: skip
        """How requests are told apart and judged; `canary_active` while a canary has traffic."""
        return self._call(
            "configure", segment_header=segment_header, segments=list(segments), slow_threshold_ms=slow_threshold_ms,
            interval_seconds=interval_seconds, user_header=user_header,
        )  # fmt: skip

    def telemetry(self, since_interval: int) -> list[ArmInterval]:
        """Every closed interval from `since_interval` on, oldest first."""
        found: list[ArmInterval] = []
        for _ in range(_TELEMETRY_PAGES_MAX):
            page = self._call("telemetry", since_interval=since_interval)
            found += msgspec.convert(page["rows"], list[ArmInterval])
            if page["next_interval"] >= page["interval_now"]:
                break
            since_interval = page["next_interval"]
        return found

    def shutdown(self) -> None:
        """End the target and its instances; returns when it is gone."""
        self._call("shutdown")
        deadline = time.monotonic() + _START_SECONDS
        while (self._directory / "target.pid").exists():
            if time.monotonic() > deadline:
                raise _unreachable("it does not end")
            time.sleep(_POLL_SECONDS)

    def _spawn(self) -> None:
        hide = [argument for path in self._hide for argument in ("--hide", str(path))]
        argv = [
            sys.executable, "-I", "-m", "bywire.adapters.local_target", "--detach", "--state", str(self._directory),
            "--router-port", str(self._router_port), "--search-path", self._search_path, *hide,
        ]  # fmt: skip
        env = {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ}
        with (self._directory / "target.log").open("ab") as log:
            subprocess.run(
                argv,
                check=True,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                env=env,
                timeout=_START_SECONDS,
            )

    def _call(self, verb: str, wait_seconds: float = _CALL_SECONDS, /, **fields: object) -> dict[str, Any]:
        try:
            with _connection(self._directory / SOCKET_NAME) as channel:
                channel.settimeout(wait_seconds)
                channel.sendall(msgspec.json.encode({"verb": verb, **fields}) + b"\n")
                answer = msgspec.json.decode(_line(channel))
        except (OSError, msgspec.MsgspecError) as error:
            raise _unreachable(str(error)) from None
        if not answer["ok"]:
            refusal = answer["error"]
            raise TargetError(refusal["message"], code=refusal["code"], next_step=refusal["next_step"])
        result: dict[str, Any] = answer["result"]
        return result


@contextlib.contextmanager
def _connection(path: Path) -> Iterator[socket.socket]:
    """A connection to a Unix domain socket whose path may be longer than the kernel's 103 bytes (Linux)."""
    with socket.socket(socket.AF_UNIX) as channel, contextlib.ExitStack() as stack:
        channel.settimeout(_CALL_SECONDS)
        address = str(path)
        if len(address) > _SOCKET_PATH_MAX and sys.platform == "linux":
            directory = os.open(path.parent, os.O_PATH | os.O_DIRECTORY)
            stack.callback(os.close, directory)
            address = f"/proc/self/fd/{directory}/{path.name}"
        channel.connect(address)
        yield channel


def _line(channel: socket.socket) -> bytes:
    received = bytearray()
    while not received.endswith(b"\n"):
        chunk = channel.recv(65_536)
        if not chunk or len(received) > _ANSWER_BYTES_MAX:
            raise OSError("the target hung up")
        received += chunk
    return bytes(received)


def _unreachable(reason: str) -> TargetError:
    return TargetError(
        f"the local target does not answer: {reason}",
        code="target_unreachable",
        next_step="Start it again; target.log in its directory says why it ended.",
    )
