"""The contract packs that ship with the product, as they are used."""

from functools import cache

from bywire.adapters.pack_files import pack_bytes, shipped_packs
from bywire.adapters.yaml_file import parse
from bywire.config import contract_files
from bywire.config.packs import Pack, parse_pack


@cache
def pack(name: str) -> Pack:
    """A shipped pack. ConfigError `pack_unknown`."""
    limit = contract_files.BYTES_MAX
    return parse(
        pack_bytes(name), f"pack {name}", lambda value, said: parse_pack(value, said, name=name), bytes_max=limit
    )


def packs() -> tuple[Pack, ...]:
    """Every shipped pack, by name."""
    return tuple(pack(name) for name in shipped_packs())
