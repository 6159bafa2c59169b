"""A CycloneDX 1.6 bill of materials for an artifact: every file in it, every dependency its lock files declare.

Written as plain JSON so that it goes through JCS unchanged. What is not known is left out, never invented.
"""

import re
import tomllib
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from bywire.evidence.artifact import ListedFile
from bywire.evidence.lock_files import Dependency
from bywire.evidence.timestamps import rfc3339

SPEC_VERSION = "1.6"
_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "https://bywire.dev/sbom/v1")
_SPDX = re.compile(r"^[A-Za-z0-9.+-]{2,64}(?: (?:AND|OR|WITH) [A-Za-z0-9.+-]{2,64})*$")
_SPDX_TAG = re.compile(r"SPDX-License-Identifier:[ \t]*([A-Za-z0-9.+-]{2,64})")
_LICENCE_TEXTS = (
    (("Apache License", "Version 2.0"), "Apache-2.0"),
    (("MIT License",), "MIT"),
    (("BSD 3-Clause",), "BSD-3-Clause"),
    (("BSD 2-Clause",), "BSD-2-Clause"),
    (("ISC License",), "ISC"),
    (("Mozilla Public License", "2.0"), "MPL-2.0"),
)
_LICENCE_HEAD_CHARACTERS = 400


class SbomSource(msgspec.Struct, frozen=True):
    """What the bill is about and who says so.

    `licence` is the project's own declaration (SPDX expression or empty), `suppliers` the service's owners; `known`
    maps a purl to {"licence", "supplier"} learnt from installed package metadata.
    """

    service: str
    artifact: str
    commit: str
    at_ms: int
    suppliers: tuple[str, ...]
    licence: str
    tool_version: str
    known: Mapping[str, Mapping[str, str]] = {}


def document(
    source: SbomSource, files: Sequence[ListedFile], dependencies: Sequence[Dependency], *, locked: bool
) -> dict[str, Any]:
    """The CycloneDX 1.6 JSON document. Without any lock file (`locked` false) dependencies are said to be unknown."""
    supplier = {"name": ", ".join(source.suppliers) or source.service}
    root = f"artifact:{source.service}"
    components = [
        *(_file_component(item, source, supplier) for item in files),
        *(_dependency_component(item, source) for item in dependencies),
    ]
    refs = sorted(component["bom-ref"] for component in components)
    return {
        "bomFormat": "CycloneDX",
        "specVersion": SPEC_VERSION,
        "serialNumber": f"urn:uuid:{uuid.uuid5(_NAMESPACE, source.artifact)}",
        "version": 1,
        "metadata": {
            "timestamp": rfc3339(source.at_ms),
            "lifecycles": [{"phase": "build"}],
            "tools": {"components": [{"type": "application", "name": "bywire", "version": source.tool_version}]},
            "authors": [{"name": "bywire builder"}],
            "supplier": supplier,
            "component": {
                "type": "application",
                "bom-ref": root,
                "name": source.service,
                "version": source.commit,
                "supplier": supplier,
                "hashes": [{"alg": "SHA-256", "content": source.artifact}],
                **_licences(source.licence),
            },
        },
        "components": components,
        "dependencies": [{"ref": root, "dependsOn": refs}, *({"ref": ref, "dependsOn": []} for ref in refs)],
        "compositions": [
            {"aggregate": "complete", "assemblies": [root]},
            {"aggregate": "incomplete" if locked else "unknown", "dependencies": [root]},
        ],
    }


def declared_licence(read: Callable[[str], bytes | None]) -> str:
    """The project's own licence as it declares it, or empty: pyproject.toml, package.json, Cargo.toml, then LICENSE."""
    declared = (
        _licence_of(_toml(read("pyproject.toml")), "project")
        or _licence_of(_json(read("package.json")), "")
        or _licence_of(_toml(read("Cargo.toml")), "package")
    )
    if declared:
        return declared
    for path in ("LICENSE", "LICENSE.txt", "LICENSE.md", "LICENCE"):
        head = (read(path) or b"")[:_LICENCE_HEAD_CHARACTERS].decode("utf-8", "replace")
        if tagged := _SPDX_TAG.search(head):
            return tagged.group(1)
        for needles, licence in _LICENCE_TEXTS:
            if all(needle in head for needle in needles):
                return licence
    return ""


def _file_component(item: ListedFile, source: SbomSource, supplier: dict[str, str]) -> dict[str, Any]:
    return {
        "type": "file",
        "bom-ref": f"file:{item.path}",
        "name": item.path,
        "version": source.commit,
        "supplier": supplier,
        "hashes": [{"alg": "SHA-256", "content": item.sha256}],
        **_licences(source.licence),
    }


def _dependency_component(item: Dependency, source: SbomSource) -> dict[str, Any]:
    known = source.known.get(item.purl, {})
    supplier = known.get("supplier", "")
    return {
        "type": "library",
        "bom-ref": item.purl,
        "name": item.name,
        **({"version": item.version} if item.version else {}),
        "purl": item.purl,
        **({"supplier": {"name": supplier}} if supplier else {}),
        **({"hashes": [{"alg": kind, "content": digest} for kind, digest in item.hashes]} if item.hashes else {}),
        **_licences(item.licence or known.get("licence", "")),
        "properties": [{"name": "bywire:declared-in", "value": item.source}],
    }


def _licences(licence: str) -> dict[str, Any]:
    if not licence:
        return {}
    if _SPDX.match(licence):
        return {"licenses": [{"expression": licence}]}
    return {"licenses": [{"license": {"name": licence[:200]}}]}


def _licence_of(document: Mapping[str, Any], table: str) -> str:
    scope = document.get(table, {}) if table else document
    licence = scope.get("license", "") if isinstance(scope, dict) else ""
    if isinstance(licence, dict):
        licence = licence.get("text", "")
    return licence.strip() if isinstance(licence, str) and "\n" not in licence.strip() else ""


def _toml(data: bytes | None) -> Mapping[str, Any]:
    try:
        return tomllib.loads((data or b"").decode())
    except (tomllib.TOMLDecodeError, UnicodeError, RecursionError):
        return {}  # a licence that cannot be read is a licence not known


def _json(data: bytes | None) -> Mapping[str, Any]:
    try:
        value: Any = msgspec.json.decode(data or b"{}")
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}
