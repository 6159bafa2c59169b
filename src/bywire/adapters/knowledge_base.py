"""The Rego and texts that ship with the product, and policies in directories: the operator's copy, a candidate."""

import json
import os
from collections.abc import Iterator, Mapping
from functools import cache
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path

from bywire.model.errors import ConfigError
from bywire.policy.bundle import BUNDLE_BYTES_MAX, FILE_BYTES_MAX, FILES_MAX, decides
from bywire.policy.endorsement import SIGNATURE_BYTES_MAX, SIGNATURE_FILE

_SUFFIXES = (".rego", ".json")
# Files and folders that a directory may hold beside the policy before it is taken for something else.
_SEEN_MAX = 2 * FILES_MAX


def shipped_policy() -> dict[str, bytes]:
    """The files of the shipped knowledge base by relative path, with its tests and texts."""
    found: dict[str, bytes] = {}
    _walk(resources.files("bywire") / "pkb", "", found)
    return found


def deciding(files: Mapping[str, bytes]) -> dict[str, bytes]:
    """What of a bundle's files can change a decision: neither tests nor texts."""
    return {name: data for name, data in files.items() if decides(name)}


def operator_policy(directory: Path) -> dict[str, bytes]:
    """The policy files of a directory by relative path, tests and texts too.

    Raises ConfigError `policy_missing`, `policy_too_large`.
    """
    if not directory.is_dir():
        raise ConfigError(
            f"there is no policy in {directory}", code="policy_missing", next_step="run `bywire init` in the repository"
        )
    found: dict[str, bytes] = {}
    total = 0
    for path in _files(directory):
        size = path.stat().st_size
        total += size
        if len(found) >= FILES_MAX or size > FILE_BYTES_MAX or total > BUNDLE_BYTES_MAX:
            raise _too_large(directory)
        found[path.relative_to(directory).as_posix()] = path.read_bytes()
    return found


def policy_signature(directory: Path) -> bytes:
    """The signature that lies beside a policy; empty when there is none. ConfigError `policy_too_large`."""
    place = directory / SIGNATURE_FILE
    if place.is_symlink() or not place.is_file():
        return b""
    if place.stat().st_size > SIGNATURE_BYTES_MAX:
        raise _too_large(place)
    return place.read_bytes()


def keep_signature(directory: Path, envelope: bytes) -> Path:
    """Put a signature beside the policy it is over."""
    place = directory / SIGNATURE_FILE
    place.unlink(missing_ok=True)
    place.write_bytes(envelope)
    return place


@cache
def denial_messages() -> Mapping[str, Mapping[str, str]]:
    """What each rule says to people: rule id -> {says, next}."""
    texts: dict[str, dict[str, str]] = json.loads((resources.files("bywire") / "pkb" / "messages.json").read_bytes())
    return texts


def _files(directory: Path) -> Iterator[Path]:
    """Regular Rego and JSON files below a directory, in order; no link is followed."""
    seen = 0
    for folder, folders, names in os.walk(directory):
        folders.sort()
        seen += len(folders) + len(names)
        if seen > _SEEN_MAX:
            raise _too_large(directory)
        for name in sorted(names):
            path = Path(folder, name)
            if name.endswith(_SUFFIXES) and path.is_file() and not path.is_symlink():
                yield path


def _too_large(place: Path) -> ConfigError:
    return ConfigError(f"the policy in {place} is too large", code="policy_too_large", next_step="split or trim it")


def _walk(place: Traversable, prefix: str, found: dict[str, bytes]) -> None:
    for child in place.iterdir():
        name = f"{prefix}{child.name}"
        if child.is_dir():
            _walk(child, f"{name}/", found)
        elif child.name.endswith(_SUFFIXES):
            found[name] = child.read_bytes()
