"""`connections` of operator.yaml: origins, credentials and routes of executors over HTTP."""

from bywire.config.reading import Node, read_optional
from bywire.model.connection import Connection, Route

CONNECTIONS_MAX = 16
ROUTES_MAX = 64
EXECUTORS = ("ci", "forge", "flags", "secrets")
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
_KEYS = ("executor", "origin", "private", "token_file", "token_env", "routes")
_TOOL = r"[a-z][a-z0-9_]{0,63}"
ROUTE_PATH = r"/[A-Za-z0-9._~!$&'()*+,;=:@%/{}-]{0,511}"
_VARIABLE = r"[A-Z][A-Z0-9_]{0,127}"


def connections(node: Node) -> tuple[Connection, ...]:
    """Raises FieldError naming the first fault."""
    found: list[Connection] = []
    for item in node.items("connections", least=0, most=CONNECTIONS_MAX):
        connection = _connection(item)
        if any(connection.executor == other.executor for other in found):
            raise item.refuse(f"{connection.executor} is connected twice", "keep one of them")
        found.append(connection)
    return tuple(found)


def _connection(node: Node) -> Connection:
    fields = node.fields(_KEYS, required=("executor", "origin", "routes"))
    if ("token_file" in fields) == ("token_env" in fields):
        raise node.refuse("a connection has one credential", "name token_file, or token_env")
    return Connection(
        executor=fields["executor"].choice(EXECUTORS),
        origin=fields["origin"].text("an origin such as https://api.example", pattern=r"https?://[^\s]{1,250}"),
        private=read_optional(fields, "private", lambda item: item.boolean(), absent=False),
        token_file=read_optional(fields, "token_file", _absolute, ""),
        token_env=read_optional(fields, "token_env", _variable, ""),
        routes=_routes(fields["routes"]),
    )


def _absolute(node: Node) -> str:
    return node.text("an absolute path", pattern=r"/[^\x00-\x1f]*", most=512)


def _variable(node: Node) -> str:
    return node.text("the name of an environment variable", pattern=_VARIABLE)


def _routes(node: Node) -> dict[str, Route]:
    found = {}
    for tool, item in node.mapping("routes", pattern=_TOOL, most=ROUTES_MAX).items():
        fields = item.fields(("method", "path"), required=("method", "path"))
        found[tool] = Route(
            method=fields["method"].choice(METHODS), path=fields["path"].text("a path", pattern=ROUTE_PATH, most=512)
        )
    return found
