"""Asset manifests, version 1: prompts, datasets and adapters as governed artifacts, and how an adapter is produced."""

from typing import Any

import msgspec

from bywire.config.reading import Node, read_optional
from bywire.config.service_intent import NAME, arguments, timeout

KINDS = ("prompt", "dataset", "adapter")
ASSETS_MAX = 64
MATERIALS_MAX = 32


class Producer(msgspec.Struct, frozen=True):
    """The command that makes an asset: run in a clean worktree, it writes `output` (relative path)."""

    run: tuple[str, ...]
    output: str
    timeout_seconds: int = 120


class Asset(msgspec.Struct, frozen=True):
    """One governed file. `materials` are names of assets of the same manifest from which it is made."""

    name: str
    kind: str
    path: str
    produced_by: Producer | None = None
    materials: tuple[str, ...] = ()


class AssetManifest(msgspec.Struct, frozen=True):
    """A parsed and validated asset manifest."""

    name: str
    assets: tuple[Asset, ...]


def parse(value: Any, source: str) -> AssetManifest:
    """Parse an asset manifest (plain JSON value). Raises FieldError naming the first fault."""
    fields = Node(value, source).fields(("version", "name", "assets"), required=("version", "name", "assets"))
    fields["version"].version(1)
    nodes = fields["assets"].items("assets", least=1, most=ASSETS_MAX)
    assets = tuple(_asset(node) for node in nodes)
    for index, (node, asset) in enumerate(zip(nodes, assets, strict=True)):
        _check_among(node, asset, assets, assets[:index])
    return AssetManifest(fields["name"].text("a name of a-z, 0-9 and '-'", pattern=NAME), assets)


def _asset(node: Node) -> Asset:
    fields = node.fields(("name", "kind", "path", "produced_by", "materials"), required=("name", "kind", "path"))
    materials = (
        fields["materials"].items("names", least=0, most=MATERIALS_MAX, distinct=True) if "materials" in fields else []
    )
    return Asset(
        name=fields["name"].text("a name of a-z, 0-9 and '-'", pattern=NAME),
        kind=fields["kind"].choice(KINDS),
        path=fields["path"].relative_path(),
        produced_by=read_optional(fields, "produced_by", _producer, None),
        materials=tuple(item.text("the name of an asset", pattern=NAME) for item in materials),
    )


def _producer(node: Node) -> Producer:
    fields = node.fields(("run", "output", "timeout_seconds"), required=("run", "output"))
    return Producer(
        run=arguments(fields["run"]),
        output=fields["output"].relative_path(),
        timeout_seconds=read_optional(fields, "timeout_seconds", timeout, 120),
    )


def _check_among(node: Node, asset: Asset, assets: tuple[Asset, ...], earlier: tuple[Asset, ...]) -> None:
    """Names and paths are unique; materials exist and are not the asset itself."""
    if any(asset.name == other.name for other in earlier):
        raise node.refuse(f"a second asset is named '{asset.name}'", "give each asset a name of its own")
    if any(asset.path == other.path for other in earlier):
        raise node.refuse(f"a second asset has the path '{asset.path}'", "describe each file once")
    names = {other.name for other in assets} - {asset.name}
    for material in asset.materials:
        if material not in names:
            raise node.refuse(f"material '{material}' is no other asset of this manifest", f"describe '{material}' too")
