"""What a look at a repository found: the input of the drafted bywire.yaml. Every finding says where it comes from."""

from collections.abc import Mapping

import msgspec

from bywire.model.change import Author


class FoundCommand(msgspec.Struct, frozen=True):
    """An argument list and the file it was read from; `junit` and `coverage` when the command leaves such reports."""

    run: tuple[str, ...]
    source: str
    junit: str = ""
    coverage: str = ""


class FoundText(msgspec.Struct, frozen=True):
    """A single value and the file it was read from."""

    value: str
    source: str


class FoundNames(msgspec.Struct, frozen=True):
    """Several values and the file they were read from."""

    values: tuple[str, ...]
    source: str


class Findings(msgspec.Struct, frozen=True):
    """Everything `bywire init` knows. None and empty mean: looked for and not found.

    `notes` are sentences about what was seen but could not be used, e.g. a shell string or an unreadable compose file.
    """

    service: str
    base_branch: str
    languages: tuple[str, ...] = ()
    build: FoundCommand | None = None
    lint: FoundCommand | None = None
    test: FoundCommand | None = None
    start: FoundCommand | None = None
    health: FoundText | None = None
    port: FoundText | None = None
    owners: FoundNames | None = None
    dependencies: FoundNames | None = None
    manifests: str = ""
    assets: tuple[str, ...] = ()
    user: Author | None = None
    notes: tuple[str, ...] = ()


class Sources(msgspec.Struct, frozen=True):
    """A bounded reading of a repository: all paths seen, and the text of those files that detection looks into."""

    paths: tuple[str, ...]
    texts: Mapping[str, str]

    def text(self, path: str) -> str:
        """The text of a file, empty when it was not there or not read."""
        return self.texts.get(path, "")

    def has(self, *names: str) -> str:
        """The first of `names` that exists at the root, or empty."""
        return next((name for name in names if name in self.paths), "")
