"""A token that an agent keeps in a file."""

import os
import stat
from pathlib import Path

from bywire.model.errors import ConfigError

BYTES_MAX = 8_192
_OTHERS = stat.S_IRWXG | stat.S_IRWXO


def read_token(path: Path) -> str:
    """The token in a file that only its owner may read. ConfigError `token_unreadable`, `token_exposed`."""
    try:
        with path.open("rb") as file:
            if os.fstat(file.fileno()).st_mode & _OTHERS:
                raise ConfigError(f"{path} is readable by others", code="token_exposed", next_step=f"chmod 600 {path}")
            text = file.read(BYTES_MAX).decode("ascii", "replace").strip()
    except OSError as error:
        raise ConfigError(
            f"{path} cannot be read: {error.strerror}",
            code="token_unreadable",
            next_step="write one with `bywire agents token NAME > FILE`",
        ) from error
    if not text or not text.isprintable():
        raise ConfigError(f"{path} holds no token", code="token_unreadable", next_step="bywire agents token NAME")
    return text
