"""`credentials` of gateway.yaml: what the gateway sends to upstreams, where it comes from and where it may go."""

from collections.abc import Callable

from bywire.config.connections import EXECUTORS
from bywire.config.gateway_upstreams import CREDENTIAL_NAME, ENVIRONMENTS, UPSTREAM_NAME
from bywire.config.reading import Node, read_optional
from bywire.model.gateway_credentials import (
    GITHUB,
    AppToken,
    Found,
    GatewayCredential,
    ServiceAccountToken,
    Source,
    VaultSecret,
)

CREDENTIALS_MAX = 64
REPOSITORIES_MAX = 50
AUDIENCES_MAX = 8
TOOLS_MAX = 128
CACHE_SECONDS_MAX = 300
TOKEN_SECONDS_MIN, TOKEN_SECONDS_MAX = 600, 3_600
_ORIGIN = r"https?://[^\s/@?#\\]{1,250}"
_CHILD = r"stdio:" + UPSTREAM_NAME
_DNS = r"[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?"
_SEGMENTS = r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}(?:/[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}){0,15}"
_VARIABLE = r"[A-Z][A-Z0-9_]{0,127}"
_TOOL = r"[a-z][a-z0-9-]{0,31}\.[A-Za-z0-9_./-]{1,95}"
_PERMISSION = r"[a-z][a-z_]{0,63}"
_FOUND = ("token_env", "token_file")
_KEYS = ("origin", "private", "environments", *_FOUND, "vault", "kubernetes", "github_app")
_PLACE = ("address", "ca_file", "private")


def read_credentials(node: Node) -> tuple[GatewayCredential, ...]:
    """Every credential, each name with one or more ways to it. Raises FieldError naming the first fault."""
    found: list[GatewayCredential] = []
    for name, item in node.mapping("credentials", pattern=CREDENTIAL_NAME, most=CREDENTIALS_MAX).items():
        if name in EXECUTORS:
            raise item.refuse(f"{name} is the credential of a connection in operator.yaml", "choose another name")
        ways = item.items("ways", least=1, most=len(ENVIRONMENTS)) if isinstance(item.value, list) else [item]
        made = [_credential(name, way) for way in ways]
        taken = [environment for way in made for environment in way.environments or ENVIRONMENTS]
        if len(taken) != len(set(taken)):
            raise item.refuse("two ways are for one environment", "name other `environments` for each")
        found += made
    return tuple(found)


def _credential(name: str, node: Node) -> GatewayCredential:
    fields = node.fields(_KEYS, required=("origin",))
    private = read_optional(fields, "private", lambda item: item.boolean(), absent=False)
    source = _source(node, fields)
    return GatewayCredential(
        name=name,
        origin=_goes_to(fields["origin"], source, private=private),
        source=source,
        private=private,
        environments=read_optional(fields, "environments", _environments, ()),
    )


def _source(node: Node, fields: dict[str, Node]) -> Source:
    readers: dict[str, Callable[[Node], Source]] = {
        "token_env": lambda item: Found(token_env=_variable(item)),
        "token_file": lambda item: Found(token_file=_absolute(item)),
        "vault": _vault,
        "kubernetes": _kubernetes,
        "github_app": _github_app,
    }
    named = [name for name in readers if name in fields]
    if len(named) != 1:
        raise node.refuse("a credential comes from one place", f"name one of {', '.join(readers)}")
    return readers[named[0]](fields[named[0]])


def _vault(node: Node) -> VaultSecret:
    known = (*_PLACE, *_FOUND, "namespace", "mount", "path", "field", "cache_seconds")
    fields = node.fields(known, required=("address", "path", "field"))
    absent = VaultSecret("", Found(), "", "")
    private = _private(fields)
    return VaultSecret(
        address=_origin(fields["address"], private=private),
        token=_found(node, fields),
        path=fields["path"].text("a path such as ci/github", pattern=_SEGMENTS, most=512),
        field=fields["field"].text("the name of a field", pattern=r"[A-Za-z0-9_.-]{1,128}"),
        mount=read_optional(fields, "mount", lambda item: item.text("a mount", pattern=_SEGMENTS), absent.mount),
        namespace=read_optional(fields, "namespace", lambda item: item.text("a namespace", pattern=_SEGMENTS), ""),
        ca_file=read_optional(fields, "ca_file", _absolute, ""),
        private=private,
        cache_seconds=read_optional(
            fields, "cache_seconds", lambda item: item.integer(0, CACHE_SECONDS_MAX, "seconds"), absent.cache_seconds
        ),
    )


def _kubernetes(node: Node) -> ServiceAccountToken:
    known = (*_PLACE, *_FOUND, "namespace", "service_account", "audiences", "seconds")
    fields = node.fields(known, required=("address", "namespace", "service_account"))
    private = _private(fields)
    return ServiceAccountToken(
        address=_origin(fields["address"], private=private),
        token=_found(node, fields),
        namespace=fields["namespace"].text("a namespace", pattern=_DNS, most=63),
        service_account=fields["service_account"].text("a service account", pattern=_DNS, most=253),
        audiences=read_optional(fields, "audiences", _audiences, ()),
        seconds=read_optional(
            fields, "seconds", lambda item: item.integer(TOKEN_SECONDS_MIN, TOKEN_SECONDS_MAX, "seconds"), 600
        ),
        ca_file=read_optional(fields, "ca_file", _absolute, ""),
        private=private,
    )


def _github_app(node: Node) -> AppToken:
    needed = ("app_id", "installation_id", "private_key_file", "repositories", "permissions")
    fields = node.fields((*_PLACE, *needed, "tools"), required=needed)
    private = _private(fields)
    repositories = fields["repositories"].items("repositories", least=1, most=REPOSITORIES_MAX, distinct=True)
    return AppToken(
        app_id=fields["app_id"].text("an app's id or client id, quoted", pattern=r"[A-Za-z0-9.]{1,64}"),
        installation_id=fields["installation_id"].integer(1, 2**53),
        private_key_file=_absolute(fields["private_key_file"]),
        repositories=tuple(
            item.text("a repository's name without its owner", pattern=r"[A-Za-z0-9_.-]{1,100}")
            for item in repositories
        ),
        permissions=_permissions(fields["permissions"]),
        tools=read_optional(fields, "tools", _tools, {}),
        address=read_optional(fields, "address", lambda item: _origin(item, private=private), GITHUB),
        ca_file=read_optional(fields, "ca_file", _absolute, ""),
        private=private,
    )


def _tools(node: Node) -> dict[str, dict[str, str]]:
    tools = node.mapping("tools such as github.create_pull_request", pattern=_TOOL, most=TOOLS_MAX)
    return {tool: _permissions(item) for tool, item in tools.items()}


def _permissions(node: Node) -> dict[str, str]:
    found = node.mapping("permissions", pattern=_PERMISSION, most=64)
    if not found:
        # GitHub takes no permissions for all that the app has.
        raise node.refuse("an empty list of permissions would be all of the app's", "name those that are needed")
    return {name: item.choice(("read", "write")) for name, item in found.items()}


def _audiences(node: Node) -> tuple[str, ...]:
    items = node.items("audiences", least=1, most=AUDIENCES_MAX, distinct=True)
    return tuple(item.text("an audience", pattern=r"[\x21-\x7e]{1,256}") for item in items)


def _environments(node: Node) -> tuple[str, ...]:
    items = node.items("environments", least=1, most=len(ENVIRONMENTS), distinct=True)
    return tuple(item.choice(ENVIRONMENTS) for item in items)


def _found(node: Node, fields: dict[str, Node]) -> Found:
    if ("token_env" in fields) == ("token_file" in fields):
        raise node.refuse("it is asked with one token", "name token_file, or token_env")
    return Found(
        token_env=read_optional(fields, "token_env", _variable, ""),
        token_file=read_optional(fields, "token_file", _absolute, ""),
    )


def _private(fields: dict[str, Node]) -> bool:
    return read_optional(fields, "private", lambda item: item.boolean(), absent=False)


def _goes_to(node: Node, source: Source, *, private: bool) -> str:
    """The origin of a credential: where it is sent, or `stdio:NAME`, the program of that upstream and no other."""
    value = node.value
    if not isinstance(value, str) or not value.startswith("stdio:"):
        return _origin(node, private=private)
    if isinstance(source, ServiceAccountToken | AppToken):
        raise node.refuse(
            "a program keeps the credential that it is started with, and this one is made for each action",
            "name token_file, token_env or vault",
        )
    return node.text("stdio: and the name of an upstream with a command", pattern=_CHILD)


def _origin(node: Node, *, private: bool) -> str:
    origin = node.text("an origin such as https://api.example:8443, without a path", pattern=_ORIGIN)
    if origin.startswith("http:") and not private:
        raise node.refuse("http is for private addresses", "write https, or add `private: true`")
    return origin


def _absolute(node: Node) -> str:
    return node.text("an absolute path", pattern=r"/[^\x00-\x1f]*", most=512)


def _variable(node: Node) -> str:
    return node.text("the name of an environment variable", pattern=_VARIABLE)
