"""What the launcher is told: one JSON document on its standard input, so that nothing of it shows in a process list."""

import dataclasses
import json
from typing import Any

from bywire.model.errors import WorkError

SPEC_BYTES_MAX = 60_000  # fits a pipe buffer, so that writing it can never block


@dataclasses.dataclass(frozen=True)
class LaunchSpec:
    """One launch.

    Paths are absolute and resolved; `scratch` holds `home` and `tmp`; `status_fd` is -1 when nobody listens.

    `uid` is the uid to try when the launcher is root (0 = keep the caller's). `parent` is the pid that must outlive
    the launch.
    """

    argv: tuple[str, ...]
    cwd: str
    scratch: str
    env: dict[str, str]
    namespaces: bool
    network: bool
    writable: bool
    uid: int
    covers: tuple[str, ...]
    hide: tuple[str, ...]
    expose: tuple[str, ...]
    memory_limit_bytes: int
    process_limit: int
    file_limit_bytes: int
    status_fd: int
    parent: int

    def to_bytes(self) -> bytes:
        """The wire form. Raises `WorkError` when it would not fit a pipe."""
        document = json.dumps(dataclasses.asdict(self)).encode()
        if len(document) > SPEC_BYTES_MAX:
            raise WorkError(
                f"the command line and environment take {len(document)} bytes, more than {SPEC_BYTES_MAX}",
                code="command_too_long",
                next_step="Put long arguments in a file of the repository.",
            )
        return document


def spec_from_bytes(document: bytes) -> LaunchSpec:
    """The launcher's side of `to_bytes`; the writer is our own parent process."""
    fields: dict[str, Any] = json.loads(document)
    for name in ("argv", "covers", "hide", "expose"):
        fields[name] = tuple(fields[name])
    return LaunchSpec(**fields)
