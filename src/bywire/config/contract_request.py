"""`request` of a contract: which HTTP request a tool is, and in which place of it each parameter travels.

A parameter travels in exactly one place: path, query, a header of a short list, or the body. A request without a body
must have a place for each, since what was decided on and never sent would be a decision about something else.
"""

from collections.abc import Collection, Mapping
from typing import Any

from bywire.config.connections import METHODS
from bywire.config.reading import Node, read_optional
from bywire.gateway.request_path import parse_template, slashed
from bywire.model.connection import BODIES, Route
from bywire.model.errors import ConfigError

PLACED_MAX = 64
BODILESS = frozenset({"GET"})
# Headers that say what is wanted, and nothing about who asks, how it travels or which request it really is.
HEADERS = ("accept", "accept-language", "if-match", "if-unmodified-since", "prefer", "x-github-api-version")


def read_request(node: Node, schema: Mapping[str, Any]) -> Route:
    """`schema` is the tool's, whose properties are its parameters. Raises FieldError naming the first fault."""
    known = frozenset(schema.get("properties", {}))
    fields = node.fields(("method", "path", "query", "headers", "body"), required=("method", "path"))
    method = fields["method"].choice(METHODS)
    path = fields["path"].text("a path", most=512)
    try:
        in_path = parse_template(path).parameters
    except ConfigError as error:
        raise fields["path"].refuse(error.message, error.next_step) from error
    route = Route(
        method=method,
        path=path,
        query=_names(fields["query"], known) if "query" in fields else (),
        headers=_headers(fields["headers"], known) if "headers" in fields else {},
        body=read_optional(fields, "body", lambda item: item.choice(BODIES), BODIES[0]),
        with_slashes=tuple(name for name in in_path if slashed(schema.get("properties", {}).get(name))),
    )
    _check(node, route, in_path, known, schema.get("required", ()))
    return route


def _check(
    node: Node, route: Route, in_path: tuple[str, ...], known: Collection[str], required: Collection[str]
) -> None:
    missing = [name for name in in_path if name not in known or name not in required]
    if missing:
        raise node.refuse(f"the path needs {missing[0]}, which the schema does not require", "require it in the schema")
    placed = [*in_path, *route.query, *route.headers.values()]
    twice = sorted({name for name in placed if placed.count(name) > 1})
    if twice:
        raise node.refuse(f"{twice[0]} travels in two places", "keep one of them")
    left = sorted(set(known) - set(placed))
    if route.method in BODILESS and left:
        raise node.refuse(
            f"{route.method} has no body for {left[0]}", "name it in `query`, or remove it from the schema"
        )


def _names(node: Node, known: Collection[str]) -> tuple[str, ...]:
    items = node.items("parameters", least=0, most=PLACED_MAX, distinct=True)
    return tuple(item.choice(sorted(known)) for item in items)


def _headers(node: Node, known: Collection[str]) -> dict[str, str]:
    return {name: item.choice(sorted(known)) for name, item in node.fields(HEADERS).items()}
