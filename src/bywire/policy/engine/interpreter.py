"""regorus with one bundle loaded: built, asked and dropped on one thread (its engines panic on any other).

The shared modules live in one engine. Each agent's own policy lives in an engine of its own, made when that agent first
asks: regorus looks through every module of an engine for each reference, so a thousand policies in one engine would
cost every decision twenty times as much (ADR 11). What an agent's policy says is handed to the shared modules beside
the question, and their dispatches read it there: as data it would have to be analysed anew for each answer.
"""

import threading
from collections import OrderedDict
from typing import Any

import msgspec
import regorus

from bywire.policy.agent_policies import DENY, SAID, asking_agent, declared_sets, reading_said, set_rule
from bywire.policy.bundle import Bundle, Module
from bywire.policy.engine.read_path import ShortWay, short_way
from bywire.policy.rego_syntax import parse_module

# About 75 kB each.
AGENT_ENGINES_MAX = 1_024
UNDEFINED = '"<undefined>"'
# A wait of this length gives the interpreter lock to whoever decides meanwhile.
_PAUSE = threading.Event()
_PAUSE_SECONDS = 0.0005


class Compiled(msgspec.Struct, frozen=True):
    """What may decide: an immutable reference that is swapped whole. Modules are (path, source).

    `reads` is the short way for reads, where the bundle has one that was examined.
    """

    digest: str
    modules: tuple[tuple[str, str], ...]
    data_json: str
    entrypoints: frozenset[str]
    agents: dict[str, tuple[str, str]]
    reads: ShortWay | None = None

    @classmethod
    def of(cls, bundle: Bundle) -> "Compiled":
        """From a bundle that passed the lint."""
        asked = bool(bundle.agents)
        return cls(
            digest=bundle.digest,
            modules=tuple((m.path, reading_said(m) if asked else m.source) for m in bundle.modules),
            data_json=bundle.data_json(),
            entrypoints=frozenset(bundle.manifest.entrypoints),
            agents={name: (module.path, module.source) for name, module in bundle.agents.items()},
            reads=short_way({module.path: module.source for module in bundle.modules}, bundle.tables),
        )


class _Own(msgspec.Struct, frozen=True):
    """An agent's own engine and the full names of the sets that its policy has, by set."""

    engine: Any
    rules: dict[str, str]


class UndefinedError(Exception):
    """The rule has no value for this question."""


class Interpreter:
    """Not thread-safe, and bound to the thread that made it. Errors of regorus come through as they are."""

    def __init__(self, compiled: Compiled, *, ahead: bool = False) -> None:
        """Build the shared engine; `ahead` of time when nobody waits for it yet, and others may go first."""
        self._compiled = compiled
        self._shared = regorus.Engine()
        for path, source in compiled.modules:
            self._shared.add_policy(path, source)
            if ahead:
                _PAUSE.wait(_PAUSE_SECONDS)
        self._shared.add_data_json(compiled.data_json)
        self._agents: OrderedDict[str, _Own] = OrderedDict()

    def answer(self, entrypoint: str, question: str) -> str:
        """The value of `entrypoint` for a question, both JSON. Raises UndefinedError."""
        agent = asking_agent(question) if self._compiled.agents else ""
        if agent in self._compiled.agents:
            # A question names its principal, so it is an object with a member at least.
            question = f'{question[:-1]},"{SAID}":{self._said(agent, question)}}}'
        self._shared.set_input_json(question)
        answer: str = self._shared.eval_rule_as_json(entrypoint)
        if answer == UNDEFINED:
            raise UndefinedError
        return answer

    def warm(self) -> None:
        """Have regorus analyse the modules now, so that the first real question does not wait for it."""
        for entrypoint in sorted(self._compiled.entrypoints):
            _PAUSE.wait(_PAUSE_SECONDS)
            self._shared.set_input_json("{}")
            self._shared.eval_rule_as_json(entrypoint)

    def drop(self) -> None:
        """Let go of the agents' engines one by one: all at once would hold up every thread for as long as it takes."""
        while self._agents:
            self._agents.popitem()
            _PAUSE.wait(_PAUSE_SECONDS)

    def _said(self, agent: str, question: str) -> str:
        """What the agent's own policy says to a question: its sets, as a JSON object."""
        own = self._agents.pop(agent, None) or self._built(agent)
        self._agents[agent] = own
        if len(self._agents) > AGENT_ENGINES_MAX:
            self._agents.popitem(last=False)
        own.engine.set_input_json(question)
        said = []
        for name, rule in own.rules.items():
            value: str = own.engine.eval_rule_as_json(rule)
            if value == UNDEFINED:
                raise UndefinedError
            said.append(f'"{name}":{value}')
        return f"{{{','.join(said)}}}"

    def _built(self, agent: str) -> _Own:
        engine = regorus.Engine()
        path, source = self._compiled.agents[agent]
        engine.add_policy(path, source)
        sets = declared_sets(parse_module(Module(path, source)))
        return _Own(engine, {name: set_rule(agent, name) for name in sets or (DENY,)})
