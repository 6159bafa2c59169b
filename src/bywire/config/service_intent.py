"""bywire.yaml, version 1: from a plain JSON value to a `ServiceIntent`, strictly.

`parse` reads the protected base revision: any unknown key is an error. `read_branch` reads a branch's copy under
RULES 1: what it may not set is listed, never obeyed, so that a branch cannot hide behind a file that does not parse.
The published JSON Schema (`bywire/schema/bywire.schema.json`) accepts what this module accepts.
"""

from collections.abc import Mapping
from typing import Any

from bywire.config.reading import Node, read_optional
from bywire.config.tightening import tighten
from bywire.model.intent import Command, Segments, ServiceIntent, Sli, StartCommand, WarmUp

__all__ = ["FILE_NAME", "parse", "parse_branch", "read_branch", "tighten"]

FILE_NAME = "bywire.yaml"
NAME = r"[a-z][a-z0-9-]{0,62}"
OWNER = r"[A-Za-z0-9@][A-Za-z0-9 ._@/+-]{0,63}"
LABEL = r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}"
HEADER = r"[a-z][a-z0-9-]{0,63}"
ENVIRONMENT_NAME = r"[A-Z_][A-Z0-9_]{0,63}"
URL_PATH = r"/[A-Za-z0-9._~/-]{0,255}"
HEADERS_SECRET = ("authorization", "cookie", "proxy-authorization", "set-cookie")
COVERAGE_SUFFIXES = (".json", ".lcov", ".xml")

ARGUMENTS_MAX = 64
TIMEOUT_SECONDS_MAX = 3600
OWNERS_MAX = 20
DEPENDENCIES_MAX = 64
INCLUDES_MAX = 64
ASSETS_MAX = 32
SLIS_MAX = 8
SEGMENTS_MAX = 16
STEPS_MAX = 20
THRESHOLD_MS_MAX = 600_000

KEYS = (
    "version", "service", "owners", "dependencies", "commands", "artifact", "manifests", "assets", "slis", "segments",
    "rollout",
)  # fmt: skip
OPERATORS_KEYS = (
    "criticality", "tier_floor", "tier", "limits", "thresholds", "people", "approvers", "environment", "base_branch",
    "judge", "isolation", "freeze_windows", "policy", "gates", "agents_owner",
)  # fmt: skip
_RESERVED = dict.fromkeys(OPERATORS_KEYS, "it is not a service's to set, it belongs in the operator's operator.yaml")


def parse(value: Any, source: str) -> ServiceIntent:
    """Parse the protected base revision's bywire.yaml (plain JSON value). Raises FieldError naming the first fault."""
    return _intent(Node(value, source, reserved=_RESERVED))


def parse_branch(value: Any, source: str) -> tuple[ServiceIntent, tuple[str, ...]]:
    """Parse a branch's copy; unknown keys do not stop the reading but are returned, ready to be shown as loosened."""
    foreign: list[str] = []
    intent = _intent(Node(value, source, foreign=foreign))
    return intent, tuple(f"{name} (not a service's to set)" for name in foreign)


def read_branch(base: ServiceIntent, value: Any, source: str) -> tuple[ServiceIntent, tuple[str, ...]]:
    """The intent in force for a branch whose bywire.yaml holds `value` (None: the branch deleted the file).

    Returns (base, tightened by what the branch may tighten; every attempt to loosen, by field).
    """
    if value is None:
        return base, (f"{FILE_NAME} (removed by the branch)",)
    branch, foreign = parse_branch(value, source)
    intent, loosened = tighten(base, branch)
    return intent, loosened + foreign


def _intent(root: Node) -> ServiceIntent:
    fields = root.fields(KEYS, required=("version", "service"))
    fields["version"].version(1)
    commands = _commands(fields)
    return ServiceIntent(
        service=fields["service"].text("a name of a-z, 0-9 and '-', starting with a letter", pattern=NAME),
        owners=read_optional(fields, "owners", _owners, ()),
        dependencies=read_optional(fields, "dependencies", _dependencies, ()),
        build=read_optional(commands, "build", _plain_command, None),
        lint=read_optional(commands, "lint", _plain_command, None),
        test=read_optional(commands, "test", _test_command, None),
        evaluate=read_optional(commands, "evaluate", _plain_command, None),
        start=read_optional(commands, "start", _start, None),
        warm=read_optional(commands, "warm", _warm, None),
        artifact_include=read_optional(fields, "artifact", _artifact, ("**",)),
        manifests=read_optional(fields, "manifests", _manifests, ""),
        assets=read_optional(fields, "assets", _assets, ()),
        slis=read_optional(fields, "slis", _slis, ()),
        segments=read_optional(fields, "segments", _segments, None),
        rollout_steps=read_optional(fields, "rollout", _rollout, ServiceIntent("", ()).rollout_steps),
    )


def _commands(fields: Mapping[str, Node]) -> dict[str, Node]:
    known = ("build", "lint", "test", "evaluate", "start", "warm")
    return fields["commands"].fields(known) if "commands" in fields else {}


def _owners(node: Node) -> tuple[str, ...]:
    items = node.items("owners", least=1, most=OWNERS_MAX, distinct=True)
    return tuple(item.text("the name of a person or team", pattern=OWNER) for item in items)


def _dependencies(node: Node) -> tuple[str, ...]:
    items = node.items("services", least=0, most=DEPENDENCIES_MAX, distinct=True)
    return tuple(item.text("a service name of a-z, 0-9 and '-'", pattern=NAME) for item in items)


def arguments(node: Node) -> tuple[str, ...]:
    """An argument list; a shell string is refused with the list it should be."""
    if isinstance(node.value, str):
        words = ", ".join(node.value.split()[:ARGUMENTS_MAX]) or "program, argument"
        raise node.expected("a list of arguments, not a shell string", f"write run: [{words}]")
    items = node.items("arguments", least=1, most=ARGUMENTS_MAX)
    return tuple(item.text("an argument", least=0 if index else 1) for index, item in enumerate(items))


def timeout(node: Node) -> int:
    """A time limit in whole seconds."""
    return node.integer(1, TIMEOUT_SECONDS_MAX, "seconds")


def _plain_command(node: Node) -> Command:
    fields = node.fields(("run", "timeout_seconds"), required=("run",))
    return Command(run=arguments(fields["run"]), timeout_seconds=read_optional(fields, "timeout_seconds", timeout, 120))


def _test_command(node: Node) -> Command:
    fields = node.fields(("run", "timeout_seconds", "junit", "coverage"), required=("run",))
    coverage = read_optional(fields, "coverage", Node.relative_path, "")
    if coverage and not coverage.endswith(COVERAGE_SUFFIXES):
        raise fields["coverage"].expected("a path ending in .json (coverage.py), .lcov or .xml (Cobertura)")
    junit = read_optional(fields, "junit", Node.relative_path, "")
    if junit and not junit.endswith(".xml"):
        raise fields["junit"].expected("a path ending in .xml")
    return Command(
        run=arguments(fields["run"]),
        timeout_seconds=read_optional(fields, "timeout_seconds", timeout, 120),
        junit=junit,
        coverage=coverage,
    )


def _url_path(node: Node) -> str:
    path = node.text("a URL path such as /healthz", pattern=URL_PATH)
    if path.startswith("//"):
        raise node.expected("a URL path with one leading '/'")
    return path


def _start(node: Node) -> StartCommand:
    fields = node.fields(("run", "ready", "ready_timeout_seconds", "port_env"), required=("run",))
    absent = StartCommand(run=())
    return StartCommand(
        run=arguments(fields["run"]),
        ready=read_optional(fields, "ready", _url_path, absent.ready),
        ready_timeout_seconds=read_optional(fields, "ready_timeout_seconds", timeout, absent.ready_timeout_seconds),
        port_env=read_optional(fields, "port_env", _environment_name, absent.port_env),
    )


def _environment_name(node: Node) -> str:
    return node.text("the name of an environment variable in capitals", pattern=ENVIRONMENT_NAME)


def _warm(node: Node) -> WarmUp:
    fields = node.fields(("path", "timeout_seconds"), required=("path",))
    seconds = read_optional(fields, "timeout_seconds", timeout, WarmUp("").timeout_seconds)
    return WarmUp(path=_url_path(fields["path"]), timeout_seconds=seconds)


def _artifact(node: Node) -> tuple[str, ...]:
    include = node.fields(("include",), required=("include",))["include"]
    items = include.items("path patterns", least=1, most=INCLUDES_MAX, distinct=True)
    return tuple(item.relative_path("a path pattern") for item in items)


def _manifests(node: Node) -> str:
    """A directory, returned with one trailing slash so that it can be used as a path prefix."""
    directory = node.text("a directory in the repository", most=512)
    bare = node.at("", directory.removesuffix("/"))
    bare.path = node.path
    return f"{bare.relative_path('a directory in the repository')}/"


def _assets(node: Node) -> tuple[str, ...]:
    items = node.items("asset manifest paths", least=0, most=ASSETS_MAX, distinct=True)
    for item in items:
        if not item.relative_path("the path of an asset manifest").endswith(".json"):
            raise item.expected("a path ending in .json")
    return tuple(item.value for item in items)


def _slis(node: Node) -> tuple[Sli, ...]:
    items = node.items("indicators", least=0, most=SLIS_MAX)
    found: list[Sli] = []
    for item in items:
        sli = _sli(item)
        if any(sli.name == other.name for other in found):
            raise item.refuse(f"a second indicator is named '{sli.name}'", "give each indicator a name of its own")
        found.append(sli)
    return tuple(found)


def _sli(node: Node) -> Sli:
    fields = node.fields(("name", "kind", "objective", "threshold_ms"), required=("name", "kind", "objective"))
    kind = fields["kind"].choice(("errors", "slow"))
    if kind == "slow" and "threshold_ms" not in fields:
        raise node.refuse("'threshold_ms' is missing: a slow request needs a limit", "add threshold_ms: 300")
    if kind == "errors" and "threshold_ms" in fields:
        raise fields["threshold_ms"].refuse("only kind 'slow' has a threshold", "remove threshold_ms or use kind: slow")
    return Sli(
        name=fields["name"].text("a name of a-z, 0-9 and '-'", pattern=NAME),
        kind=kind,
        objective=fields["objective"].number(0, 1, open_ends=True),
        threshold_ms=fields["threshold_ms"].integer(1, THRESHOLD_MS_MAX, "milliseconds") if kind == "slow" else 0,
    )


def _segments(node: Node) -> Segments:
    fields = node.fields(("header", "values"), required=("header", "values"))
    header = fields["header"].text("a header name in lower case", pattern=HEADER)
    if header in HEADERS_SECRET:
        raise fields["header"].refuse(f"'{header}' carries secrets", "use a header that names a kind of client")
    values = fields["values"].items("values", least=1, most=SEGMENTS_MAX, distinct=True)
    return Segments(
        header, tuple(value.text("a segment of letters, digits, '.', '_', '-'", pattern=LABEL) for value in values)
    )


def _rollout(node: Node) -> tuple[int, ...]:
    steps = node.fields(("steps",), required=("steps",))["steps"]
    weights = tuple(item.integer(1, 100, "percent") for item in steps.items("steps", least=1, most=STEPS_MAX))
    for index in range(1, len(weights)):
        if weights[index] <= weights[index - 1]:
            raise steps.at(index, weights[index]).expected(f"more than the step before, {weights[index - 1]}")
    if weights[-1] != 100:
        raise steps.at(len(weights) - 1, weights[-1]).expected("100 as the last step", "add 100 as the last step")
    return weights
