"""What the delivery's workers need from outside."""

from typing import Any, Protocol

from bywire.agents.ports import Repository as ReadableRepository
from bywire.evidence.verification import SealedStatement
from bywire.model.change import Change
from bywire.model.decision import Decision
from bywire.model.intent import ServiceIntent
from bywire.seal.keys import SigningKey


class ChangeSource(ReadableRepository, Protocol):
    """The repository with its changes."""

    def change(self, base_branch: str, branch: str) -> Change: ...


class IntentReader(Protocol):
    """Service intent from the protected base revision, with what the branch tried to loosen (RULES 1)."""

    def intent(self, change: Change) -> tuple[ServiceIntent, tuple[str, ...]]: ...


class StatementShelf(Protocol):
    """Statements of one delivery and of the service's assets, sealed as they lie in the log."""

    def statements(self, change: str) -> tuple[SealedStatement, ...]: ...


class ArtifactStore(Protocol):
    """Keeps artifacts by digest."""

    def put(self, artifact: bytes) -> str: ...


class GateEngine(Protocol):
    """The policy engine as the Auditor uses it."""

    def decide(self, entrypoint: str, question: dict[str, Any]) -> Decision: ...


class Signers(Protocol):
    """The key of a built-in role; each role has its own."""

    def __call__(self, principal: str) -> SigningKey: ...


class Clock(Protocol):
    """`now` never runs backwards."""

    def now_ms(self) -> int: ...
