"""What a tool's JSON Schema may be, so that checking a call against it is bounded whoever wrote it.

It refers to nothing outside itself and never to itself in a circle, expands to a bounded size (references to references
would otherwise double at every step), and its patterns match in linear time.
"""

from typing import Any

import jsonschema_rs

from bywire.gateway.contract import compiled
from bywire.model.errors import BywireError
from bywire.seal import jcs

BYTES_MAX = 65_536
EXPANDED_MAX = 20_000
# Keywords that change where references lead.
_FOREIGN = ("$id", "id", "$anchor", "$dynamicRef", "$dynamicAnchor", "$recursiveRef", "$recursiveAnchor", "$vocabulary")
_NAMES = ("properties", "$defs", "definitions", "patternProperties", "dependentSchemas", "dependencies")
_VALUES = ("enum", "const", "default", "examples", "required")


class _RefusedError(Exception):
    """Carries what is wrong; never leaves this module."""


def problem_of(schema: Any) -> str:
    """What is wrong with a schema, in words; empty when it may be used."""
    if not isinstance(schema, dict) or schema.get("type") != "object":
        return "expected a JSON Schema with 'type: object'"
    try:
        if len(jcs.canonical(schema)) > BYTES_MAX:
            return f"the schema has more than {BYTES_MAX} bytes"
        _Expansion(schema).size(schema, ())
        compiled(schema)
    except _RefusedError as refused:
        return str(refused)
    except BywireError as error:
        return error.message
    except (ValueError, jsonschema_rs.ReferencingError) as error:
        return f"this is no JSON Schema that can be checked here: {str(error).splitlines()[0][:200]}"
    return ""


def referred(root: Any, pointer: str) -> Any:
    """What a reference of a schema leads to (RFC 6901, as a fragment of `root`); None when there is nothing."""
    found = root
    for part in pointer.removeprefix("#/").split("/"):
        name = part.replace("~1", "/").replace("~0", "~")
        if not isinstance(found, dict) or name not in found:
            return None
        found = found[name]
    return found


class _Expansion:
    """How large a schema is once every reference is written out."""

    def __init__(self, root: dict[str, Any]) -> None:
        self._root = root
        self._sizes: dict[str, int] = {}

    def size(self, schema: Any, within: tuple[str, ...]) -> int:
        """Raises _RefusedError above EXPANDED_MAX, for a circle, and for a reference that leads outside."""
        total = 1
        if isinstance(schema, list):
            total += sum(self.size(item, within) for item in schema)
        elif isinstance(schema, dict):
            for keyword, value in schema.items():
                total += self._keyword(keyword, value, within)
        if total > EXPANDED_MAX:
            raise _RefusedError(f"the schema expands to more than {EXPANDED_MAX} parts")
        return total

    def _keyword(self, keyword: str, value: Any, within: tuple[str, ...]) -> int:
        if keyword == "$ref":
            return self._referred(value, within)
        if keyword in _FOREIGN and isinstance(value, str | bool):
            raise _RefusedError(f"'{keyword}' is not supported: a schema stands for itself")
        if keyword in _VALUES:
            return 1
        if keyword in _NAMES and isinstance(value, dict):
            # Their keys are names, not keywords.
            return 1 + sum(self.size(item, within) for item in value.values())
        return self.size(value, within)

    def _referred(self, pointer: Any, within: tuple[str, ...]) -> int:
        if not isinstance(pointer, str) or not pointer.startswith("#/"):
            raise _RefusedError("'$ref' leads outside this schema")
        if pointer in within:
            raise _RefusedError(f"{pointer[:100]} refers to itself in a circle")
        if pointer not in self._sizes:
            self._sizes[pointer] = self.size(self._at(pointer), (*within, pointer))
        return self._sizes[pointer]

    def _at(self, pointer: str) -> Any:
        found = referred(self._root, pointer)
        if found is None:
            raise _RefusedError(f"{pointer[:100]} names nothing in this schema")
        return found
