"""What an operator lets one agent do, as their YAML says it: actions, each within bounds, and nothing else.

Bounds only take away: what they allow still needs a registration, a contract and everything the shared policy asks
for. `policy.compile_bounds` makes Rego of them; `config.agent_policy` reads them.
"""

from collections.abc import Iterable
from typing import Any

import msgspec

from bywire.policy.conditions import ENVIRONMENT, ENVIRONMENTS, Always, Assignment, Condition, Path, assignments, truth

THOUSANDTHS = 1_000
OPEN_CONNECTION = "open_connection"
ACTIONS, TOKENS = "actions", "tokens"
# How many tools one warning names.
SHOWN_MAX = 4


class Image(msgspec.Struct, frozen=True):
    """Images with this digest (`sha256:<hex>`), of this repository; empty means any."""

    digest: str = ""
    repository: str = ""

    @property
    def is_placeholder(self) -> bool:
        """Whether the digest was left open, as examples write it; then it is no image's."""
        return "..." in self.digest


class HostPort(msgspec.Struct, frozen=True):
    """A host by name, or the names one label below `*.`, and a port."""

    host: str
    port: int


class ParameterBound(msgspec.Struct, frozen=True):
    """What one parameter (a path of names) must be. A parameter that is not given fails unless `optional`.

    `one_of` holds the values of `equals`, too. `pattern` is anchored; `example` is a value that it matches.
    """

    path: tuple[str, ...]
    one_of: tuple[Any, ...] | None = None
    pattern: str = ""
    example: str = ""
    least: float | int | None = None
    most: float | int | None = None
    forbidden: bool = False
    optional: bool = False

    @property
    def name(self) -> str:
        """The path as it is written."""
        return ".".join(self.path)


class Budget(msgspec.Struct, frozen=True):
    """At most `limit` thousandths of a unit in any second or minute, in each hour or day; in `environment`, if told."""

    unit: str
    period: str
    limit: int
    environment: str = ""


class ActionBounds(msgspec.Struct, frozen=True):
    """One action. None means that nothing is said about it; `tools` are full names, found from `name`.

    `environments` are those in which the action may be done; where `approval` surely holds because of the environment
    (`lifts`), a person's leave stands in for being listed there. A person is asked unless `approval` is surely false,
    and with `asks_beyond` instead of a refusal by `images`, `replicas` and `amount` of what is named by digest or told.
    """

    name: str
    tools: tuple[str, ...] = ()
    environments: tuple[str, ...] | None = None
    approval: Condition = Always(value=False)
    images: tuple[Image, ...] | None = None
    replicas: int | None = None
    amount: float | int | None = None
    currency: str = ""
    parameters: tuple[ParameterBound, ...] = ()
    commands: tuple[tuple[str, ...], ...] | None = None
    egress: tuple[HostPort, ...] | None = None
    budgets: tuple[Budget, ...] = ()
    asks_beyond: bool = False

    @property
    def asks(self) -> bool:
        """Whether a person may be asked."""
        return self.asks_beyond or self.approval != Always(value=False)


class AgentBounds(msgspec.Struct, frozen=True):
    """One agent's policy. `budgets` count everything that it does; `source` is the file's name, `digest` its sha256."""

    agent: str
    actions: tuple[ActionBounds, ...]
    budgets: tuple[Budget, ...] = ()
    source: str = ""
    digest: str = ""
    warnings: tuple[str, ...] = ()


class Tool(msgspec.Struct, frozen=True):
    """What the catalogue knows of a tool, as far as bounds turn on it."""

    name: str
    read: bool = False
    meaning: frozenset[str] = frozenset()
    units: frozenset[str] = frozenset()
    parameters: frozenset[str] | None = None

    @property
    def is_connected(self) -> bool:
        """Whether it belongs to an upstream."""
        return "." in self.name

    @property
    def short(self) -> str:
        """Its name without the upstream's."""
        return self.name.partition(".")[2] or self.name


def lifts(approval: Condition, told: Assignment) -> bool:
    """Whether a condition stands in for a listed environment: it holds, and would surely not in another environment.

    What holds whatever the environment is (`true`, or `replicas > 10` where there are more) does not speak of it.
    """
    elsewhere = (truth(approval, {**told, ENVIRONMENT: environment}) for environment in ENVIRONMENTS)
    return truth(approval, told) is True and False in elsewhere


def outside_scope(action: ActionBounds) -> dict[Path, Any] | None:
    """A question whose environment is refused: not listed, and `approval` does not lift that; None if there is none."""
    for environment in (*ENVIRONMENTS, "elsewhere", None):
        if environment not in (action.environments or ()):
            for told in assignments(action.approval, {ENVIRONMENT: environment}):
                if not lifts(action.approval, told):
                    return told
    return None


class UnresolvedError(Exception):
    """A name that means no single tool."""

    def __init__(self, index: int, problem: str, remedy: str) -> None:
        super().__init__(problem)
        self.index = index
        self.problem = problem
        self.remedy = remedy


def resolved(bounds: AgentBounds, known: Iterable[Tool]) -> AgentBounds:
    """The same with each action's tools: the tool of exactly that name, or every connected tool of that bare name.

    A name that is nobody's keeps itself for a tool and leaves a warning. Raises UnresolvedError for a name that is both
    a built-in and a connected tool's, or for a tool that two actions name.
    """
    tools = {tool.name: tool for tool in known}
    owner: dict[str, str] = {}
    actions: list[ActionBounds] = []
    warnings = list(bounds.warnings)
    for index, action in enumerate(bounds.actions):
        found = _tools(index, action.name, tools)
        for name in found:
            if name in owner:
                problem = f"{action.name} and {owner[name]} both mean {name}"
                raise UnresolvedError(index, problem, "write one action for each tool, or name its upstream")
            owner[name] = action.name
        actions.append(msgspec.structs.replace(action, tools=found))
        warnings += _warnings(
            action, [tools[name] for name in found if name in tools], known=bool(tools.keys() & {*found})
        )
    listed = [tools[name] for name in owner if name in tools]
    warnings += _uncounted("budgets", bounds.budgets, listed)
    return msgspec.structs.replace(bounds, actions=tuple(actions), warnings=tuple(warnings))


def _tools(index: int, name: str, tools: dict[str, Tool]) -> tuple[str, ...]:
    connected = tuple(sorted(tool.name for tool in tools.values() if tool.is_connected and tool.short == name))
    if name in tools and connected and "." not in name:
        candidates = ", ".join((name, *connected))
        raise UnresolvedError(
            index, f"{name} is ambiguous: it means {candidates}", f"write the one you mean: {connected[0]}"
        )
    return (name,) if name in tools or not connected else connected


def _warnings(action: ActionBounds, tools: list[Tool], *, known: bool) -> Iterable[str]:
    """What in an action can match nothing, as far as the contracts show."""
    if not known:
        yield f"{action.name}: no tool has this name yet, so this action allows nothing; connect it, then compile again"
    wanted = {
        "image": action.images is not None,
        "replicas": action.replicas is not None,
        "amount": action.amount is not None,
        "currency": bool(action.currency),
        "command": action.commands is not None,
    }
    for tool in tools:
        missing = sorted(word for word, asked in wanted.items() if asked and word not in tool.meaning)
        if missing:
            yield f"{action.name}: the contract of {tool.name} names no {', '.join(missing)}, so every call is denied"
        if tool.parameters is not None:
            gone = sorted({bound.path[0] for bound in action.parameters} - tool.parameters)
            if gone:
                yield f"{action.name}: {tool.name} has no parameter {', '.join(gone)}"
        if tool.read and (action.asks_beyond or not isinstance(action.approval, Always)):
            yield f"{action.name}: {tool.name} only reads, and nobody approves a read: it is denied where one is needed"
        yield from _uncounted(action.name, action.budgets, [tool])


def _uncounted(name: str, budgets: tuple[Budget, ...], tools: list[Tool]) -> Iterable[str]:
    """What these budgets leave out of all that is done with these tools."""
    writes = [tool for tool in tools if not tool.read]
    reads = [tool.name for tool in tools if tool.read]
    # A budget in hours or money is about what acts, and reads beside it are no surprise.
    if reads and any(budget.unit == ACTIONS or not writes for budget in budgets):
        verb = "reads" if len(reads) == 1 else "read"
        yield f"{name}: {_named(reads)} only {verb}, and reads are not counted: see `calls` of gateway.yaml"
    units = {budget.unit for budget in budgets}
    free = sorted(units.difference({ACTIONS, TOKENS}, *(tool.units for tool in writes)))
    if free and writes:
        told = _named([tool.name for tool in writes])
        yield f"{name}: no cost in {', '.join(free)} in the contract of {told}, so nothing is counted"
    undeclared = [tool.name for tool in writes if TOKENS not in tool.units] if TOKENS in units else []
    if undeclared:
        declared = "what callers declare, so who declares none spends none: give the contract a cost in tokens"
        yield f"{name}: tokens of {_named(undeclared)} are only {declared}"


def _named(names: list[str]) -> str:
    """The first few of them."""
    shown = names if len(names) <= SHOWN_MAX else [*names[: SHOWN_MAX - 1], f"{len(names) - SHOWN_MAX + 1} more"]
    return " and ".join(filter(None, (", ".join(shown[:-1]), shown[-1])))
