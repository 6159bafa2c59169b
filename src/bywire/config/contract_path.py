"""Which of a call's parameters a contract means: a name of its schema, or a path with dots into an object.

A path leads through closed objects only, never through a list, and there is one way to read it: what a rule reads is
then what the upstream is told, and nothing beside it could be meant as well.
"""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from bywire.config.contract_schema import referred
from bywire.config.reading import Node
from bywire.model.connected import Parameter

PARAMETER = r"[A-Za-z_][A-Za-z0-9_.-]{0,63}"
_NO_OBJECTS = frozenset(("array", "boolean", "integer", "null", "number", "string"))


class _Reading(NamedTuple):
    """A way to read a path: the names, and the first object on it that may hold more than it declares."""

    names: Parameter
    open_at: str


def read_parameter(node: Node, schema: Mapping[str, Any]) -> Parameter:
    """The parameter that a text names; `problem_of` finds nothing wrong with `schema`. Raises FieldError."""
    path = node.text("the name of a parameter", pattern=PARAMETER)
    found = list(_readings(schema, schema, tuple(path.split(".")), ()))
    if not found:
        # Of a parameter that the schema does not know, every call would mean nothing.
        node.choice(sorted(schema.get("properties", {})))
    if len(found) > 1:
        raise node.refuse(f"{path} can be read in two ways", "rename one of the parameters, or close what may hold it")
    names, open_at = found[0]
    if open_at:
        raise node.refuse(
            f"{open_at} is no closed object, so that a call could mean something else there",
            f"write 'type: object' and 'additionalProperties: false' for {open_at} in the schema, without patterns",
        )
    if len(names) > 1 and any("." in name for name in names):
        raise node.refuse(f"a name on the way of {path} holds a dot", "name a parameter without dots")
    return names


def is_required(schema: Mapping[str, Any], parameter: Parameter) -> bool:
    """Whether every call that fits `schema` has what the path leads to."""
    at: Any = schema
    for name in parameter:
        at = _followed(schema, at)
        if name not in at.get("required", ()):
            return False
        at = at["properties"][name]
    return True


def _readings(root: Mapping[str, Any], at: Any, parts: Parameter, before: Parameter) -> Iterator[_Reading]:
    """Each way in which a call could hold `parts` below `before`. Bounded as the schema's expansion is."""
    at = _followed(root, at)
    if not isinstance(at, dict) or _is_no_object(at):
        return
    # The contract itself is closed where it is read.
    if before and not _is_closed(at):
        yield _Reading((*before, ".".join(parts)), ".".join(before))
        return
    properties = at.get("properties", {})
    for end in range(1, len(parts) + 1):
        name = ".".join(parts[:end])
        if name not in properties:
            continue
        if end == len(parts):
            yield _Reading((*before, name), "")
        else:
            yield from _readings(root, properties[name], parts[end:], (*before, name))


def _followed(root: Mapping[str, Any], at: Any) -> Any:
    """The schema that stands there. What stands beside a reference only narrows it, or is passed over."""
    while isinstance(at, dict) and "$ref" in at:
        at = referred(root, str(at["$ref"]))
    return at


def _is_no_object(at: Mapping[str, Any]) -> bool:
    said = at.get("type")
    types = {said} if isinstance(said, str) else set(said) if isinstance(said, list) else set()
    return bool(types) and types <= _NO_OBJECTS


def _is_closed(at: Mapping[str, Any]) -> bool:
    return (
        at.get("type") == "object"
        and at.get("additionalProperties") is False
        and "patternProperties" not in at
        and isinstance(at.get("properties", {}), dict)
    )
