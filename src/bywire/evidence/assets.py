"""Governed assets at a commit: prompts, datasets and adapters by digest, with what they are made from.

Manifest files are parsed above this room; `ports` says which parts of a parsed asset count as facts.
"""

from collections.abc import Callable, Iterable

import msgspec

from bywire.evidence.ports import GovernedAsset
from bywire.model.errors import EvidenceError
from bywire.seal.digest import sha256_hex

_FIX = "correct the asset manifest, or remove it from `assets:` in bywire.yaml"


class AssetDigest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An asset at a commit: sha256 hex of its bytes, and the names of what it is made from."""

    name: str
    kind: str
    path: str
    digest: str
    materials: list[str]


def digests(assets: Iterable[GovernedAsset], read: Callable[[str], bytes | None]) -> tuple[AssetDigest, ...]:
    """The digest of every asset, in order of name. `read(path)` gives a file's bytes at the commit, or None.

    Raises EvidenceError `asset_missing`, or `asset_manifest_invalid` for an unknown material or a name used twice.
    """
    ordered = sorted(assets, key=lambda asset: asset.name)
    known = {asset.name for asset in ordered}
    if len(known) != len(ordered):
        raise _refuse("two assets have the same name", "asset_manifest_invalid")
    found = []
    for asset in ordered:
        content = read(asset.path)
        if content is None:
            raise _refuse(f"asset {asset.name}: {asset.path} is not in the commit", "asset_missing")
        if unknown := sorted(set(asset.materials) - known):
            raise _refuse(
                f"asset {asset.name} is made from {unknown[0]}, which no manifest declares", "asset_manifest_invalid"
            )
        found.append(
            AssetDigest(
                name=asset.name,
                kind=asset.kind,
                path=asset.path,
                digest=sha256_hex(content),
                materials=sorted(asset.materials),
            )
        )
    return tuple(found)


def _refuse(why: str, code: str) -> EvidenceError:
    return EvidenceError(why, code=code, next_step=_FIX)
