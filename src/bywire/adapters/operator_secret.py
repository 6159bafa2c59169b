"""Files and variables that the operator named: secrets that nobody else may read, keys that nobody else may write."""

import os
import stat
from collections.abc import Mapping
from pathlib import Path

from bywire.model.errors import ConfigError
from bywire.model.gateway_credentials import Found

BYTES_MAX = 65_536
_OTHERS = stat.S_IRWXG | stat.S_IRWXO
_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH


def secret_bytes(path: Path) -> bytes:
    """What is in the file. ConfigError `secret_unreadable`, `secret_exposed`."""
    return _read(
        path, _OTHERS, BYTES_MAX, f"others can use it; replace the secret, which they may know: chmod 600 {path}"
    )


def public_bytes(path: Path, bytes_max: int) -> bytes:
    """What is in a file that anybody may read and only its owner may change. ConfigError as `secret_bytes`."""
    return _read(path, _OTHERS_WRITE, bytes_max, f"others can change it: chmod go-w {path}, and get its content again")


def secret_text(found: Found, environment: Mapping[str, str] | None = None) -> str:
    """The token that `found` names, one line of plain text. ConfigError as `secret_bytes`, or `secret_malformed`."""
    if found.token_env:
        source, text = found.token_env, (os.environ if environment is None else environment).get(found.token_env, "")
    else:
        source, text = found.token_file, secret_bytes(Path(found.token_file)).decode("ascii", "replace")
    text = text.strip()
    if not text or not text.isascii() or not text.isprintable() or len(text) > BYTES_MAX:
        raise ConfigError(
            f"{source} is empty or not plain text", code="secret_malformed", next_step=f"put the token into {source}"
        )
    return text


def _read(path: Path, forbidden: int, bytes_max: int, exposed: str) -> bytes:
    try:
        # O_NONBLOCK: opening a named pipe must not wait for somebody to write to it.
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
            # Asked of the open file: a path could lead elsewhere a moment later.
            found = os.fstat(file.fileno())
            if not stat.S_ISREG(found.st_mode) or found.st_size > bytes_max:
                raise _unreadable(path, f"is not a regular file of at most {bytes_max} bytes")
            if found.st_mode & forbidden:
                raise ConfigError(f"{path} has a mode too wide", code="secret_exposed", next_step=exposed)
            return file.read(bytes_max)
    except OSError as error:
        raise _unreadable(path, error.strerror or "cannot be read") from error


def _unreadable(path: Path, why: str) -> ConfigError:
    return ConfigError(f"{path}: {why}", code="secret_unreadable", next_step=f"check that {path} is there, and yours")
