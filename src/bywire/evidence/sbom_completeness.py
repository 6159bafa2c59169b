"""How complete a CycloneDX document is, recomputed from the document itself; its author's word counts for nothing.

Per component eleven elements: the NTIA minimum (2021: supplier, name, version, unique identifier, dependency
relationship, author of the data, timestamp) and hash, licence, tool and generation context (CISA 2025 draft minimum).
An element that is unknown is missing; it is never counted as fine.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from bywire.model.errors import EvidenceError
from bywire.model.json_value import JsonObject
from bywire.seal.digest import same_digest

COMPONENTS_MAX = 20_000
VERSIONS = ("1.4", "1.5", "1.6", "1.7")
_AGAIN = "build again; the builder writes a complete CycloneDX document"


class SbomFacts(msgspec.Struct, frozen=True):
    """`completeness` is 0..1 over `components`; `subject_matches` says that the bill is about the artifact asked for.

    `missing` counts, for each element, the components that lack it.
    """

    completeness: float
    components: int
    subject_matches: bool
    missing: dict[str, int]


def facts_of(bom: JsonObject, artifact: str) -> SbomFacts:
    """Judge a CycloneDX document for the artifact with sha256 `artifact`. Raises EvidenceError `sbom_malformed`."""
    metadata, components = _checked(bom)
    shared = {
        "author": bool(metadata.get("authors") or metadata.get("supplier") or metadata.get("manufacturer")),
        "timestamp": bool(metadata.get("timestamp")),
        "tool": bool(metadata.get("tools")),
        "context": bool(metadata.get("lifecycles")),
    }
    related = _related(bom)
    missing: dict[str, int] = {}
    present = 0
    for component in components:
        elements = {name: has(component) for name, has in _ELEMENTS.items()} | shared
        elements["relationship"] = component.get("bom-ref") in related
        present += sum(elements.values())
        for name in (name for name, known in elements.items() if not known):
            missing[name] = missing.get(name, 0) + 1
    total = len(components) * (len(_ELEMENTS) + len(shared) + 1)
    return SbomFacts(
        completeness=round(present / total, 4) if total else 0.0,
        components=len(components),
        subject_matches=_is_about(metadata.get("component"), artifact),
        missing=dict(sorted(missing.items())),
    )


def _checked(bom: JsonObject) -> tuple[Mapping[str, Any], Sequence[Mapping[str, Any]]]:
    metadata, components = bom.get("metadata"), bom.get("components")
    if bom.get("bomFormat") != "CycloneDX" or bom.get("specVersion") not in VERSIONS:
        raise _malformed("it is not CycloneDX " + ", ".join(VERSIONS))
    if not isinstance(metadata, dict) or not isinstance(components, list) or len(components) > COMPONENTS_MAX:
        raise _malformed("metadata or components are missing or too many")
    refs = [item.get("bom-ref") for item in components if isinstance(item, dict)]
    if len(refs) != len(components) or not all(isinstance(ref, str) and ref for ref in refs):
        raise _malformed("a component has no bom-ref")
    if len(set(refs)) != len(refs):
        raise _malformed("two components share a bom-ref")
    return metadata, components


def _related(bom: JsonObject) -> frozenset[str]:
    related: set[str] = set()
    edges = bom.get("dependencies") or []
    if not isinstance(edges, list):
        raise _malformed("dependencies are no list")
    for edge in edges:
        if not isinstance(edge, dict) or not isinstance(edge.get("dependsOn", []), list):
            raise _malformed("a dependency is not an object with dependsOn")
        related.update(str(ref) for ref in edge.get("dependsOn", []))
    return frozenset(related)


def _is_about(component: Any, artifact: str) -> bool:
    return any(
        isinstance(item, dict) and item.get("alg") == "SHA-256" and same_digest(str(item.get("content", "")), artifact)
        for item in (_hashes(component) if isinstance(component, dict) else [])
    )


def _hash(component: Mapping[str, Any]) -> bool:
    return any(isinstance(item, dict) and len(str(item.get("content", ""))) >= 64 for item in _hashes(component))


def _hashes(component: Mapping[str, Any]) -> list[Any]:
    hashes = component.get("hashes")
    return hashes if isinstance(hashes, list) else []


def _supplier(component: Mapping[str, Any]) -> bool:
    supplier = component.get("supplier")
    return isinstance(supplier, dict) and bool(supplier.get("name"))


_ELEMENTS: dict[str, Callable[[Mapping[str, Any]], bool]] = {
    "supplier": _supplier,
    "name": lambda item: bool(item.get("name")),
    "version": lambda item: bool(item.get("version")),
    # A file has no purl; its own digest identifies it.
    "identifier": lambda item: bool(
        item.get("purl") or item.get("cpe") or item.get("swid") or (item.get("type") == "file" and _hash(item))
    ),
    "hash": _hash,
    "licence": lambda item: bool(item.get("licenses")),
}


def _malformed(why: str) -> EvidenceError:
    return EvidenceError(f"the SBOM is malformed: {why}", code="sbom_malformed", next_step=_AGAIN)
