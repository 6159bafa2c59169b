"""Contract packs that ship with the product: contract files of well-known tools, read where they are installed."""

from importlib import resources

from bywire.model.errors import ConfigError

FOLDER, SUFFIX = "packs", ".yaml"


def shipped_packs() -> tuple[str, ...]:
    """The names of all packs, sorted."""
    place = resources.files("bywire") / FOLDER
    names = (entry.name for entry in place.iterdir())
    return tuple(sorted(name.removesuffix(SUFFIX) for name in names if name.endswith(SUFFIX)))


def pack_bytes(name: str) -> bytes:
    """The text of a pack. ConfigError `pack_unknown`."""
    if name not in shipped_packs():
        raise ConfigError(
            f"there is no pack {name[:64]!r}", code="pack_unknown", next_step="bywire connect --list-packs"
        )
    return (resources.files("bywire") / FOLDER / f"{name}{SUFFIX}").read_bytes()
