"""Clock, files, randomness, the environment and the process: what the rest of the package asks the system for."""

import os
import secrets
import time
from pathlib import Path


def seconds() -> float:
    """A clock that only runs forward."""
    return time.monotonic()


def pause(duration: float) -> None:
    """Block this thread for `duration` seconds."""
    time.sleep(max(duration, 0.0))


def fresh_id() -> str:
    """128 random bits in hex."""
    return secrets.token_hex(16)


def process_id() -> int:
    """Which process this is: a fork must not share its parent's connections."""
    return os.getpid()


def variable(name: str) -> str:
    """A variable of the environment. Raises ValueError when it is not set, or empty."""
    value = os.environ.get(name, "")
    if not value:
        raise ValueError(f"the variable {name} is not set")
    return value


def read_text(place: str | Path, bytes_max: int) -> str:
    """A small text file, without surrounding white space. Raises OSError, and ValueError when it is too large."""
    with Path(place).open("rb") as file:
        content = file.read(bytes_max + 1)
    if len(content) > bytes_max:
        raise ValueError(f"{place} is larger than {bytes_max} bytes")
    return content.decode().strip()
