"""The Rego and texts that ship with the product, and the operator's copy of them."""

import json
from collections.abc import Mapping
from functools import cache
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path

from bywire.model.errors import ConfigError

FILES_MAX = 512
FILE_BYTES_MAX = 1_048_576
_SUFFIXES = (".rego", ".json")
_NOT_POLICY = {"messages.json"}


def shipped_policy() -> dict[str, bytes]:
    """The files of the shipped knowledge base by relative path, without its tests and texts."""
    found: dict[str, bytes] = {}
    _walk(resources.files("bywire") / "pkb", "", found)
    return {name: data for name, data in found.items() if _is_policy(name)}


def operator_policy(directory: Path) -> dict[str, bytes]:
    """The operator's policy files by relative path. ConfigError when the directory is missing or out of bounds."""
    if not directory.is_dir():
        raise ConfigError(
            f"there is no policy in {directory}", code="policy_missing", next_step="run `bywire init` in the repository"
        )
    found: dict[str, bytes] = {}
    for path in sorted(directory.rglob("*")):
        name = path.relative_to(directory).as_posix()
        if path.is_symlink() or not path.is_file() or not _is_policy(name):
            continue
        if len(found) >= FILES_MAX or path.stat().st_size > FILE_BYTES_MAX:
            raise ConfigError(
                f"the policy in {directory} is too large", code="policy_too_large", next_step="split or trim it"
            )
        found[name] = path.read_bytes()
    return found


@cache
def denial_messages() -> Mapping[str, Mapping[str, str]]:
    """What each rule says to people: rule id -> {says, next}."""
    texts: dict[str, dict[str, str]] = json.loads((resources.files("bywire") / "pkb" / "messages.json").read_bytes())
    return texts


def _is_policy(name: str) -> bool:
    base = name.rpartition("/")[2]
    return name.endswith(_SUFFIXES) and not name.endswith("_test.rego") and base not in _NOT_POLICY


def _walk(place: Traversable, prefix: str, found: dict[str, bytes]) -> None:
    for child in place.iterdir():
        name = f"{prefix}{child.name}"
        if child.is_dir():
            _walk(child, f"{name}/", found)
        elif child.name.endswith(_SUFFIXES):
            found[name] = child.read_bytes()
