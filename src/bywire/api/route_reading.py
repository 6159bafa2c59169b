"""Which tool a plain HTTP request is, and its parameters: from path, query, body and the headers that a contract names.

Nothing of a request is passed on as it came. What the contract has a place for becomes a parameter, which is checked,
decided on and sent anew; anything else that could change what a server does is refused, and the rest stays here.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import parse_qsl

import msgspec

from bywire.api.errors import malformed
from bywire.api.reading import Headers, decoded, header
from bywire.gateway.contract import Catalogue, Contract
from bywire.gateway.request_path import Template, ambiguous, fits, most_specific, parse_path, parse_template
from bywire.model.connection import FORM_BODY, Route
from bywire.model.errors import ConfigError, EvidenceError

FIELDS_MAX = 128
_INTEGER = re.compile(r"-?(?:0|[1-9][0-9]{0,15})")
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]{0,15})(?:\.[0-9]{1,15})?")
_ESCAPE = re.compile(rb"%(?![0-9A-Fa-f]{2})")
_FORM = b"application/x-www-form-urlencoded"
_JSON = b"application/json"
_BODILESS = frozenset({"GET", "HEAD"})
# What asks a server to take the request for another one, or for one from elsewhere.
_OVERRIDES = frozenset(
    (b"x-http-method", b"x-http-method-override", b"x-method-override", b"x-original-method", b"x-original-url",
     b"x-rewrite-url")
)  # fmt: skip
_OVERRIDE_FIELDS = frozenset({"_method", "_httpmethod", "x-http-method-override"})


class Entry(msgspec.Struct, frozen=True):
    """One contract that is an HTTP request."""

    template: Template
    route: Route
    contract: Contract


class Table:
    """The HTTP tools of every upstream, by name of the upstream. Raises ConfigError when two cannot be told apart."""

    def __init__(self, catalogue: Catalogue, upstreams: Sequence[str]) -> None:
        self._entries: dict[str, list[Entry]] = {name: [] for name in upstreams}
        for name in catalogue.names():
            contract = catalogue.find(name)
            if contract is None or contract.request is None or contract.upstream not in self._entries:
                continue
            entry = Entry(parse_template(contract.request.path), contract.request, contract)
            for other in self._entries[contract.upstream]:
                _check_distinct(entry, other)
            self._entries[contract.upstream].append(entry)

    def upstreams(self) -> tuple[str, ...]:
        """Every upstream that is reached so."""
        return tuple(self._entries)

    def find(self, upstream: str, method: str, segments: Sequence[str]) -> tuple[Entry, dict[str, str]] | None:
        """The tool that this request is, with the parameters of its path."""
        found = [
            (entry.template, (entry, values))
            for entry in self._entries.get(upstream, ())
            if entry.route.method == method and (values := entry.template.match(segments)) is not None
        ]
        if not found:
            return None
        best: tuple[Entry, dict[str, str]] = most_specific(found)
        return best


def segments_of(raw: bytes) -> tuple[str, ...]:
    """The decoded segments of a raw path. Raises RefusedError."""
    try:
        return parse_path(raw)
    except EvidenceError as error:
        raise malformed(error.message, error.next_step) from error


def parameters_of(
    entry: Entry, in_path: Mapping[str, str], query: bytes, headers: Headers, body: bytes
) -> dict[str, Any]:
    """Every parameter of the call. Raises RefusedError for what has two readings or no place in the contract."""
    overrides = [name for name, _ in headers if name in _OVERRIDES]
    if overrides:
        raise malformed(f"{overrides[0].decode()} asks for another request than this", "send the request itself")
    places = (
        _from_path(entry, in_path),
        _from_fields(entry, _fields(query, "the query"), entry.route.query, "the query"),
        _from_headers(entry, headers),
        _from_body(entry, headers, body),
    )
    found: dict[str, Any] = {}
    for place in places:
        twice = sorted(found.keys() & place.keys())
        if twice:
            raise malformed(f"{twice[0]} is there in two places", "send each parameter once")
        found |= place
    return found


def _check_distinct(one: Entry, other: Entry) -> None:
    if one.route.method == other.route.method and ambiguous(one.template, other.template):
        raise ConfigError(
            f"{one.contract.name} and {other.contract.name} can be the same request: {one.route.method} "
            f"{one.route.path} and {other.route.path}",
            code="routes_ambiguous",
            next_step=f"make one path more specific, or remove one tool from contracts/{one.contract.upstream}.yaml",
        )


def _from_path(entry: Entry, in_path: Mapping[str, str]) -> dict[str, Any]:
    found = {}
    for name, value in in_path.items():
        # A slash is part of a value only where the contract says what the value may look like.
        slashes = f"{{+{name}}}" in entry.route.path or name in entry.route.with_slashes
        if not fits(value, slashes=slashes):
            raise malformed(
                f"{name} holds an encoded '/', '?' or '#'",
                "send one plain segment; a contract that allows '/' gives the parameter a pattern ^...$ that names it",
            )
        found[name] = _typed(entry, name, value)
    return found


def _from_headers(entry: Entry, headers: Headers) -> dict[str, Any]:
    found = {}
    for name, parameter in entry.route.headers.items():
        value = header(headers, name.encode())
        if value:
            found[parameter] = _typed(entry, parameter, value.decode("latin-1"))
    return found


def _from_body(entry: Entry, headers: Headers, body: bytes) -> dict[str, Any]:
    kind, _, options = header(headers, b"content-type").partition(b";")
    if not body:
        return {}
    if entry.route.method in _BODILESS:
        raise malformed(f"a {entry.route.method} with a body is read in different ways", "send no body")
    expected = _FORM if entry.route.body == FORM_BODY else _JSON
    charset = options.strip().lower().replace(b'"', b"").replace(b" ", b"")
    if kind.strip().lower() != expected or charset not in {b"", b"charset=utf-8"}:
        raise malformed(f"the body is not {expected.decode()} in UTF-8", "send what the contract says", 415)
    if expected == _FORM:
        known = tuple(entry.contract.schema.get("properties", {}))
        return _from_fields(entry, _fields(body, "the body"), known, "the body")
    value = decoded(body, dict[str, Any])
    _refuse_overrides(value, "the body")
    return value


def _fields(raw: bytes, where: str) -> list[tuple[str, str]]:
    """Names and values in their order, read strictly. Raises RefusedError."""
    if not raw:
        return []
    if _ESCAPE.search(raw) or b";" in raw or not raw.isascii():
        raise malformed(f"{where} has an escape that is none, or another separator than '&'", "encode it as a form")
    try:
        return parse_qsl(
            raw.decode("ascii"), keep_blank_values=True, strict_parsing=True, errors="strict", max_num_fields=FIELDS_MAX
        )
    except ValueError as error:
        raise malformed(f"{where} is malformed, or has more than {FIELDS_MAX} fields", "encode it as a form") from error


def _from_fields(entry: Entry, fields: Sequence[tuple[str, str]], known: Sequence[str], where: str) -> dict[str, Any]:
    names = [name for name, _ in fields]
    _refuse_overrides(names, where)
    found: dict[str, Any] = {}
    for name in dict.fromkeys(names):
        if name not in known:
            raise malformed(f"{where} has a field that the contract does not know", "send the parameters it declares")
        values = [value for other, value in fields if other == name]
        is_list = "array" in _types(_property(entry, name))
        if len(values) > 1 and not is_list:
            raise malformed(f"{where} has {name} twice, and servers differ in which one they take", "send it once")
        typed = [_typed(entry, name, value) for value in values]
        found[name] = typed if is_list else typed[0]
    return found


def _refuse_overrides(names: Any, where: str) -> None:
    if any(str(name).lower() in _OVERRIDE_FIELDS for name in names):
        raise malformed(f"{where} asks for another method than this", "send the request itself")


def _property(entry: Entry, name: str) -> Mapping[str, Any]:
    found = entry.contract.schema.get("properties", {}).get(name, {})
    return found if isinstance(found, dict) else {}


def _types(schema: Mapping[str, Any]) -> tuple[str, ...]:
    given = schema.get("type", "string")
    return tuple(given) if isinstance(given, list) else (str(given),)


def _typed(entry: Entry, name: str, text: str) -> Any:
    """A value of path, query, header or form, as the schema's type; what does not fit is left for the schema to say."""
    schema = _property(entry, name)
    types = _types(schema)
    if "array" in types:
        items = schema.get("items", {})
        types = _types(items if isinstance(items, dict) else {})
    if "string" in types:
        return text
    if "integer" in types and _INTEGER.fullmatch(text):
        return int(text)
    if "number" in types and _NUMBER.fullmatch(text):
        return float(text)
    if "boolean" in types and text in {"true", "false"}:
        return text == "true"
    return text
