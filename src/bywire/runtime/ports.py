"""What the runtime needs from outside, and the shape of a machine it can tick."""

from typing import Any, Protocol, TypeVar

import msgspec

S = TypeVar("S")
R = TypeVar("R")
R_contra = TypeVar("R_contra", contravariant=True)


class Stored(msgspec.Struct, frozen=True):
    """A machine's state at a version, with the requests that were committed with it (RULES 14)."""

    id: str
    version: int
    state: bytes
    outbox: bytes


class ObjectStore(Protocol):
    """Durable machines. `commit` raises ConflictError `lost_race` when the version moved."""

    def load(self, object_id: str) -> Stored | None: ...
    def commit(self, object_id: str, expected_version: int, state: bytes, outbox: bytes) -> int: ...


class Machine(Protocol[S, R]):
    """A sans-IO state machine: pure, total, and serialisable."""

    def transition(self, state: S, observations: tuple[Any, ...], now_ms: int) -> tuple[S, tuple[R, ...]]: ...
    def encode(self, state: S, requests: tuple[R, ...]) -> tuple[bytes, bytes]: ...
    def decode(self, state: bytes, requests: bytes) -> tuple[S, tuple[R, ...]]: ...


class Sender(Protocol[R_contra]):
    """Carries one request out and says what came of it. Idempotent by the request's key."""

    def send(self, object_id: str, request: R_contra) -> Any: ...


class Clock(Protocol):
    """`now` never runs backwards."""

    def now_ms(self) -> int: ...


class Steps(Protocol):
    """Named points between which a crash must be harmless."""

    def reached(self, step: str) -> None: ...
