"""Walking a published JSON Schema: which keys it knows at which place, by whichever way it says so."""

from typing import Any

ANY = "*"
# Keywords that hold schemas of the same value. What stands below `not` and `if` asks, and knows no keys.
_SAME = ("allOf", "anyOf", "oneOf")


def places(schema) -> dict[tuple[str, ...], dict[str, set[str]]]:
    """For each place with fixed keys: `known` and `required` ones, and whether others are refused (`closed`)."""
    found: dict[tuple[str, ...], dict[str, Any]] = {}
    _walk(schema, schema, (), found)
    return {place: told for place, told in found.items() if told["known"]}


def open_mappings(schema) -> set[tuple[str, ...]]:
    """The places of mappings whose keys people choose."""
    found: dict[tuple[str, ...], dict[str, Any]] = {}
    _walk(schema, schema, (), found)
    return {place for place, told in found.items() if told["open"]}


def subschemas(schema):
    """Every schema in a schema, itself first; data such as `enum` and `default` left out."""
    yield schema
    for keyword, value in schema.items():
        if keyword in {"properties", "patternProperties", "$defs"}:
            inner = list(value.values())
        elif keyword in {"items", "additionalProperties", "propertyNames", "not", "if", "then", "else", "contains"}:
            inner = [value]
        elif keyword in {*_SAME, "prefixItems"}:
            inner = value
        else:
            inner = []
        for one in inner:
            if isinstance(one, dict):
                yield from subschemas(one)


def _walk(root, schema, place, found):
    if "$ref" in schema:
        _walk(root, _at(root, schema["$ref"]), place, found)
    told = found.setdefault(place, {"known": set(), "required": set(), "closed": False, "open": False})
    told["required"] |= set(schema.get("required", ())) if "properties" in schema else set()
    others = schema.get("additionalProperties")
    told["closed"] |= others is False
    for key, inner in schema.get("properties", {}).items():
        told["known"].add(key)
        _walk(root, inner, (*place, key), found)
    if isinstance(others, dict):
        told["open"] = True
        _walk(root, others, (*place, ANY), found)
    for inner in (schema.get("items"), *schema.get("prefixItems", ())):
        if isinstance(inner, dict):
            _walk(root, inner, (*place, ANY), found)
    for keyword in _SAME:
        for inner in schema.get(keyword, ()):
            if not {"if", "then"} & inner.keys():
                _walk(root, inner, place, found)


def _at(root, pointer):
    found = root
    for part in pointer.removeprefix("#/").split("/"):
        found = found[part]
    return found
