"""regorus with one bundle loaded: built, asked and dropped on one thread (its engines panic on any other).

The shared modules live in one engine. Each agent's own policy lives in an engine of its own, made when that agent first
asks: regorus looks through every module of an engine for each reference, so a thousand policies in one engine would
cost every decision twenty times as much (ADR 11). What an agent's policy denies is laid into the data of a copy of the
shared engine, at the place where its package would have put it: the shared modules cannot tell the two apart.
"""

import threading
from collections import OrderedDict
from typing import Any

import msgspec
import regorus

from bywire.policy.agent_policies import asking_agent, deny_rule
from bywire.policy.bundle import Bundle

# About 75 kB each.
AGENT_ENGINES_MAX = 1_024
UNDEFINED = '"<undefined>"'
_NOTHING = "[]"
# A wait of this length gives the interpreter lock to whoever decides meanwhile.
_PAUSE = threading.Event()
_PAUSE_SECONDS = 0.0005


class Compiled(msgspec.Struct, frozen=True):
    """What may decide: an immutable reference that is swapped whole. Modules are (path, source)."""

    digest: str
    modules: tuple[tuple[str, str], ...]
    data_json: str
    entrypoints: frozenset[str]
    agents: dict[str, tuple[str, str]]

    @classmethod
    def of(cls, bundle: Bundle) -> "Compiled":
        """From a bundle that passed the lint."""
        return cls(
            digest=bundle.digest,
            modules=tuple((module.path, module.source) for module in bundle.modules),
            data_json=bundle.data_json(),
            entrypoints=frozenset(bundle.manifest.entrypoints),
            agents={name: (module.path, module.source) for name, module in bundle.agents.items()},
        )


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
        self._agents: OrderedDict[str, Any] = OrderedDict()

    def answer(self, entrypoint: str, question: str) -> str:
        """The value of `entrypoint` for a question, both JSON. Raises UndefinedError."""
        engine = self._engine_for(question)
        engine.set_input_json(question)
        answer: str = engine.eval_rule_as_json(entrypoint)
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

    def _engine_for(self, question: str) -> Any:
        agent = asking_agent(question) if self._compiled.agents else ""
        if agent not in self._compiled.agents:
            return self._shared
        denials = self._denials(agent, question)
        if denials == _NOTHING:
            return self._shared
        engine = self._shared.clone()
        engine.add_data_json(f'{{"bywire":{{"agents":{{"{agent}":{{"deny":{denials}}}}}}}}}')
        return engine

    def _denials(self, agent: str, question: str) -> str:
        own = self._agents.pop(agent, None)
        if own is None:
            own = regorus.Engine()
            own.add_policy(*self._compiled.agents[agent])
        self._agents[agent] = own
        if len(self._agents) > AGENT_ENGINES_MAX:
            self._agents.popitem(last=False)
        own.set_input_json(question)
        denials: str = own.eval_rule_as_json(deny_rule(agent))
        if denials == UNDEFINED:
            raise UndefinedError
        return denials
