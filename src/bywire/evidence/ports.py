"""What this room takes from the readers above it: the shape of a parsed asset manifest entry."""

from typing import Protocol


class AssetProducer(Protocol):
    """The command that makes an asset, run in a clean worktree; `output` is the relative path it writes."""

    @property
    def run(self) -> tuple[str, ...]: ...
    @property
    def output(self) -> str: ...
    @property
    def timeout_seconds(self) -> int: ...


class GovernedAsset(Protocol):
    """One parsed entry of an asset manifest. `materials` are names of assets it is made from."""

    @property
    def name(self) -> str: ...
    @property
    def kind(self) -> str: ...
    @property
    def path(self) -> str: ...
    @property
    def materials(self) -> tuple[str, ...]: ...
    @property
    def produced_by(self) -> AssetProducer | None: ...
