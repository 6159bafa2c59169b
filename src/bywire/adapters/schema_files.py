"""The published JSON Schemas of the files that people write, read where they are installed."""

from importlib import resources
from pathlib import Path

import msgspec

from bywire.config.reading import nearest, quote
from bywire.model.errors import ConfigError

FOLDER, SUFFIX = "schema", ".schema.json"
# Which file each is about.
FILES = {
    "bywire": "bywire.yaml",
    "operator": "operator.yaml",
    "agents": "agents.yaml",
    "gateway": "gateway.yaml",
    "contract": "contracts/UPSTREAM.yaml",
    "agent-policy": "agent-policies/*.yaml",
}


class PublishedSchema(msgspec.Struct, frozen=True):
    """A schema: `file` is what it is about, `path` where an editor finds it on this machine."""

    name: str
    file: str
    path: Path

    def text(self) -> str:
        """The schema, as it is published."""
        return self.path.read_text(encoding="utf-8")


def published_schemas() -> tuple[PublishedSchema, ...]:
    """All of them."""
    place = Path(str(resources.files("bywire"))) / FOLDER
    return tuple(PublishedSchema(name, file, place / f"{name}{SUFFIX}") for name, file in FILES.items())


def published_schema(name: str) -> PublishedSchema:
    """One by its name. Raises ConfigError `schema_unknown`."""
    found = next((one for one in published_schemas() if one.name == name), None)
    if found is None:
        close = nearest(name, FILES)
        meant = f"; did you mean '{close}'?" if close else f"; there are {', '.join(FILES)}"
        raise ConfigError(f"there is no schema {quote(name)}{meant}", code="schema_unknown", next_step="bywire schema")
    return found
