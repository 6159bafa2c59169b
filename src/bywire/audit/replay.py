"""Replay: decide every recorded question again and compare, bit for bit (RULES 7).

A decision is a function of engine version, bundle, entrypoint and input. The record holds the whole input and names the
other three, so a replay needs nothing but the log and the bundles in it.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol

import msgspec

from bywire.model.decision import Decision, Sanitized
from bywire.model.statement import DECISION
from bywire.seal import jcs
from bywire.seal.digest import same_digest
from bywire.seal.dsse import unverified_statement

ADVISED = "advised"


class Engine(Protocol):
    """An engine with one bundle loaded."""

    def decide(self, entrypoint: str, policy_input: dict[str, Any]) -> Decision:
        """Decide again."""
        ...


class Recorded(msgspec.Struct, frozen=True):
    """One recorded decision with its ledger index and its input; `advised` is an answer that authorised nothing.

    `sanitized` says of which action the policy had this one made.
    """

    entry: int
    decision: Decision
    input: dict[str, Any]
    advised: bool = False
    sanitized: Sanitized | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """The ids that it is found under: its own, and that of the decision which had the action changed first."""
        return (self.decision.id, self.sanitized.decision_id) if self.sanitized is not None else (self.decision.id,)

    @property
    def principal(self) -> str:
        """Who asked; empty where the input says nothing of it."""
        return str(self.input.get("principal", {}).get("id", ""))

    @property
    def action_digest(self) -> str:
        """Which action was decided on; empty where the input says nothing of it."""
        return str(self.input.get("action", {}).get("digest", ""))

    def as_json(self) -> dict[str, Any]:
        """As commands and the control plane show it."""
        plain: dict[str, Any] = msgspec.to_builtins(self)
        return {name: plain[name] for name in ("entry", "decision", "input", "sanitized")} | (
            {"advised": True} if self.advised else {}
        )


class Difference(msgspec.Struct, frozen=True):
    """A decision that does not come out as recorded. `field` names what differs."""

    entry: int
    decision_id: str
    field: str
    recorded: str
    replayed: str


class ReplayReport(msgspec.Struct, frozen=True):
    """What a replay found. `unavailable` lists bundles that the log does not hold."""

    decisions: int
    reads: int
    differences: tuple[Difference, ...]
    unavailable: tuple[str, ...]

    @property
    def ok(self) -> bool:
        """Whether every decision came out the same."""
        return not self.differences and not self.unavailable


def recorded_decisions(rows: Iterable[tuple[int, str, bytes]], *, advice: bool = False) -> Iterator[Recorded]:
    """The decisions in (index, kind, content) rows of the log: signed statements and batches of reads.

    With `advice` also what was only advised.
    """
    for index, kind, content in rows:
        if kind == "decision":
            statement = unverified_statement(content)
            if statement.predicateType == DECISION:
                yield _recorded(index, statement.predicate)
        elif kind == "reads":
            for document in msgspec.json.decode(content):
                yield _recorded(index, document)
        elif kind == ADVISED and advice:
            yield msgspec.structs.replace(_recorded(index, msgspec.json.decode(content)), advised=True)


def replay(decisions: Iterable[Recorded], engine_for: Callable[[str], Engine | None]) -> ReplayReport:
    """Decide each one again with the bundle it names. Pure but for what `engine_for` loads."""
    count = reads = 0
    differences: list[Difference] = []
    unavailable: set[str] = set()
    for recorded in decisions:
        engine = engine_for(recorded.decision.bundle_digest)
        if engine is None:
            unavailable.add(recorded.decision.bundle_digest)
            continue
        count += 1
        reads += recorded.input.get("action", {}).get("category") == "read"
        differences += _compare(recorded, engine)
    return ReplayReport(count, reads, tuple(differences), tuple(sorted(unavailable)))


def _compare(recorded: Recorded, engine: Engine) -> list[Difference]:
    was = recorded.decision
    if not same_digest(jcs.digest(recorded.input), was.input_digest):
        return [Difference(recorded.entry, was.id, "input_digest", was.input_digest, jcs.digest(recorded.input))]
    now = engine.decide(was.entrypoint, recorded.input)
    return [
        Difference(recorded.entry, was.id, field, str(getattr(was, field)), str(getattr(now, field)))
        for field in ("engine", "effect", "reasons", "obligations", "id")
        if getattr(was, field) != getattr(now, field)
    ]


def _recorded(index: int, document: dict[str, Any]) -> Recorded:
    decision = msgspec.convert(document["decision"], Decision)
    sanitized = msgspec.convert(document.get("sanitized"), Sanitized | None)
    # Advice of the first versions kept no input.
    return Recorded(entry=index, decision=decision, input=document.get("input", {}), sanitized=sanitized)
