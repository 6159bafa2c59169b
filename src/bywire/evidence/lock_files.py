"""Declared dependencies from lock files: names, versions, hashes and licences, as far as each format says them.

Nothing is guessed: what a format does not say stays empty, and counts as missing in the completeness of the SBOM.
"""

import base64
import binascii
import re
import tomllib
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from packageurl import PackageURL

from bywire.evidence.path_pattern import matches
from bywire.model.errors import EvidenceError

LOCK_BYTES_MAX = 16 * 1024 * 1024
DEPENDENCIES_MAX = 5_000
_REQUIREMENT = re.compile(r"^([A-Za-z0-9][A-Za-z0-9._-]*)(?:\[[^\]]*\])?\s*(?:===?\s*([^\s;,#]+))?")
_PIP_HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")
_ALGORITHM = {"sha256": "SHA-256", "sha384": "SHA-384", "sha512": "SHA-512"}


class Dependency(msgspec.Struct, frozen=True):
    """One declared package. Text that the file does not give is empty.

    `source` is the lock file; `hashes` are (CycloneDX algorithm, hex) pairs of archives it accepts.
    """

    ecosystem: str
    name: str
    version: str
    source: str
    hashes: tuple[tuple[str, str], ...] = ()
    licence: str = ""

    @property
    def purl(self) -> str:
        """The package URL (purl specification)."""
        namespace, _, name = self.name.rpartition("/")
        return PackageURL(
            type=self.ecosystem, namespace=namespace or None, name=name, version=self.version or None
        ).to_string()


def is_lock_file(path: str) -> bool:
    """Whether `dependencies` can read `path`."""
    return any(matches(path, (pattern,)) for pattern in _READERS)


def dependencies(files: Mapping[str, bytes]) -> tuple[Dependency, ...]:
    """Every dependency that the lock files among `files` (path -> bytes) declare, sorted by purl, each once.

    Raises EvidenceError `lock_file_invalid` naming the file.
    """
    found: dict[str, Dependency] = {}
    for path, data in sorted(files.items()):
        reader = next((read for pattern, read in _READERS.items() if matches(path, (pattern,))), None)
        if reader is None:
            continue
        if len(data) > LOCK_BYTES_MAX:
            raise _invalid(path, "is too large")
        try:
            for item in reader(data.decode(), path):
                found.setdefault(item.purl, item)
        except (ValueError, TypeError, AttributeError, KeyError, RecursionError) as error:
            raise _invalid(path, f"cannot be read: {type(error).__name__}") from error
        if len(found) > DEPENDENCIES_MAX:
            raise _invalid(path, f"brings more than {DEPENDENCIES_MAX} dependencies")
    return tuple(found[purl] for purl in sorted(found))


def _requirements(text: str, path: str) -> list[Dependency]:
    found = []
    for line in text.replace("\\\n", " ").splitlines():
        stripped = line.strip()
        match = _REQUIREMENT.match(stripped)
        if match is None or stripped.startswith(("#", "-")):
            continue
        hashes = tuple(("SHA-256", digest) for digest in _PIP_HASH.findall(stripped))
        name = re.sub(r"[-_.]+", "-", match.group(1)).lower()
        found.append(Dependency("pypi", name, match.group(2) or "", path, hashes))
    return found


def _python_lock(text: str, path: str) -> list[Dependency]:
    found = []
    for package in tomllib.loads(text).get("package", []):
        source = package.get("source") or {}
        if "virtual" in source or "editable" in source:
            continue  # the project itself
        files = [
            *package.get("files", []),
            *package.get("wheels", []),
            *([package["sdist"]] if "sdist" in package else []),
        ]
        found.append(Dependency("pypi", package["name"], package.get("version", ""), path, _python_hashes(files)))
    return found


def _python_hashes(files: list[Any]) -> tuple[tuple[str, str], ...]:
    texts = {str(item.get("hash", "")) for item in files if isinstance(item, dict)}
    pairs = (text.partition(":") for text in sorted(texts))
    return tuple((_ALGORITHM[kind], digest) for kind, _, digest in pairs if kind in _ALGORITHM)


def _package_lock(text: str, path: str) -> list[Dependency]:
    found = []
    for location, package in msgspec.json.decode(text).get("packages", {}).items():
        name = location.rpartition("node_modules/")[2]
        if not location or package.get("link") or "node_modules/" not in location:
            continue
        licence = package.get("license")
        found.append(
            Dependency(
                "npm",
                str(package.get("name") or name),
                str(package.get("version") or ""),
                path,
                _integrity(str(package.get("integrity") or "")),
                licence if isinstance(licence, str) else "",
            )
        )
    return found


def _integrity(text: str) -> tuple[tuple[str, str], ...]:
    """Subresource Integrity (W3C SRI) to algorithm and hex."""
    pairs = []
    for item in text.split():
        kind, _, encoded = item.partition("-")
        if kind in _ALGORITHM:
            try:
                pairs.append((_ALGORITHM[kind], base64.b64decode(encoded, validate=True).hex()))
            except binascii.Error:
                continue
    return tuple(pairs)


def _go_sum(text: str, path: str) -> list[Dependency]:
    # h1: is a hash over a directory listing, not over a file, so no CycloneDX algorithm names it.
    rows = (line.split() for line in text.splitlines())
    return [
        Dependency("golang", row[0], row[1], path) for row in rows if len(row) == 3 and not row[1].endswith("/go.mod")
    ]


def _cargo_lock(text: str, path: str) -> list[Dependency]:
    return [
        Dependency(
            "cargo",
            package["name"],
            package["version"],
            path,
            (("SHA-256", package["checksum"]),) if "checksum" in package else (),
        )
        for package in tomllib.loads(text).get("package", [])
        if "source" in package
    ]


_READERS: dict[str, Callable[[str, str], list[Dependency]]] = {
    "**/requirements*.txt": _requirements,
    "**/requirements*.lock": _requirements,
    "**/poetry.lock": _python_lock,
    "**/uv.lock": _python_lock,
    "**/package-lock.json": _package_lock,
    "**/go.sum": _go_sum,
    "**/Cargo.lock": _cargo_lock,
}


def _invalid(path: str, why: str) -> EvidenceError:
    return EvidenceError(
        f"{path} {why}", code="lock_file_invalid", next_step="write the lock file again with its own package manager"
    )
