"""Putting a hook into a host's configuration, and taking it out."""

import json
from pathlib import Path
from typing import Any

from bywire.adapters.hook_config_files import read_host_config, remove_host_config, write_host_config
from bywire.config.hook_files import FILES, with_hook, without_hook
from bywire.config.json_document import load


def install_hook(root: Path, host: str, command: str) -> tuple[Path, bool]:
    """(the file, whether it was changed). Other hooks and settings stay. Raises ConfigError."""
    before = _read(root, host)
    return _written(root, host, before, with_hook(before or {}, host, command))


def uninstall_hook(root: Path, host: str) -> tuple[Path, bool]:
    """(the file, whether it was changed). A file that held nothing else is removed."""
    before = _read(root, host)
    if before is None:
        return root / FILES[host], False
    after = without_hook(before, host)
    if after in ({}, {"version": 1}) and after != before:
        remove_host_config(root, FILES[host])
        return root / FILES[host], True
    return _written(root, host, before, after)


def _read(root: Path, host: str) -> Any:
    data = read_host_config(root, FILES[host])
    return None if data is None else load(data, str(root / FILES[host]))


def _written(root: Path, host: str, before: Any, after: dict[str, Any]) -> tuple[Path, bool]:
    if after == before:
        return root / FILES[host], False
    return write_host_config(root, FILES[host], f"{json.dumps(after, indent=2, ensure_ascii=False)}\n".encode()), True
