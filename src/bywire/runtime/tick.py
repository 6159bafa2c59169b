"""One tick of one machine.

1. Load state and outbox. 2. Send every pending request (again): each has a key, so a double send is harmless.
3. Transition, pure. 4. Commit state and new requests in one compare-and-swap. A kill between any two of these loses
nothing: the next tick starts from the last commit.
"""

from typing import Generic, TypeVar

from bywire.model.errors import ConflictError
from bywire.runtime.ports import Clock, Machine, ObjectStore, Sender, Steps

S = TypeVar("S")
R = TypeVar("R")


class Runtime(Generic[S, R]):
    """Ticks machines of one kind."""

    def __init__(
        self, machine: Machine[S, R], store: ObjectStore, sender: Sender[R], clock: Clock, steps: Steps
    ) -> None:
        self._machine = machine
        self._store = store
        self._sender = sender
        self._clock = clock
        self._steps = steps

    def create(self, object_id: str, state: S, requests: tuple[R, ...]) -> None:
        """Store a new machine; ConflictError `exists` when the id is taken."""
        encoded, outbox = self._machine.encode(state, requests)
        self._store.commit(object_id, 0, encoded, outbox)

    def load(self, object_id: str) -> S | None:
        """The machine's committed state, or None."""
        stored = self._store.load(object_id)
        return None if stored is None else self._machine.decode(stored.state, stored.outbox)[0]

    def tick(self, object_id: str) -> tuple[S, tuple[R, ...]]:
        """Advance once; return the committed state and the requests it now waits for."""
        stored = self._store.load(object_id)
        if stored is None:
            raise ConflictError(f"there is no {object_id}", code="not_found", next_step="bywire status")
        state, pending = self._machine.decode(stored.state, stored.outbox)
        observations = tuple(self._sender.send(object_id, request) for request in pending)
        self._steps.reached("tick.sent")
        new_state, requests = self._machine.transition(state, observations, self._clock.now_ms())
        encoded, outbox = self._machine.encode(new_state, requests)
        if (encoded, outbox) != (stored.state, stored.outbox):
            self._store.commit(object_id, stored.version, encoded, outbox)
        self._steps.reached("tick.committed")
        return new_state, requests
