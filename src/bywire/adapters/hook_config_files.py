"""Configuration files of coding agents' hosts, in directories that others write to as well.

Neither the file nor the directory that it lies in may be a link: whoever planted it would choose what is overwritten.
"""

import os
import stat
from pathlib import Path

from bywire.adapters.durable_file import read_regular, sync_directory, write_whole
from bywire.model.errors import ConfigError

BYTES_MAX = 262_144
NEW_MODE = 0o644


def read_host_config(root: Path, name: str) -> bytes | None:
    """The file `name` below `root`; None when it is not there. Raises ConfigError `hook_config_unsafe`."""
    place = root / name
    _check_folder(place.parent)
    try:
        return read_regular(place, BYTES_MAX)
    except OSError as error:
        raise _unsafe(place, str(error.strerror or error)) from error


def write_host_config(root: Path, name: str, data: bytes) -> Path:
    """Replace or create the file, whole; it keeps its mode. Raises ConfigError `hook_config_unsafe`."""
    place = root / name
    _check_folder(place.parent)
    try:
        place.parent.mkdir(mode=0o755, exist_ok=True)
        mode = stat.S_IMODE(place.lstat().st_mode) if place.exists() else NEW_MODE
        write_whole(place, data, mode)
        sync_directory(place.parent)
    except OSError as error:
        raise _unsafe(place, str(error.strerror or error)) from error
    return place


def remove_host_config(root: Path, name: str) -> None:
    """Remove a file that nothing is left in."""
    place = root / name
    _check_folder(place.parent)
    place.unlink(missing_ok=True)


def _check_folder(folder: Path) -> None:
    try:
        found = os.lstat(folder)
    except FileNotFoundError:
        return
    if not stat.S_ISDIR(found.st_mode):
        raise _unsafe(folder, "it is a link, or no directory")


def _unsafe(place: Path, why: str) -> ConfigError:
    return ConfigError(
        f"{place} is not touched: {why}", code="hook_config_unsafe", next_step=f"look at {place}, then run it again"
    )
